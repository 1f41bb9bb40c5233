"""Synthetic defects are where the mask says, and nowhere else."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_inspector.lab.training.synthetic_defects import (
    CHOOSING,
    COMPONENT,
    DEFECT_KINDS,
    SURFACE,
    SyntheticDefect,
    draw_defect,
)

KINDS = st.sampled_from(sorted(DEFECT_KINDS))
SIZES = st.sampled_from([0.03, 0.08, 0.16, 0.25])
CONTRASTS = st.sampled_from([15.0, 60.0, 120.0])


def a_plate(seed: int, channels: int = 1, *, side: int = 64) -> NDArray[np.uint8]:
    """Return a grey, slightly rough plate."""
    rng = np.random.default_rng(seed)
    return np.clip(120 + 15 * rng.standard_normal((side, side + 16, channels)), 0, 255).astype(np.uint8)


def synthetic(kind: str, size: float, contrast: float, seed: int, channels: int = 1) -> SyntheticDefect:
    """Return a plate with a defect."""
    return draw_defect(a_plate(seed, channels), kind, size, contrast, np.random.default_rng(seed))


@settings(deadline=None)
@given(kind=KINDS, size=SIZES, contrast=CONTRASTS, seed=st.integers(0, 999), channels=st.sampled_from([1, 3]))
def test_the_mask_is_where_the_image_changed(kind: str, size: float, contrast: float, seed: int, channels: int) -> None:
    """Under the mask at least 8 grey values, outside less; the good image itself is not painted on."""
    before = a_plate(seed, channels)
    found = draw_defect(before, kind, size, contrast, np.random.default_rng(seed))
    change = np.abs(found.image.astype(float) - before).max(-1)

    assert np.array_equal(before, a_plate(seed, channels))
    assert found.image.shape == before.shape
    assert found.image.dtype == np.uint8
    assert found.mask.dtype == np.bool_
    assert (change[found.mask] >= 7.5).all()
    assert (change[~found.mask] <= 8.5).all()


@settings(deadline=None)
@given(kind=KINDS, size=SIZES, contrast=CONTRASTS, seed=st.integers(0, 999))
def test_one_seed_plants_one_defect(kind: str, size: float, contrast: float, seed: int) -> None:
    """A calibration can be repeated to the pixel."""
    first, second = (synthetic(kind, size, contrast, seed) for _ in range(2))

    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.mask, second.mask)


@pytest.mark.parametrize("kind", DEFECT_KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_defect_of_the_stated_size_can_be_seen(kind: str, channels: int) -> None:
    """8 % of the shorter side at 60 grey values changes some pixels, and far from all."""
    shares = [synthetic(kind, 0.08, 60, seed, channels).mask.mean() for seed in range(20)]

    assert min(shares) > 0
    assert max(shares) < 0.1


@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_a_larger_defect_is_larger(kind: str) -> None:
    """The size on the card means something."""
    areas = [np.mean([synthetic(kind, size, 60, seed).mask.sum() for seed in range(20)]) for size in (0.04, 0.16)]

    assert areas[1] > 2 * areas[0]


@pytest.mark.parametrize("kind", DEFECT_KINDS)
@pytest.mark.parametrize("side", [16, 17, 33])
def test_small_images_can_hold_defects(kind: str, side: int) -> None:
    """Down to the smallest image that a network takes."""
    for seed in range(20):
        found = draw_defect(a_plate(seed, side=side), kind, 0.16, 60, np.random.default_rng(seed))

        assert found.image.shape == (side, side + 16, 1)


def a_board(*, second: bool = True) -> NDArray[np.uint8]:
    """Return a bare board with a dark ring, and a bright block beside it."""
    board = np.full((128, 160, 1), 120, np.uint8)
    cv2.circle(board, (40, 64), 9, 20, 4)
    if second:
        cv2.rectangle(board, (110, 55), (124, 72), 230, -1)
    return board


def test_what_chooses_does_not_judge() -> None:
    """A detector that was chosen by scratches would look good on scratches."""
    assert not set(CHOOSING) & {*SURFACE, *COMPONENT}
    assert set(DEFECT_KINDS) == {*CHOOSING, *SURFACE, *COMPONENT}


def test_a_component_is_missing_twice_or_swapped() -> None:
    """On a board with one ring there is less of the ring, or more of it; with a second component they change places."""
    one, two = a_board(second=False), a_board()
    dark = [
        [int((draw_defect(one, kind, 0.16, 0, np.random.default_rng(seed)).image < 60).sum()) for seed in range(20)]
        for kind in ("missing", "twice")
    ]
    swapped = [draw_defect(two, "swapped", 0.16, 0, np.random.default_rng(seed)) for seed in range(20)]

    assert np.mean(dark[0]) < 0.8 * (one < 60).sum()
    assert np.mean(dark[1]) > 1.2 * (one < 60).sum()
    assert sum(bool(found.mask[55:73, 30:50].any() and found.mask[50:78, 100:134].any()) for found in swapped) >= 8


def test_a_defect_that_cannot_be_seen_has_an_honest_mask() -> None:
    """White on white: the image is returned, and the mask marks nothing that did not change."""
    white = np.full((32, 32, 1), 255, np.uint8)
    for seed in range(20):
        found = draw_defect(white, "stain", 0.1, 5, np.random.default_rng(seed))

        assert not found.mask.any()
        assert found.image.min() >= 250


def test_a_kind_that_does_not_exist_is_refused() -> None:
    """Only what the card can name is synthetic."""
    with pytest.raises(KeyError):
        draw_defect(a_plate(0), "rust", 0.1, 60, np.random.default_rng(0))
