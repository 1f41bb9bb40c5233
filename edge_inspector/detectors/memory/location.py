"""The typical value at each place: parts that lie still get sharp limits, parts that rotate get none; nobody chooses.

The mean and variance of a cell are drawn towards those of all cells by how little of the variance the place explains.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import DataError

Maps = NDArray[np.float32]
"""Distances, (count, rows, columns)."""
_SMOOTH = 1.0
"""Cells: sigma of the Gaussian over mean and variance."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Mean and spread of the distance at each cell."""

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    def unusual(self, amap: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how far a map is above the typical value, in spreads."""
        return (amap - self.mean) / self.spread


@dataclass(frozen=True, slots=True)
class Located:
    """What the good images say of the places."""

    typical: Usual
    """For new images."""
    good: Maps
    """How unusual each good image is beside the others."""


def locate(maps: Maps) -> Located:
    """Return the typical value at each place of the good images' out-of-fold maps, and each image beside the others.

    Raises:
        DataError: the maps do not vary.
    """
    count, exact = len(maps), maps.astype(np.float64)
    if not exact.var() > 0:
        raise DataError("the good images are all alike: nothing says how much good parts differ; add other parts")
    total, squares = exact.sum(0), np.square(exact).sum(0)
    others = [_moments(total - one, squares - one**2, count - 1) for one in exact]
    share = _explained(exact, [mean for mean, _ in others]) ** 0.5
    everywhere = float(exact.mean()), float(exact.var())

    def typical(moments: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Usual:
        mean, variance = (share * own + (1 - share) * all_ for own, all_ in zip(moments, everywhere, strict=True))
        return Usual(mean.astype(np.float32), np.sqrt(variance + np.median(variance)).astype(np.float32))

    good = [typical(beside).unusual(one) for beside, one in zip(others, maps, strict=True)]
    return Located(typical(_moments(total, squares, count)), np.stack(good))


def _moments(
    total: NDArray[np.float64], squares: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0) * count / max(count - 1, 1)
    return cv2.GaussianBlur(mean, (0, 0), _SMOOTH), cv2.GaussianBlur(variance, (0, 0), _SMOOTH)


def _explained(maps: NDArray[np.float64], expected: list[NDArray[np.float64]]) -> float:
    """Return the share of the variance that the place explains, each map predicted by the others: 0 to 1."""
    left = np.mean([np.square(one - mean).mean() for one, mean in zip(maps, expected, strict=True)])
    return float(np.clip(1 - left / maps.var(), 0, 1))
