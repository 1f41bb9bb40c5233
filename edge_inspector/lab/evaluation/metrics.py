"""Figures of merit, with the bounds that their sample sizes allow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb, exp, lgamma, log

import numpy as np


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of parts, with its two-sided 95 % Clopper-Pearson bounds."""

    hits: int
    parts: int

    @property
    def value(self) -> float:
        """The share itself; 0 where there are no parts."""
        return self.hits / self.parts if self.parts else 0.0

    @property
    def low(self) -> float:
        """The smallest true rate that would show this many hits in 2.5 % of samples."""
        if self.hits == 0:
            return 0.0
        return _solve(lambda p: 1 - binomial_cdf(self.hits - 1, self.parts, p), 0.025)

    @property
    def high(self) -> float:
        """The largest true rate that would show this few hits in 2.5 % of samples."""
        if self.hits == self.parts:
            return 1.0
        return _solve(lambda p: -binomial_cdf(self.hits, self.parts, p), -0.025)

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.hits} of {self.parts}; 95 % bounds {self.low:.1%} to {self.high:.1%})"


def binomial_cdf(hits: int, trials: int, rate: float) -> float:
    """Return P(Binomial(trials, rate) <= hits)."""
    if rate <= 0:
        return 1.0
    if rate >= 1:
        return 1.0 if hits >= trials else 0.0
    return min(1.0, sum(exp(_log_term(k, trials, rate)) for k in range(hits + 1)))


def _log_term(hits: int, trials: int, rate: float) -> float:
    ways = (
        log(comb(trials, hits)) if trials < 1000 else lgamma(trials + 1) - lgamma(hits + 1) - lgamma(trials - hits + 1)
    )
    return ways + hits * log(rate) + (trials - hits) * log(1 - rate)


def _solve(rising: Callable[[float], float], target: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True, slots=True)
class Precision:
    """The share of defective parts among the rejected ones, between the ends that the bounds of both rates allow.

    Each rate is within its bounds 95 % of the time, so both are at least 90 % of the time.
    """

    value: float
    low: float
    high: float


def precision_at(prevalence: float, *, miss: Rate, false_reject: Rate) -> Precision | None:
    """Return the precision of rejecting where `prevalence` of the parts are defective (Bayes).

    A test folder holds far more defects than a line, and its own precision is too optimistic. None where nothing was
    rejected.
    """

    def precision(found: float, rejected: float) -> float:
        true, false = prevalence * found, (1 - prevalence) * rejected
        return true / (true + false) if true + false else 0.0

    if miss.hits == miss.parts and not false_reject.hits:
        return None
    return Precision(
        value=precision(1 - miss.value, false_reject.value),
        low=precision(1 - miss.high, false_reject.high),
        high=precision(1 - miss.low, false_reject.low),
    )


def average_precision(good: Sequence[float], defective: Sequence[float]) -> float:
    """Return the area under the precision-recall steps (as scikit-learn's average_precision_score)."""
    scores = np.concatenate([np.asarray(good, float), np.asarray(defective, float)])
    truth = np.r_[np.zeros(len(good)), np.ones(len(defective))]
    request = np.argsort(-scores, kind="stable")
    scores, truth = scores[request], truth[request]
    last_of_tie = np.r_[np.flatnonzero(np.diff(scores)), len(scores) - 1]
    found = np.cumsum(truth)[last_of_tie]
    precision, recall = found / (last_of_tie + 1), found / max(1, len(defective))
    return float((np.diff(np.r_[0, recall]) * precision).sum())
