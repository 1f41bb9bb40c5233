"""Figures of merit are those of scikit-learn and scipy."""

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom
from sklearn.metrics import average_precision_score

from edge_inspector.lab.evaluation.metrics import Rate, average_precision, binomial_cdf, precision_at

TIED = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30)
ANY = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@settings(deadline=None)
@given(good=TIED | ANY, defective=TIED | ANY)
def test_average_precision_is_scikit_learn_s(good: list[float], defective: list[float]) -> None:
    """Ties included."""
    truth, scores = [0] * len(good) + [1] * len(defective), good + defective

    assert average_precision(good, defective) == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(data=st.data(), parts=st.integers(1, 200))
def test_bounds_are_clopper_and_pearson_s(data: st.DataObject, parts: int) -> None:
    """95 % two-sided, from the beta distribution."""
    hits = data.draw(st.integers(0, parts))
    rate = Rate(hits, parts)

    assert rate.low == pytest.approx(beta.ppf(0.025, hits, parts - hits + 1) if hits else 0, abs=1e-9)
    assert rate.high == pytest.approx(beta.ppf(0.975, hits + 1, parts - hits) if hits < parts else 1, abs=1e-9)
    assert rate.low <= rate.value <= rate.high


def test_a_rate_without_parts_says_that_nothing_is_known() -> None:
    """No division by zero, and bounds from 0 to 1."""
    rate = Rate(0, 0)

    assert (rate.value, rate.low, rate.high) == (0, 0, 1)


def test_a_rate_can_be_read_aloud() -> None:
    """Share, counts and bounds in one line."""
    assert str(Rate(3, 20)) == "15.0% (3 of 20; 95 % bounds 3.2% to 37.9%)"


@settings(deadline=None)
@given(data=st.data(), trials=st.integers(1, 1500), rate=st.floats(0, 1))
def test_the_binomial_distribution_is_scipy_s(data: st.DataObject, trials: int, rate: float) -> None:
    """Small samples and large ones, to the ends of the range."""
    hits = data.draw(st.integers(-1, min(trials, 60)))

    assert binomial_cdf(hits, trials, rate) == pytest.approx(binom.cdf(hits, trials, rate), abs=1e-9)


def test_the_binomial_distribution_is_exact_on_a_coin() -> None:
    """Against the definition itself."""
    expected = sum(comb(10, k) for k in range(4)) / 2**10

    assert binomial_cdf(3, 10, 0.5) == pytest.approx(expected, abs=1e-15)


def test_precision_at_a_line_s_defect_rate_is_bayes() -> None:
    """90 % found and 5 % rejected wrongly are 15 % at one defect in a hundred, by counting a million parts."""
    found = precision_at(0.01, miss=Rate(10, 100), false_reject=Rate(5, 100))

    assert found is not None
    assert found.value == pytest.approx(9_000 / (9_000 + 49_500))
    assert found.low < found.value < found.high


@pytest.mark.parametrize(("prevalence", "expected"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.8)])
def test_precision_follows_the_defect_rate(prevalence: float, expected: float) -> None:
    """Nothing defective, everything, and as in a test folder."""
    found = precision_at(prevalence, miss=Rate(2, 10), false_reject=Rate(2, 10))

    assert found is not None
    assert found.value == pytest.approx(expected)


def test_where_nothing_is_rejected_there_is_no_precision() -> None:
    """No division by zero."""
    assert precision_at(0.01, miss=Rate(5, 5), false_reject=Rate(0, 5)) is None
