"""A recipe's numbers mean the same at every size, and nonsense is refused."""

import hashlib
import math

import numpy as np
import pytest
from factories import a_decision, a_recipe
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_inspector.inspection.recipe import Align, Decision, Recipe, Region, Unit, Window, float32_up


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


def test_a_smallest_blob_larger_than_the_image_is_refused() -> None:
    """Nothing could ever be rejected."""
    with pytest.raises(ValidationError, match="larger than the image"):
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


def test_a_recipe_from_before_parts_were_aligned_keeps_its_digest() -> None:
    """What it has not is not written, so that results before and after an upgrade say the same of the same bundle."""
    digest = hashlib.sha256(a_recipe().model_dump_json().encode()).hexdigest()

    assert digest.startswith("1558c09b75ea")
    assert not {"align", "units"} & a_recipe().model_dump().keys()


ALIGN = Align(kind="rotate", max_rotation=20, least=0.4)
REGION = Region(x=40, y=30, width=80, height=60)


def a_unit(x: int, y: int, width: int, height: int, min_area: float = 9) -> Unit:
    """Return a region with a minimum area of its own."""
    return Unit(region=Region(x=x, y=y, width=width, height=height), min_area=min_area)


def test_alignment_and_regions_come_back_from_json() -> None:
    """A bundle keeps them."""
    align = Align(kind="template", max_rotation=0, template=Region(x=1, y=2, width=9, height=9), least=0.3)
    units = (a_unit(40, 30, 20, 20), Unit(region=Region(x=60, y=30, width=20, height=20), min_area=50, typical=0.37))
    recipe = a_recipe(region=REGION, align=align, units=units)

    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"align": ALIGN}, "aligned by a region of it"),
        ({"align": ALIGN, "region": REGION, "sizes_vary": True}, "in images of one size"),
        ({"align": ALIGN, "region": Region(x=100, y=0, width=61, height=60)}, "61x60 at 100,0 is outside 160x120"),
        ({"units": (a_unit(150, 0, 20, 20),)}, "20x20 at 150,0 is outside the inspected 160x120"),
        ({"units": (a_unit(30, 30, 20, 20),), "region": REGION}, "outside the inspected 80x60 at 40,30"),
        ({"units": (a_unit(0, 0, 20, 20), a_unit(19, 19, 9, 9))}, "overlap: a pixel of the map has one minimum area"),
        ({"units": (a_unit(0, 0, 1, 120), a_unit(1, 0, 1, 120))}, "overlap: a pixel of the map"),
        ({"units": (a_unit(0, 0, 20, 20, 600),)}, "600 camera pixels is larger than the unit 20x20 at 0,0"),
    ],
)
def test_regions_that_make_no_sense_are_refused(changes: dict[str, object], words: str) -> None:
    """Outside what is seen, on top of each other, or smaller than what is to be found in them."""
    with pytest.raises(ValidationError, match=words):
        a_recipe(**changes)


@pytest.mark.parametrize(
    ("kind", "max_rotation", "template"),
    [("rotate", 0, None), ("translate", 5, None), ("template", 0, None), ("rotate", 5, REGION), ("rotate", 181, None)],
)
def test_an_alignment_that_contradicts_itself_is_refused(
    kind: str, max_rotation: float, template: Region | None
) -> None:
    """A turn where nothing may turn, a template that nobody looks for."""
    with pytest.raises(ValidationError):
        Align(kind=kind, max_rotation=max_rotation, template=template, least=0.4)  # type: ignore[arg-type]


@given(st.integers(1, 159), st.integers(1, 300))
def test_regions_that_touch_never_share_a_pixel_of_the_map(border: int, width: int) -> None:
    """However coarse the map is; but each has one column at least."""
    recipe = a_recipe(width=width)
    left = recipe.on_map(Region(x=0, y=0, width=border, height=120))
    right = recipe.on_map(Region(x=border, y=0, width=160 - border, height=120))
    thin = min(border, 160 - border) * width / 160 <= 1

    assert left.x == 0
    assert right.x + right.width == width
    assert thin or left.width == right.x
    assert thin or not left.overlaps(right)
