"""What a station may do to the image of one and the same part: shift, rotation, light, noise, focus."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

import cv2
import numpy as np

from edge_inspector.inspection.model import Image

_Change: TypeAlias = Callable[[Image, float], Image]
_NOISE_SEED = 0
"""Noise is the same for each image and amount, so that only its strength differs."""


@dataclass(frozen=True, slots=True)
class ChangeSeries:
    """One kind of change, by growing amounts."""

    unit: str
    amounts: tuple[float, ...]
    change: _Change


def change(image: Image, kind: str, amount: float) -> Image:
    """Return a copy of a camera image, uint8 or uint16, changed by one of `LADDERS`.

    Raises:
        KeyError: no such kind.
    """
    return LADDERS[kind].change(image, amount)


def shake(image: Image, rng: np.random.Generator) -> Image:
    """Return a copy as the next shot of a part that is held well: every kind at once, at most its smallest amount."""
    for ladder in LADDERS.values():
        image = ladder.change(image, ladder.amounts[0] * rng.uniform(-1, 1))
    return image


def _shift(image: Image, pixels: float) -> Image:
    """Move to the right and down, below 0 to the left and up; the edge is repeated."""
    return _warped(image, np.array([[1, 0, pixels], [0, 1, pixels]], np.float64))


def _shift_back(image: Image, pixels: float) -> Image:
    return _shift(image, -pixels)


def _turn(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    return _warped(image, cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1))


def _warped(image: Image, matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Image:
    height, width = image.shape[:2]
    return cast("Image", cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def _light(image: Image, percent: float) -> Image:
    return _fitted(image.astype(np.float32) * (1 + percent / 100), image)


def _noise(image: Image, grey_values: float) -> Image:
    unit = 1.0 if image.dtype == np.uint8 else max(1.0, float(np.ptp(image)) / 255)  # a camera may use 12 of 16 bits
    noise = np.random.default_rng(_NOISE_SEED).standard_normal(image.shape, np.float32)
    return _fitted(image + noise * np.float32(abs(grey_values) * unit), image)


def _focus(image: Image, sigma: float) -> Image:
    return cast("Image", cv2.GaussianBlur(image, (0, 0), abs(sigma))) if abs(sigma) > 0.05 else image


def _fitted(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], image: Image) -> Image:
    return cast("Image", np.clip(np.rint(values), 0, np.iinfo(image.dtype).max).astype(image.dtype))


LADDERS: dict[str, ChangeSeries] = {
    "shift": ChangeSeries("px", (1, 2, 4, 8, 16, 32), _shift),
    "shift back": ChangeSeries("px", (1, 2, 4, 8, 16, 32), _shift_back),
    "turn": ChangeSeries("degrees", (0.25, 0.5, 1, 2, 4), _turn),
    "darker": ChangeSeries("%", (-1, -2, -5, -10, -20), _light),
    "brighter": ChangeSeries("%", (1, 2, 5, 10, 20), _light),
    "noise": ChangeSeries("grey values", (1, 2, 4, 8, 16), _noise),
    "blur": ChangeSeries("px sigma", (0.5, 1, 2, 4), _focus),
}
"""Shifts (right and down; left and up) and blurs are in camera pixels."""
