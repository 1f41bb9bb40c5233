"""How well scores part good from defective parts, whatever the limit is; intervals by drawing the images again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
REJECTED = 0.05
"""Share of the good test images whose rejection is paid for `miss_at`."""
_CHUNK = 250
"""Draws at a time: bounds the memory."""
_OUTER = (2.5, 97.5)
"""Percentiles of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and its 95 % interval."""

    value: float
    low: float
    high: float

    def as_json(self, name: str) -> dict[str, float]:
        """Return the figure under its name, the ends beside it."""
        return dict(zip(interval_names(name), (self.value, self.low, self.high), strict=True))


def interval_names(name: str) -> tuple[str, str, str]:
    """Return the names under which a figure and the ends of its interval are published."""
    return name, f"{name}_low", f"{name}_high"


@dataclass(frozen=True, slots=True)
class Separation:
    """Two ways to say it."""

    miss_at_5: Interval
    """Defective parts that pass where 5 % of these good images are rejected."""
    image_auroc: Interval
    """The chance that a defective part scores higher than a good one."""

    def as_json(self) -> dict[str, float]:
        """Return the figures by the names of the contract."""
        return {**self.miss_at_5.as_json("miss_rate_at_5"), **self.image_auroc.as_json("image_auroc")}


SEPARATION_UNKNOWN = dict.fromkeys((*interval_names("miss_rate_at_5"), *interval_names("image_auroc")))
"""What is published where a class is missing."""


def separate(good: Sequence[float], defective: Sequence[float]) -> Separation:
    """Return how well the scores part the classes; neither may be empty."""
    return Separation(miss_at(good, defective), auroc_interval(good, defective))


def auroc_interval(good: Sequence[float], defective: Sequence[float], draws: int = DRAWS) -> Interval:
    """Return the chance that a defective part scores higher than a good one; neither class may be empty."""
    return interval_of(wins(good, defective), np.random.default_rng(0), draws)


def interval_of(pairs: NDArray[np.float32], rng: np.random.Generator, draws: int = DRAWS) -> Interval:
    """Return the mean of a value of each pair, (good, defective); bootstrap over images, each class by itself."""
    low, high = np.percentile(bootstrap_means(pairs, draws, rng), _OUTER)
    return Interval(float(pairs.mean()), float(low), float(high))


def miss_at(
    good: Sequence[float], defective: Sequence[float], rejected: float = REJECTED, draws: int = DRAWS
) -> Interval:
    """Return the share of defective parts that pass where that share of these good images is rejected.

    The limit is set by the test images themselves: it ranks detectors, no line can have it. Neither class may be empty.
    """
    bad, fine = np.asarray(defective, np.float64), np.asarray(good, np.float64)
    rng = np.random.default_rng(0)
    drawn = [_missed(rng.choice(fine, len(fine)), rng.choice(bad, len(bad)), rejected) for _ in range(draws)]
    low, high = np.percentile(drawn, _OUTER)
    return Interval(_missed(fine, bad, rejected), float(low), float(high))


def _missed(good: NDArray[np.float64], defective: NDArray[np.float64], rejected: float) -> float:
    return float((defective <= np.quantile(good, 1 - rejected)).mean())


def wins(good: Sequence[float], defective: Sequence[float]) -> NDArray[np.float32]:
    """Return who scores higher, (good, defective): 1 the defective part, 0.5 neither, 0 the good one.

    Its mean is the AUROC; of images that are drawn several times it is the mean with these weights.
    """
    fine, bad = np.asarray(good)[:, None], np.asarray(defective)
    return np.asarray((bad > fine) + 0.5 * (bad == fine), np.float32)


def bootstrap_means(pairs: NDArray[np.float32], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the mean of rows and columns of `pairs` that are drawn with replacement, for each draw."""
    rows, columns = pairs.shape
    means = []
    for start in range(0, draws, _CHUNK):
        count = min(_CHUNK, draws - start)
        of_rows = rng.multinomial(rows, np.full(rows, 1 / rows), count) / rows
        of_columns = rng.multinomial(columns, np.full(columns, 1 / columns), count) / columns
        means.append(((of_rows @ pairs) * of_columns).sum(1))
    return np.concatenate(means)
