"""How well scores tell defective parts from good ones: the one figure that training and evaluation share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def auroc(good: Sequence[float], defective: Sequence[float]) -> float:
    """Return the chance that a defective part scores higher than a good one, ties counted half.

    Raises:
        ValueError: one of the classes is empty, or a score is not finite.
    """
    scores = np.concatenate([np.asarray(good, float), np.asarray(defective, float)])
    if not len(good) or not len(defective):
        raise ValueError(f"AUROC needs both classes, got {len(good)} good and {len(defective)} defective")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    ranks = _mean_ranks(scores)
    positives = len(defective)
    return float((ranks[len(good) :].sum() - positives * (positives + 1) / 2) / (positives * len(good)))


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
