"""The image as a whole: mean and spread of each channel, beside those of good parts (Ledoit, Wolf 2004).

It sees what no patch shows: a missing or misplaced component, a wrong type, a wide change of texture.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_inspector.errors import DataError

Statistics = NDArray[np.float64]
"""(count, numbers)."""
_LEAST_SPREAD = 0.01


def statistics_of(grids: Sequence[Tensor]) -> Tensor:
    """Return mean and spread of each channel of the grids, each (channels, rows, columns), as one row."""
    return torch.cat([torch.cat(_moments(grid.flatten(1))) for grid in grids])


def _moments(cells: Tensor) -> tuple[Tensor, Tensor]:
    mean = cells.mean(1)
    return mean, (cells - mean[:, None]).square().mean(1).sqrt()


class WholeImage(nn.Module):
    """The Mahalanobis distance of an image's statistics, (numbers), from those of good ones."""

    def __init__(self, mean: NDArray[np.float64], root: NDArray[np.float64]) -> None:
        """Take the centre and the (numbers, numbers) root of the inverse covariance."""
        super().__init__()
        self.mean: Tensor
        self.root: Tensor
        self.register_buffer("mean", torch.from_numpy(mean.astype(np.float32)))
        self.register_buffer("root", torch.from_numpy(root.astype(np.float32)))

    def forward(self, statistics: Tensor) -> Tensor:
        """Return the distance, a scalar."""
        return torch.matmul(statistics - self.mean, self.root).square().sum().sqrt()


def learn_whole(good: Statistics) -> WholeImage:
    """Return the distance from good images' statistics.

    Raises:
        DataError: the statistics do not vary.
    """
    from sklearn.covariance import ledoit_wolf  # noqa: PLC0415 - half a second

    mean, spread = good.mean(0), good.std(0)
    floor = _LEAST_SPREAD * float(np.median(spread[spread > 0])) if (spread > 0).any() else 0.0
    if not floor > 0:
        raise DataError("the backbone sees no difference between the good images: are they all the same image?")
    spread = np.maximum(spread, floor)
    covariance, _ = ledoit_wolf((good - mean) / spread, assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    if not values[0] > 0:
        raise DataError("the good images vary in one way only: add other parts")
    return WholeImage(mean, vectors / np.sqrt(values) / spread[:, None])
