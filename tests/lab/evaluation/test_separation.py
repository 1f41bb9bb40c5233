"""How well scores part the classes, and how sure a few images make of it."""

import numpy as np
import pytest

from edge_inspector.lab.evaluation.separation import auroc_interval, bootstrap_means, interval_names, miss_at

GOOD = [float(score) for score in range(100)]


def test_the_limit_of_the_ranking_rejects_a_twentieth_of_the_good() -> None:
    """Good parts from 0 to 99: the limit lies at 94.05, a defective part just there passes."""
    found = miss_at(GOOD, [94.0, 94.05, 94.1, 200.0])

    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0.0, 1.0), abs=0.26)
    assert found.low < found.value < found.high


def test_a_larger_sample_has_the_narrower_interval() -> None:
    """Ten times the images."""
    few, many = (np.linspace(60, 120, count).tolist() for count in (8, 320))
    found, surer = miss_at(GOOD, few), miss_at(GOOD * 5, many)

    assert surer.value == pytest.approx(found.value, abs=0.1)
    assert surer.high - surer.low < 0.5 * (found.high - found.low)


def test_the_area_counts_ties_by_half() -> None:
    """Two good, two defective parts; one pair is equal."""
    found = auroc_interval([0.1, 0.5], [0.5, 0.9])

    assert found.value == pytest.approx(3.5 / 4)
    assert found.low <= found.value <= found.high == 1.0


def test_an_interval_is_the_same_each_time() -> None:
    """No report changes when it is written again."""
    assert miss_at(GOOD, [90.0, 99.0]) == miss_at(GOOD, [90.0, 99.0])


def test_a_figure_is_published_with_its_ends() -> None:
    """By the names of the contract."""
    assert interval_names("miss") == ("miss", "miss_low", "miss_high")
    assert auroc_interval([0.0], [1.0]).as_json("a") == {"a": 1.0, "a_low": 1.0, "a_high": 1.0}


def test_pairs_that_are_all_alike_have_no_spread() -> None:
    """Whatever is drawn, the mean stays; and every draw is made."""
    drawn = bootstrap_means(np.full((3, 4), 0.25, np.float32), 601, np.random.default_rng(0))

    assert drawn.shape == (601,)
    assert drawn == pytest.approx(0.25)
