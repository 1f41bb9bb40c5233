"""The blobs that are shown are those that decided."""

import numpy as np
from factories import a_decision, a_placement
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edge_inspector.inspection.blobs import find_blobs
from edge_inspector.inspection.placement import Placement
from edge_inspector.inspection.score import area_level

Map = NDArray[np.float32]
SIDES = st.integers(3, 8)
# Limits that float32 cannot hold, a hair beside values that it can: where map and level would part.
LIMITS = st.builds(
    lambda value, hair: float(np.float32(value)) * (1 + hair),
    st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.1]),
    st.sampled_from([-1e-6, -1e-8, -1e-12, 0, 1e-12, 1e-8, 1e-6]),
)
VALUES = st.sampled_from([np.float32(value) for value in (0, 0.1, 0.3, 0.5, 0.7, 1.1)])
MAPS = hnp.arrays(np.float32, st.tuples(SIDES, SIDES), elements=VALUES, fill=st.nothing())


@settings(deadline=None)
@given(amap=MAPS, limit=LIMITS, min_area=st.integers(1, 9))
def test_a_level_over_the_limit_means_a_blob_and_nothing_else_does(amap: Map, limit: float, min_area: int) -> None:
    """An NG part always has a box to look at, and an OK part never has one."""
    decision = a_decision(threshold=limit)
    blobs = find_blobs(amap, decision, min_area, a_placement(amap.shape[1], amap.shape[0]))

    assert any(blob.over_threshold for blob in blobs) == (area_level(amap, min_area) >= decision.threshold)
    assert all(blob.over_threshold for blob in blobs)
    assert all(blob.area >= min_area for blob in blobs)


@settings(deadline=None)
@given(amap=MAPS, limits=st.tuples(LIMITS, LIMITS), min_area=st.integers(1, 9))
def test_a_review_limit_shows_more_blobs_and_says_which_are_over(
    amap: Map, limits: tuple[float, float], min_area: int
) -> None:
    """Between review limit and limit a blob is shown, marked as not over the limit."""
    decision = a_decision(review=min(limits), threshold=max(limits))
    blobs = find_blobs(amap, decision, min_area, a_placement(amap.shape[1], amap.shape[0]))
    level = area_level(amap, min_area)

    assert bool(blobs) == (level >= decision.lowest)
    assert any(blob.over_threshold for blob in blobs) == (level >= decision.threshold)


@settings(deadline=None)
@given(
    amap=MAPS,
    origin=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_a_box_covers_its_defect_and_stays_in_the_region(
    amap: Map, origin: tuple[int, int], size: tuple[int, int]
) -> None:
    """Every place over the limit lies inside a box, in camera pixels, whatever the scale."""
    height, width = amap.shape
    placement = Placement(*origin, *size, width, height)
    blobs = find_blobs(amap, a_decision(threshold=0.3), 1, placement)

    for row, column in np.argwhere(amap >= np.float32(0.3)):
        left, right = origin[0] + column * size[0] / width, origin[0] + (column + 1) * size[0] / width
        top, bottom = origin[1] + row * size[1] / height, origin[1] + (row + 1) * size[1] / height
        assert any(
            blob.x <= left + 1e-6
            and right - 1e-6 <= blob.x + blob.width
            and blob.y <= top + 1e-6
            and bottom - 1e-6 <= blob.y + blob.height
            for blob in blobs
        )
    for blob in blobs:
        assert origin[0] <= blob.x < blob.x + blob.width <= origin[0] + size[0]
        assert origin[1] <= blob.y < blob.y + blob.height <= origin[1] + size[1]
        assert blob.area >= 1


def test_the_worst_blob_comes_first() -> None:
    """Over the limit before near it, large before small; areas and peaks are in camera pixels and limits."""
    amap = np.zeros((10, 20), np.float32)
    amap[1:3, 1:3] = 2
    amap[1:5, 6:10] = 1
    amap[1:9, 13:19] = 0.6
    decision = a_decision(threshold=1.0, review=0.5)
    blobs = find_blobs(amap, decision, 1, Placement(0, 0, 40, 20, 20, 10))

    assert [(blob.over_threshold, blob.area) for blob in blobs] == [(True, 64), (True, 16), (False, 192)]
    assert [blob.peak for blob in blobs] == [1.0, 2.0, np.float32(0.6)]


def test_a_strong_place_too_small_inside_a_weak_region_is_not_over_the_limit() -> None:
    """One hot pixel does not make a large faint stain a defect."""
    amap = np.zeros((10, 10), np.float32)
    amap[2:8, 2:8] = 0.7
    amap[4, 4] = 3
    blobs = find_blobs(amap, a_decision(threshold=1.0, review=0.5), 4, a_placement(10, 10))

    assert [blob.over_threshold for blob in blobs] == [False]
