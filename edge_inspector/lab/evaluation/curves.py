"""The curves behind AUROC and average precision, as points."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = tuple[tuple[float, float], ...]


def roc_curve(good: Sequence[float], defective: Sequence[float]) -> Points:
    """Return (share of good parts rejected, share of defective parts found) from the strictest limit to none."""
    rejected, found = _counts(good, defective)
    return ((0.0, 0.0), *zip(rejected / len(good), found / len(defective), strict=True))


def precision_recall_curve(good: Sequence[float], defective: Sequence[float]) -> Points:
    """Return (share of defective parts found, share of defective parts among the rejected), strictest limit first."""
    rejected, found = _counts(good, defective)
    return tuple(zip(found / len(defective), found / (rejected + found), strict=True))


def _counts(good: Sequence[float], defective: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many good and how many defective parts have each score or a higher one, highest score first."""
    limits = np.unique(np.r_[np.asarray(good, float), np.asarray(defective, float)])[::-1]
    ranked = (np.sort(np.asarray(part, float)) for part in (good, defective))
    rejected, found = (len(part) - np.searchsorted(part, limits, "left") for part in ranked)
    return rejected.astype(float), found.astype(float)
