"""A limit estimated by cross-validation: from the scores of all good images, each by a model that has not seen it.

New parts are judged by the model of all images, not by those of the folds, so no theorem bounds the rate (Barber,
Candes, Ramdas, Tibshirani 2021): it is an estimate. A few scores say little by their largest one, so the limit follows
from the shape of the tail.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.recipe import Decision
from edge_inspector.lab.calibration.threshold import Groups, Threshold
from edge_inspector.lab.training.target import Target

FALSE_REJECT = 0.05
"""Of good parts, where the user names no rate."""
LEAST_PARTS = 5
FEW = 59
"""Below so many parts the order of the scores cannot show 5 % at 95 %: a robust limit is taken."""
_INTERQUARTILE = 1.349
"""Standard deviations between the quartiles of a normal distribution."""
_ROOM = 1.5
"""Times the tolerance factor, of the robust limit: chosen on six sets, see JUDGE."""
_BELOW = 4.0
"""Robust standard deviations below the median where the logarithms begin."""
_NEAREST = 0.5
"""Robust standard deviations from there: a score that is nearer counts as so near."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The limits, and how they came about."""

    threshold: Threshold
    decision: Decision
    in_words: str


def estimate_limits(groups: Groups, target: Target, min_area: float) -> Estimate:
    """Return the limits from the out-of-fold scores of good parts.

    Raises:
        DataError: too few parts, all scores equal, or more parts INVALID than the target allows.
        UsageError: a review rate that is not above the rate of NG.
    """
    levels = np.array(groups.levels, np.float64)
    rate = target.false_reject or FALSE_REJECT
    _check(groups, levels, rate, target)
    value, words = tail_limit(levels, rate, target.confidence)
    above = int((levels >= value).sum()) + groups.invalid + groups.excluded
    review = None
    if target.review is not None:
        review = min(value, tail_limit(levels, target.review, target.confidence)[0])
    return Estimate(Threshold(value, rate, above), Decision(threshold=value, review=review, min_area=min_area), words)


def _check(groups: Groups, levels: NDArray[np.float64], rate: float, target: Target) -> None:
    if not np.isfinite(levels).all():
        raise DataError("a good image has no finite score: the network is damaged, retrain the part")
    if len(levels) < LEAST_PARTS:
        raise DataError(f"{len(levels)} good parts have a score, at least {LEAST_PARTS} are needed: add images")
    if levels.min() == levels.max():
        raise DataError(f"all {len(levels)} good parts have the same score {levels[0]:g}: the detector sees nothing")
    if groups.invalid > max(1.0, rate * groups.count):
        raise DataError(
            f"{groups.invalid} of {groups.count} good parts are INVALID: look at them, take out what cannot be judged"
        )
    if target.review is not None and target.review <= rate:
        raise UsageError(f"--review {target.review}: expected more than the rate of NG, {rate:.1%}")


def tail_limit(levels: NDArray[np.float64], rate: float, confidence: float) -> tuple[float, str]:
    """Return the limit that about `rate` of new good parts pass, and its formula in words."""
    low, middle, high = np.quantile(levels, (0.25, 0.5, 0.75))
    deviation = float(high - low) / _INTERQUARTILE
    factor = tolerance_factor(len(levels), rate, confidence)
    if not deviation > 0:
        return float(levels.max()) * 1.01, "the largest score, since half of the scores are equal"
    if len(levels) < FEW:
        value = float(middle) + _ROOM * factor * deviation
        return value, f"median + {_ROOM} k (interquartile range / {_INTERQUARTILE}), k = {factor:.2f}"
    begin = float(middle) - _BELOW * deviation
    logs = np.log(np.maximum(levels - begin, _NEAREST * deviation))
    value = begin + math.exp(float(logs.mean()) + factor * float(logs.std(ddof=1)))
    return value, f"exp(mean + k sd) of the logarithms above {begin:.3g}, k = {factor:.2f}"


@lru_cache
def tolerance_factor(count: int, rate: float, confidence: float) -> float:
    """Return the k for which mean + k sd of `count` normal numbers is above all but `rate` of them at `confidence`.

    The one-sided tolerance factor (noncentral t), by the distribution of the sample's standard deviation and bisection.
    """
    quantile, normal = NormalDist().inv_cdf(1 - rate), NormalDist()
    spread = np.linspace(0, 1 + 10 / math.sqrt(2 * (count - 1)), 4001)[1:]
    logs = (count - 2) * np.log(spread) - (count - 1) * spread**2 / 2
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()

    def kept(factor: float) -> float:
        inside = (math.sqrt(count) * (factor * one - quantile) for one in spread)
        return float(sum(weight * normal.cdf(x) for weight, x in zip(weights, inside, strict=True)))

    low, high = quantile, 100.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) < confidence else (low, middle)
    return high
