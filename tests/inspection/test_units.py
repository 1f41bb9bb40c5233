"""Several regions under one threshold: each counts by its own measure, and what is shown is what decided."""

from typing import Any

import numpy as np
import pytest
from factories import a_decision, a_placement, a_recipe
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edge_inspector.inspection.inspector import judge
from edge_inspector.inspection.model import Reason, Verdict
from edge_inspector.inspection.recipe import Recipe, Region, Unit
from edge_inspector.inspection.units import as_judged, blobs_of, fields_of, level_of

Map = NDArray[np.float32]
MAPS = hnp.arrays(np.float32, (12, 16), elements=st.sampled_from([np.float32(v) for v in (0, 0.1, 0.3, 0.7, 1.1, 2.2)]))
TYPICAL = st.sampled_from([0.1, 0.3, 1.0, 1.7])


def a_unit(x: int, y: int, width: int, height: int, **changes: Any) -> Unit:  # noqa: ANN401
    """Return a unit with a minimum area of one pixel."""
    values = {"region": Region(x=x, y=y, width=width, height=height), "min_area": 1.0, **changes}
    return Unit(**values)


def a_recipe_of(*units: Unit, **changes: Any) -> Recipe:  # noqa: ANN401
    """Return a recipe whose map is the camera image, 16 x 12."""
    values = {"width": 16, "height": 12, "camera_width": 16, "camera_height": 12, "units": units, **changes}
    return a_recipe(**{"decision": a_decision(threshold=1.0, min_area=1), **values})


@given(MAPS, TYPICAL, TYPICAL, st.integers(1, 9), st.sampled_from([0.999999, 1.0, 0.3000001, 7.0]))
def test_a_level_over_the_limit_means_a_blob_in_some_region(
    amap: Map, first: float, second: float, min_area: int, threshold: float
) -> None:
    """Exactly, whatever the regions are measured by; an NG part has a box, an OK part has none."""
    recipe = a_recipe_of(
        a_unit(0, 0, 8, 12, typical=first, min_area=min_area),
        a_unit(8, 2, 8, 6, typical=second),
        decision=a_decision(threshold=threshold, min_area=1),
    )
    judged = as_judged(amap, recipe, None)
    blobs = blobs_of(judged, recipe, a_placement(16, 12))

    assert bool(blobs) == (level_of(judged, recipe) >= recipe.decision.threshold)
    assert all(blob.area >= (min_area if blob.x < 8 else 1) for blob in blobs)
    assert all(blob.x + blob.width <= 8 or blob.x >= 8 for blob in blobs)


def test_each_region_has_its_own_minimum_area_and_measure() -> None:
    """The same spot is a defect in one region, too small in another, usual in a third and nobody's beside them."""
    recipe = a_recipe_of(
        a_unit(0, 0, 4, 12), a_unit(4, 0, 4, 12, min_area=5), a_unit(8, 0, 4, 12, typical=10.0), a_unit(12, 0, 2, 12)
    )
    found = []
    for x in (1, 5, 9, 14):
        amap = np.zeros((12, 16), np.float32)
        amap[4:6, x : x + 2] = 3
        judgement = judge(as_judged(amap, recipe, None), recipe, a_placement(16, 12))
        found.append((judgement.verdict, judgement.score, len(judgement.blobs)))

    assert found[0] == (Verdict.NG, 3.0, 1)
    assert found[1] == (Verdict.OK, 0.0, 0)
    assert found[2] == (Verdict.OK, pytest.approx(0.3), 0)
    assert found[3] == (Verdict.OK, 0.0, 0)


def test_without_regions_all_of_the_map_is_judged_as_ever() -> None:
    """Nothing is scaled, nothing copied."""
    recipe = a_recipe_of()
    amap = np.random.default_rng(0).random((12, 16), np.float32)

    assert as_judged(amap, recipe, None) is amap
    assert [part.cut for part in fields_of(recipe)] == [(slice(0, 12), slice(0, 16))]
    assert level_of(amap, recipe) == float(amap.max())


def test_the_mask_and_the_regions_hold_together() -> None:
    """What is masked is silent in a region too."""
    recipe = a_recipe_of(a_unit(2, 2, 8, 8, typical=2.0))
    amap = np.full((12, 16), 4, np.float32)
    ignore = np.zeros((12, 16), bool)
    ignore[:, :6] = True
    judged = as_judged(amap, recipe, ignore)

    assert np.unique(judged).tolist() == [0, 2]
    assert np.argwhere(judged).min(0).tolist() == [2, 6]
    assert np.argwhere(judged).max(0).tolist() == [9, 9]


def test_a_number_that_is_none_is_a_fault_outside_the_regions_too() -> None:
    """A damaged graph is not excused by where it shows."""
    recipe = a_recipe_of(a_unit(2, 2, 4, 4))
    amap = np.zeros((12, 16), np.float32)
    amap[11, 15] = np.nan

    assert judge(as_judged(amap, recipe, None), recipe, a_placement(16, 12)).reason is Reason.NOT_FINITE


def test_an_operator_reads_which_blobs_count() -> None:
    """From the smallest to the largest minimum area."""
    recipe = a_recipe_of(a_unit(0, 0, 4, 12, min_area=3), a_unit(4, 0, 4, 12, min_area=9))
    detail = judge(np.zeros((12, 16), np.float32), recipe, a_placement(16, 12)).detail

    assert detail == "no blob of 3 to 9 px, by region, over the limit, score 0.00"
