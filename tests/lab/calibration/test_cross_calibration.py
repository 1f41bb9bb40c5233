"""A limit from out-of-fold scores: right where the shape of the tail is known, and never called a bound."""

import math

import numpy as np
import pytest
from scipy.stats import nct, norm

from edge_inspector.errors import DataError, UsageError
from edge_inspector.lab.calibration.cross_calibration import FEW, estimate_limits, tail_limit, tolerance_factor
from edge_inspector.lab.calibration.threshold import Groups
from edge_inspector.lab.training.target import Target


def groups(levels: list[float], invalid: int = 0) -> Groups:
    """Return parts with these levels, and some INVALID ones."""
    return Groups(tuple(levels), (0.0,) * invalid, 0)


@pytest.mark.parametrize("count", [5, 30, 220])
@pytest.mark.parametrize(("rate", "confidence"), [(0.05, 0.95), (0.01, 0.9)])
def test_the_factor_is_that_of_the_noncentral_t(count: int, rate: float, confidence: float) -> None:
    """Scipy is the oracle; a line's PC has none."""
    expected = nct.ppf(confidence, count - 1, norm.ppf(1 - rate) * math.sqrt(count)) / math.sqrt(count)

    assert tolerance_factor(count, rate, confidence) == pytest.approx(expected, rel=1e-3)


def test_one_odd_image_among_a_few_does_not_set_the_limit() -> None:
    """Thirty scores, one of them ten times as far: the robust limit stays where the others say."""
    scores = np.random.default_rng(0).normal(10, 1, 30)
    odd = [*scores[:-1], 30.0]

    assert tail_limit(np.array(odd), 0.05, 0.95)[0] < 16


@pytest.mark.parametrize("count", [30, FEW, 200])
def test_normal_scores_keep_the_rate_about_as_often_as_stated(count: int) -> None:
    """Of 200 factories hardly any rejects more than 5 % of its good parts."""
    rng = np.random.default_rng(1)
    limits = [tail_limit(rng.normal(10, 1, count), 0.05, 0.95)[0] for _ in range(200)]
    broken = sum(norm.sf(limit, 10, 1) > 0.05 for limit in limits)

    assert broken <= 30


def test_the_card_s_numbers_say_how_many_are_above() -> None:
    """INVALID parts count, and the words name the formula."""
    found = estimate_limits(groups([*np.random.default_rng(0).normal(10, 1, 40), 40.0], invalid=1), Target(), 9)

    assert found.threshold.exceedances == 2
    assert found.threshold.false_reject == 0.05
    assert found.decision.threshold == pytest.approx(found.threshold.value)
    assert "interquartile" in found.in_words


def test_a_review_band_lies_below_the_limit() -> None:
    """More good parts may be looked at than rejected."""
    found = estimate_limits(groups(list(np.random.default_rng(0).normal(10, 1, 80))), Target(review=0.2), 9)

    assert found.decision.review is not None
    assert found.decision.review < found.decision.threshold


@pytest.mark.parametrize(
    ("parts", "target", "error", "words"),
    [
        (groups([1.0, 2, 3, 4]), Target(), DataError, "at least 5"),
        (groups([1.0] * 8), Target(), DataError, "same score"),
        (groups([1.0, 2, 3, 4, math.nan]), Target(), DataError, "no finite score"),
        (groups([1.0, 2, 3, 4, 5, 6], invalid=3), Target(), DataError, "3 of 9 good parts are INVALID"),
        (groups([1.0, 2, 3, 4, 5, 6]), Target(review=0.03), UsageError, "more than the rate of NG"),
    ],
    ids=["few", "alike", "not finite", "invalid", "review"],
)
def test_scores_that_say_nothing_are_refused(parts: Groups, target: Target, error: type[Exception], words: str) -> None:
    """In words that say what was found."""
    with pytest.raises(error, match=words):
        estimate_limits(parts, target, 9)
