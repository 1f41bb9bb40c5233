"""A memory of patches: how far a patch is from the nearest good one, beside how dense good ones lie there.

Greedy coreset as PatchCore (Roth et al. 2022); distances in units of the local density as LOF (Breunig et al. 2000), so
that what is rare but normal does not set the limit for everything else.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edge_inspector.errors import DataError

_SHADOW = 24
"""Dimensions of the random projection in which the coreset is chosen."""
_CHUNK = 250
"""Items whose neighbours are looked for at once."""
_EQUAL = 1e-5
"""Of the largest squared norm: patches that are nearer differ by rounding alone."""
_LEAST_SPREAD = 0.01
"""Of the middle channel's spread: a channel that hardly varies among good parts must not decide alone."""


@dataclass(frozen=True, slots=True)
class Patches:
    """Patches of one block, taken at random places of the good images."""

    cells: Tensor
    """float32 (count, channels), those of one image behind one another, in random order."""
    image: Tensor
    """int64 (count), rising: which image each is of."""

    def of(self, images: Iterable[int], most: int) -> "Patches":
        """Return those of some images, the same number from each, at most about `most`."""
        chosen = list(images)
        each = max(1, most // len(chosen))
        starts = torch.searchsorted(self.image, self.image)  # where the patches of each one's image begin
        early = torch.arange(len(self.image)) - starts < each
        kept = torch.nonzero(early & torch.isin(self.image, torch.tensor(chosen)))[:, 0]
        return Patches(self.cells[kept], self.image[kept])


def sample_places(shape: tuple[int, int, int], each: int, rng: np.random.Generator) -> Tensor:
    """Return `each` places (or all) of a grid of (channels, rows, columns), in random order."""
    cells = shape[1] * shape[2]
    return torch.from_numpy(rng.permutation(cells)[: min(each, cells)])


class BlockMemory(nn.Module):
    """A grid of features, (channels, rows, columns), to its distances from the memory, (rows, columns)."""

    def __init__(self, scale: Tensor, items: Tensor, weight: Tensor) -> None:
        """Take the channels' spread, items (count, channels) in units of it, and 1 / scale of each item, squared."""
        super().__init__()
        self.scale: Tensor
        self.items: Tensor
        self.squares: Tensor
        self.weight: Tensor
        self.register_buffer("scale", scale)
        self.register_buffer("items", -2 * items.t().contiguous())
        self.register_buffer("squares", items.square().sum(1))
        self.register_buffer("weight", weight)

    def forward(self, grid: Tensor) -> Tensor:
        """Return the density-weighted distance of each cell."""
        cells = grid.flatten(1).t() / self.scale
        gaps = torch.matmul(cells, self.items) + self.squares
        gap = gaps.amin(1, keepdim=True)
        # Which item is nearest is asked by its distance: on the line that takes a third of what an argmin takes.
        weight = torch.where(gaps <= gap, self.weight, torch.zeros(())).amax(1)
        squared = (gap[:, 0] + cells.square().sum(1)).clamp_min(0)
        return (squared * weight).sqrt().view(grid.shape[1:])


def remember(patches: Patches, count: int, neighbours: int, seed: int) -> BlockMemory:
    """Return the memory of `count` items that cover the patches.

    Raises:
        DataError: the patches are all equal, or of one image.
    """
    scale = spread_of(patches.cells)
    cells = patches.cells / scale
    chosen = coreset(cells, count, seed)
    spacing = _spacing(cells, patches.image, chosen, neighbours)
    middle = spacing.median()
    if not middle > 0:
        middle = spacing.mean()
    if not (middle > 0 and torch.isfinite(middle)):
        raise DataError("the good images are all alike: nothing says how much good parts differ; add other parts")
    return BlockMemory(scale, cells[chosen], 1 / (spacing + middle) ** 2)


def spread_of(cells: Tensor) -> Tensor:
    """Return the spread of each channel over (count, channels), none far below the middle one.

    Raises:
        DataError: no channel varies.
    """
    spread = cells.std(0, unbiased=False)
    floor = _LEAST_SPREAD * spread.median() if spread.median() > 0 else _LEAST_SPREAD * spread.max()
    if not floor > 0:
        raise DataError("the backbone sees no difference between the good images: are they all the same image?")
    return spread.clamp_min(float(floor))


def coreset(cells: Tensor, count: int, seed: int) -> Tensor:
    """Return the places of at most `count` of the cells: each next one the farthest from those chosen, no two equal."""
    if len(cells) <= count:
        return torch.arange(len(cells))
    chance = torch.Generator().manual_seed(seed)
    shadow = cells @ torch.randn(cells.shape[1], _SHADOW, generator=chance)
    norm = shadow.square().sum(1)
    least, farthest = _EQUAL * norm.max(), 0
    chosen, nearest, gap = [0], torch.full_like(norm, torch.inf), torch.empty_like(norm)
    for _ in range(count - 1):  # nothing is allocated here: it is the slowest loop of a training
        torch.addmv(norm, shadow, shadow[farthest], alpha=-2, out=gap)
        torch.minimum(nearest, gap.add_(norm[farthest]), out=nearest)
        nearest[farthest] = 0
        farthest = int(nearest.argmax())
        if not nearest[farthest] > least:
            break
        chosen.append(farthest)
    return torch.tensor(chosen)


def _spacing(cells: Tensor, image: Tensor, chosen: Tensor, neighbours: int) -> Tensor:
    """Return the mean distance of each chosen cell to the nearest cells of other images."""
    squares, found = cells.square().sum(1), []
    for part in torch.split(chosen, _CHUNK):
        gap = squares[part, None] + squares - 2 * cells[part] @ cells.t()
        gap.masked_fill_(image[part, None] == image, torch.inf)
        near = torch.topk(gap, min(neighbours, len(cells)), dim=1, largest=False).values
        found.append(near.clamp_min(0).sqrt().mean(1))
    return torch.cat(found)
