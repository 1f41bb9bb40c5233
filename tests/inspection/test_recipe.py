"""A recipe's numbers mean the same at every size, and nonsense is refused."""

import math

import numpy as np
import pytest
from factories import a_decision, a_recipe
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_inspector.inspection.recipe import Decision, Recipe, Region, Window, float32_up


@given(value=st.floats(1e-30, 1e30))
@example(value=28_303_185.0)
def test_a_limit_is_a_number_that_maps_can_hold(value: float) -> None:
    """Rounded up to float32: a map would otherwise compare one way and its level another."""
    limit = float32_up(value)

    assert limit >= value
    assert np.float32(limit) == limit
    assert float(np.nextafter(np.float32(limit), np.float32(0))) < value
    assert float32_up(limit) == limit


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf, 1e39])
def test_a_limit_that_nothing_can_reach_is_refused(bad: float) -> None:
    """A threshold of infinity would pass every part; 1e39 is infinity to a map."""
    with pytest.raises(ValidationError):
        Decision(threshold=bad, min_area=9)


def test_the_review_limit_lies_below_the_limit() -> None:
    """A band that is upside down is refused, and the lowest limit is where blobs begin to show."""
    assert a_decision(threshold=1, review=0.5).lowest == 0.5
    assert a_decision(threshold=1).lowest == 1
    with pytest.raises(ValidationError, match="expected review <= threshold"):
        a_decision(threshold=1, review=2)


@pytest.mark.parametrize(
    ("min_area", "changes", "expected"),
    [
        (100, {}, 21),
        (1, {}, 1),
        (0.01, {}, 1),
        (100, {"width": 160, "height": 120}, 100),
        (100, {"region": Region(x=0, y=0, width=64, height=64)}, 100),
        (100, {"region": Region(x=0, y=0, width=128, height=64)}, 50),
        (19_200, {}, 4096),
    ],
)
def test_the_smallest_blob_is_converted_once_from_camera_to_map(
    min_area: float, changes: dict[str, object], expected: int
) -> None:
    """Camera pixels in, map pixels out, at least one, by the share of the region that a map pixel covers."""
    assert a_recipe(decision=a_decision(min_area=min_area), **changes).min_area_px == expected


def test_a_smallest_blob_larger_than_the_picture_is_refused() -> None:
    """Nothing could ever be rejected."""
    with pytest.raises(ValidationError, match="larger than the picture"):
        a_recipe(decision=a_decision(min_area=19_300))


@pytest.mark.parametrize(
    "changes",
    [{"channels": 2}, {"channels": 0}, {"width": 0}, {"height": 5000}, {"camera_width": 0}, {"colour": True}],
    ids=str,
)
def test_a_recipe_that_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    """Two channels, no width, or a key that nobody knows."""
    with pytest.raises(ValidationError):
        a_recipe(**changes)


@pytest.mark.parametrize(("low", "high"), [(5, 5), (6, 5), (-1, 5), (0, 65536)])
def test_a_window_has_room_between_low_and_high(low: int, high: int) -> None:
    """Grey values of 16 bits, low before high."""
    with pytest.raises(ValidationError):
        Window(low=low, high=high)


def test_a_recipe_comes_back_from_json_as_it_was() -> None:
    """What was calibrated is what is loaded, to the last bit of the limit."""
    recipe = a_recipe(decision=a_decision(threshold=0.1, review=0.05), region=Region(x=1, y=2, width=30, height=40))

    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
