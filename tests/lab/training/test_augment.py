"""What a good part may show as well is trained, and nothing else is changed."""

import numpy as np
import pytest
from factories import a_part

from edge_inspector.detectors.settings import AUGMENTATIONS, parse_settings
from edge_inspector.errors import UsageError
from edge_inspector.lab.training.augment import Augment


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_change_makes_copies_of_the_same_kind(name: str) -> None:
    """Other pixels, the same shape, and the given images stay."""
    images = np.stack([a_part(seed) for seed in range(6)])
    before = images.copy()

    found = Augment(name)(images, np.random.default_rng(0))

    assert np.array_equal(images, before)
    assert (found.shape, found.dtype) == (images.shape, np.uint8)
    assert not np.array_equal(found, images)
    assert np.array_equal(found, Augment(name)(images, np.random.default_rng(0)))


@pytest.mark.parametrize("name", ["rotate", "shift", "brightness"])
def test_a_change_is_small(name: str) -> None:
    """A good part stays one: on average a few grey values."""
    images = np.stack([a_part(seed) for seed in range(6)])

    found = Augment(name)(images, np.random.default_rng(0))

    assert 0 < np.abs(found.astype(float) - images).mean() < 15


def test_nothing_is_changed_unasked() -> None:
    """The very images come back, so nobody computes on copies."""
    images = np.stack([a_part(seed) for seed in range(2)])

    assert Augment("")(images, np.random.default_rng(0)) is images


def test_an_unknown_change_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(UsageError, match="expected some of flip, rotate, shift, brightness, got mirror"):
        parse_settings("padim", {"augment": "flip,mirror"})


def test_a_flipped_image_is_a_mirror_image() -> None:
    """Each is one of four, and all four come."""
    image = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    mirrored = {image[:, ::down, ::across].tobytes(): (down, across) for down in (1, -1) for across in (1, -1)}
    seen = {mirrored[one.tobytes()] for one in Augment("flip")(np.repeat(image, 60, 0), np.random.default_rng(0))}

    assert len(seen) == 4
