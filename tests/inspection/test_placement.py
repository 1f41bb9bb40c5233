"""The map and the camera image agree about places, however the part lies."""

import cv2
import numpy as np
import pytest
from factories import a_bracket
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.inspection.placement import Placement, Pose, cut_out, cut_upright, spread

POSE = Pose(turn=17, shift_x=9, shift_y=-6, middle_x=100, middle_y=80, correlation=1)


def a_place(pose: Pose | None, *, map_width: int = 100, map_height: int = 80) -> Placement:
    """Return where the map lies that shows the bracket with some room round it."""
    return Placement(50, 40, 100, 80, map_width, map_height, pose)


@pytest.mark.parametrize("size", [(100, 80), (50, 40), (32, 64), (200, 160)])
def test_a_part_that_was_moved_is_seen_as_if_it_had_not(size: tuple[int, int]) -> None:
    """Turned back and shifted back, at every size of the detector's image."""
    width, height = size
    still = cut_out(a_bracket(1), a_place(None, map_width=width, map_height=height)).astype(float)
    moved = a_bracket(2, turn=17, shift=(9, -6))
    aligned = cut_out(moved, a_place(POSE, map_width=width, map_height=height)).astype(float)
    not_aligned = cut_out(moved, a_place(None, map_width=width, map_height=height)).astype(float)

    assert aligned.shape == (height, width, 3)
    assert np.abs(aligned - still).mean() < 5
    assert np.abs(not_aligned - still).mean() > 20


def test_a_large_image_is_seen_without_noise() -> None:
    """Each pixel of an image much larger than the map counts, aligned or not: their noise averages out alike."""
    rng = np.random.default_rng(0)
    noise = rng.normal(128, 30, (800, 1000)).clip(0, 255).astype(np.uint8)
    pose = Pose(5, 3, 4, 500, 400, 1)
    spreads = [cut_out(noise, Placement(200, 200, 512, 384, 64, 48, one)).std() for one in (None, pose)]

    assert max(spreads) < 6
    assert spreads[1] == pytest.approx(spreads[0], rel=0.35)


@given(
    st.floats(-180, 180),
    st.tuples(st.integers(0, 60), st.integers(0, 50)),
    st.tuples(st.integers(1, 30), st.integers(1, 25)),
)
def test_the_box_of_a_blob_holds_what_was_there(turn: float, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """A spot in the camera image, found on the map, lies in the box that the map gives back, inside the image."""
    pose = Pose(turn, 4, -3, 100, 80, 1)
    placement = a_place(pose)
    x, y, width, height = placement.to_camera(*corner, *size)
    middle = placement.corners(corner[0], corner[1], *size).mean(0)

    assert 0 <= x < x + width <= 200
    assert 0 <= y < y + height <= 160
    assert x <= middle[0] <= x + width
    assert y <= middle[1] <= y + height


def test_a_part_that_lies_as_in_the_reference_has_the_boxes_of_one_that_is_not_aligned() -> None:
    """The two ways of reckoning agree where they must."""
    still = Pose(0, 0, 0, 100, 80, 1)

    for box in ((0, 0, 100, 80), (3, 5, 7, 9), (40, 30, 1, 1)):
        assert a_place(still).to_camera(*box) == a_place(None).to_camera(*box)


@pytest.mark.parametrize("pose", [None, POSE], ids=["still", "moved"])
def test_a_map_is_brought_back_to_where_it_was_cut(pose: Pose | None) -> None:
    """What is spread over the camera image and cut out again is the same; beside it there is nothing."""
    rng = np.random.default_rng(0)
    amap = cv2.GaussianBlur(rng.random((80, 100), np.float32), (0, 0), 4)
    placement = a_place(pose)
    whole, covered = spread(amap, placement, (160, 200, 3))

    assert whole.shape == covered.shape == (160, 200)
    assert not whole[~covered].any()
    assert covered.sum() == pytest.approx(100 * 80, rel=0.02)
    assert np.abs(cut_out(whole, placement) - amap)[2:-2, 2:-2].max() < 0.02


def test_a_mask_is_rotated_as_its_image() -> None:
    """White where the defect is drawn, nothing between black and white."""
    drawn = np.zeros((160, 200), np.uint8)
    outline = a_place(POSE).corners(36, 52, 8, 12)
    cv2.fillPoly(drawn, [np.rint(outline).astype(np.int32)], 255)
    found = cut_upright(drawn, a_place(POSE))
    rows, columns = np.nonzero(found)

    assert set(np.unique(found)) == {0, 255}
    assert (columns.min(), columns.max()) == (pytest.approx(36, abs=1), pytest.approx(44, abs=1))
    assert (rows.min(), rows.max()) == (pytest.approx(52, abs=1), pytest.approx(64, abs=1))
