"""Changes are of the stated kind and size, and a picture stays a picture."""

import numpy as np
import pytest
from factories import a_part

from edge_inspector.lab.jitter import LADDERS, change, shake


@pytest.mark.parametrize("kind", LADDERS)
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_larger_amounts_change_more(kind: str, depth: type[np.uint8 | np.uint16]) -> None:
    """Of grey and of colour pictures of any depth; the picture itself stays as it was."""
    for image in (a_part(3), a_part(3)[..., 0]):
        taken = image.astype(depth) * depth(np.iinfo(depth).max // 255)
        kept = taken.copy()
        differences = [
            np.abs(change(taken, kind, amount).astype(float) - taken).mean() for amount in LADDERS[kind].amounts
        ]

        assert differences == sorted(differences)
        assert differences[0] > 0
        assert change(taken, kind, LADDERS[kind].amounts[0]).dtype == depth
        assert (taken == kept).all()


def test_a_shift_is_so_many_camera_pixels() -> None:
    """Right and down; back is left and up."""
    image = a_part(5)

    assert (change(image, "shift", 4)[4:, 4:] == image[:-4, :-4]).all()
    assert (change(image, "shift back", 4)[:-4, :-4] == image[4:, 4:]).all()


def test_noise_is_of_the_range_that_a_camera_uses() -> None:
    """16 of 255 grey values are 16 of 255 in 12 bits too; of all 16 bits they drowned the part."""
    image = (a_part(5)[..., 0].astype(np.uint16) - a_part(5).min()) * 16
    moved = change(image, "noise", 16).astype(float) - image

    assert np.std(moved[image > 1600]) == pytest.approx(16 * np.ptp(image) / 255, rel=0.1)


def test_light_is_a_share_and_is_clipped() -> None:
    """20 % more of 250 is white."""
    image = np.array([[100, 250]], np.uint8)

    assert change(image, "brighter", 20).tolist() == [[120, 255]]
    assert change(image, "darker", -10).tolist() == [[90, 225]]


def test_the_next_shot_of_a_part_is_nearly_the_same() -> None:
    """Never the same twice, and every seed gives its own again."""
    image = a_part(7)
    shots = [shake(image, np.random.default_rng(seed)) for seed in (0, 0, 1)]

    assert (shots[0] == shots[1]).all()
    assert (shots[0] != shots[2]).any()
    assert 0 < np.abs(shots[0].astype(float) - image).mean() < 6
