"""Training images are spoiled afresh every time, and the good ones stay good."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_inspector.lab.training.corrupt import LINES, NOISE, corrupt

GREY = np.full((4, 64, 48, 1), 128, np.uint8)


class NoNoise:
    """A generator that draws real places and no noise."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def integers(self, low: object, high: object, size: object) -> NDArray[np.int64]:
        """Return real chance."""
        return self._rng.integers(low, high, size)  # type: ignore[call-overload,no-any-return]

    def standard_normal(self, shape: tuple[int, ...], dtype: type[np.float32]) -> NDArray[np.float32]:
        """Return silence."""
        return np.zeros(shape, dtype)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("channels", [1, 3])
def test_there_are_five_white_lines_in_each_image(seed: int, channels: int) -> None:
    """Without the noise: all that changed is white, in at most five pieces, each thin."""
    black = np.zeros((2, 200, 200, channels), np.uint8)
    spoiled = corrupt(black, NoNoise(seed))  # type: ignore[arg-type]

    assert LINES == 5
    for image in spoiled:
        pieces = cv2.connectedComponents((image.max(-1) > 0).astype(np.uint8), connectivity=8)[0] - 1
        assert set(np.unique(image)) == {0, 255}
        assert 1 <= pieces <= LINES
        assert (image[..., 0] > 0).sum() <= LINES * 200
    assert not np.array_equal(spoiled[0], spoiled[1])


def test_the_noise_is_a_tenth_of_the_range() -> None:
    """A standard deviation of 25.5 grey values where there is no line."""
    spoiled = corrupt(GREY, np.random.default_rng(0)).astype(float)
    ordinary = spoiled[np.abs(spoiled - 128) < 80]

    assert NOISE == 0.10
    assert np.std(ordinary) == pytest.approx(25.5, rel=0.06)
    assert np.mean(ordinary) == pytest.approx(128, abs=1.5)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99))
def test_the_good_images_are_left_as_they_were(seed: int) -> None:
    """What was spoiled is a copy, of the same shape and kind."""
    images = np.random.default_rng(seed).integers(0, 256, (3, 16, 20, 3), np.uint8)
    before = images.copy()
    found = corrupt(images, np.random.default_rng(seed))

    assert np.array_equal(images, before)
    assert found.shape == images.shape
    assert found.dtype == np.uint8


def test_chance_is_fresh_and_can_be_repeated() -> None:
    """Two epochs see other lines; two trainings with one seed see the same."""
    rng = np.random.default_rng(0)
    first, second = corrupt(GREY, rng), corrupt(GREY, rng)

    assert not np.array_equal(first, second)
    assert np.array_equal(first, corrupt(GREY, np.random.default_rng(0)))
