"""The rules of other systems, each as it is defined: for comparison, on the same maps."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_inspector.errors import UsageError
from edge_inspector.inspection.score import area_level
from edge_inspector.lab.evaluation.aivision import AREA_LIMIT, largest_area
from edge_inspector.lab.evaluation.rules import RULE_NAMES, check_rule, prior_rule

LEVELS = tuple(float(level) for level in range(1, 102))


def a_map(value: float, side: int = 12) -> NDArray[np.float32]:
    """Return a map with one square."""
    amap = np.zeros((64, 64), np.float32)
    amap[20 : 20 + side, 20 : 20 + side] = value
    return amap


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        ("mean+3sd", 51 + 3 * np.std(LEVELS)),
        ("mean+2.5sd", 51 + 2.5 * np.std(LEVELS)),
        ("mean+3*sd", 51 + 3 * np.std(LEVELS)),
        ("percentile-95", 96.0),
        ("percentile-50", 51.0),
        ("max-area", np.nextafter(101.0, 200.0)),
    ],
)
def test_a_rule_rejects_from_its_limit_on(rule: str, limit: float) -> None:
    """Just below passes, just above is rejected; the score is the level in units of the limit."""
    score = prior_rule(rule, LEVELS, 100)

    assert score(a_map(limit * 0.999)) < 1 <= score(a_map(limit * 1.001))
    assert score(a_map(limit * 2)) == pytest.approx(2, rel=1e-5)


def test_a_blob_below_the_minimum_area_is_not_seen() -> None:
    """All three take the level of the blob rule, so that only the limit differs."""
    assert prior_rule("max-area", LEVELS, 100)(a_map(1e6, side=9)) == 0


def test_max_area_passes_every_good_part_that_it_was_fitted_on() -> None:
    """The smallest threshold at which no region of the good maps has the minimum area."""
    rng = np.random.default_rng(0)
    maps = [rng.random((32, 32), np.float32) for _ in range(10)]
    score = prior_rule("max-area", [area_level(amap, 20) for amap in maps], 20)

    assert max(map(score, maps)) < 1
    assert max(map(score, maps)) == pytest.approx(1)


def test_aivision_is_the_prior_system_s_contour_area() -> None:
    """Largest contour over 85."""
    amap = a_map(0.9)

    assert prior_rule("aivision", LEVELS, 100)(amap) == largest_area(amap) / AREA_LIMIT


def test_otsu_finds_a_defect_in_every_image_that_is_not_flat() -> None:
    """It always splits a map in two, hence a good part with a little noise is rejected: the rule's weakness."""
    rng = np.random.default_rng(0)
    score = prior_rule("otsu", LEVELS, 20)

    assert score(a_map(0.01)) >= 1
    assert score(rng.random((64, 64), np.float32) * np.float32(1e-3)) >= 1
    assert score(np.zeros((64, 64), np.float32)) == 0


def test_levels_of_nothing_reject_whatever_has_any() -> None:
    """No division by zero where most good parts have no level."""
    score = prior_rule("percentile-50", [0.0, 0.0, 1.0], 100)

    assert score(a_map(0)) == 0
    assert score(a_map(0.1)) >= 1


@pytest.mark.parametrize("name", RULE_NAMES)
def test_every_named_rule_exists(name: str) -> None:
    """What the help promises is there."""
    check_rule(name)


@pytest.mark.parametrize("name", ["magic", "percentile-101", "mean+sd", ""])
def test_a_rule_that_does_not_exist_is_refused(name: str) -> None:
    """The message lists those that do."""
    with pytest.raises(UsageError, match=r"expected one of calibrated, aivision, mean\+3sd"):
        check_rule(name)
