"""The residual graph of `memory`: packed features to the anomaly map, and what each of its parts gave."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspector.detectors.autoencoders.ssim import Blur
from edge_inspector.detectors.memory.density import BlockMemory
from edge_inspector.detectors.memory.location import Usual
from edge_inspector.detectors.memory.taps import Layout
from edge_inspector.detectors.memory.whole_image import WholeImage, statistics_of

MAPS = ("fine", "middle", "deep", "coarse")
"""What the maps are called: those of stride 8, of stride 16 from two depths, and of stride 32."""
WHOLE_BLOCKS = slice(2, 4)
"""Of the four: whose statistics tell the image as a whole."""
FLOOR = 2.0
"""Interquartile ranges by which an image can be more usual as a whole than the middle good one; no level is below 0."""
_LEAST_SIGMA = 0.3
"""Cells: a Gaussian that is narrower changes nothing."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What makes scores of two kinds comparable: the middle of good images and their interquartile range."""

    middle: float = 0.0
    range: float = 1.0


class CellMap(nn.Module):
    """A block's grid to its distances, smoothed by one cell of the finest grid and brought to that."""

    def __init__(self, memory: BlockMemory, columns: int, finest: tuple[int, int]) -> None:
        super().__init__()
        self.memory = memory
        self.finest = finest
        sigma = columns / finest[1]
        self.smooth = Blur(sigma, max(1, round(4 * sigma))) if sigma > _LEAST_SIGMA else nn.Identity()

    def forward(self, grid: Tensor) -> Tensor:
        """Return the map of a grid, (channels, rows, columns): (1, 1, rows, columns) of the finest grid."""
        smoothed: Tensor = self.smooth(self.memory(grid)[None, None])
        return functional.interpolate(smoothed, size=self.finest, mode="bilinear", align_corners=False)


class Joined(nn.Module):
    """Four located maps and the distance of the image as a whole to one anomaly map and its parts.

    Map: the positive part of (root mean square of what is unusual - middle) / range, and for every cell the same of the
    image as a whole. So the stranger the image as a whole, the lower the limit for what is strange in it; and no level
    is below what the image as a whole gives alone.
    """

    def __init__(self, patch: Scale, whole: Scale, size: tuple[int, int]) -> None:
        super().__init__()
        self.patch = patch
        self.whole = whole
        self.size = size

    def fused(self, located: Tensor) -> Tensor:
        """Return the root mean square of the positive parts, (1, 1, height, width) of the detector's size."""
        cells = located.clamp_min(0).square().mean(1, keepdim=True).sqrt()
        return functional.interpolate(cells, size=self.size, mode="bilinear", align_corners=False)

    def forward(self, located: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map, (height, width), and what of it is the image's as a whole, a scalar.

        Args:
            located: (1, 4, rows, columns), each map in units of its usual maximum.
            distance: of the image as a whole, a scalar.
        """
        patches = ((self.fused(located)[0, 0] - self.patch.middle) / self.patch.range).clamp_min(0)
        whole = ((distance - self.whole.middle) / self.whole.range + FLOOR).clamp_min(0)
        return patches + whole, whole


class MemoryResidual(nn.Module):
    """Image and packed features to the anomaly map, the share of the image as a whole, and those of the maps."""

    def __init__(
        self, layout: Layout, maps: Sequence[CellMap], typical: Sequence[Usual], whole: WholeImage, joined: Joined
    ) -> None:
        super().__init__()
        self.layout = layout
        self.maps = nn.ModuleList(maps)
        self.whole = whole
        self.joined = joined
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", torch.from_numpy(np.stack([one.mean for one in typical]))[None])
        self.register_buffer("spread", torch.from_numpy(np.stack([one.spread for one in typical]))[None])

    def forward(self, _image: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        """Return the map, (height, width); what the whole image gives, (1); each map's part in the worst cell, (1)."""
        grids = self.layout.unpack(features)
        distances = torch.cat([cell_map(grid) for cell_map, grid in zip(self.maps, grids, strict=True)], 1)
        located = (distances - self.mean) / self.spread
        amap, whole = self.joined(located, self.whole(statistics_of(grids[WHOLE_BLOCKS])))
        # A clamp makes 0 of what is not a number, and nothing would be unusual: so it must come through beside it.
        finite = features.sum() * 0
        return amap + finite, (whole + finite).view(1), *parts_of(located)


def parts_of(located: Tensor) -> tuple[Tensor, ...]:
    """Return what part each map has in the most unusual cell, (1) each; together 1, or 0 where nothing is unusual."""
    squares = located.clamp_min(0).square()[0].flatten(1)
    total = squares.sum(0)
    worst = squares[:, total.argmax()]
    return torch.split(worst / worst.sum().clamp_min(1e-12), 1)
