"""Changes that a good part may show as well: trained, so that they are not held against it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.detectors.settings import AUGMENTATIONS

_TURN = 5.0
"""Degrees to either side."""
_SHIFT = 0.03
"""Share of the side."""
_BRIGHTNESS = 0.1


class Augment:
    """Makes the named changes to uint8 (count, height, width, channels), each image its own."""

    def __init__(self, names: str) -> None:
        """Take names with commas between; see `AUGMENTATIONS`."""
        self._changes = [_CHANGES[name] for name in names.split(",") if name]

    def __call__(self, images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return changed copies, or the images themselves where nothing is to be changed."""
        for change in self._changes:
            images = np.stack([change(image, rng).reshape(image.shape) for image in images])
        return images


def _flip(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Mirror left to right, top to bottom, both, or not."""
    horizontal, vertical = rng.integers(0, 2, 2)
    return image[:: -1 if vertical else 1, :: -1 if horizontal else 1]


def _rotate(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-_TURN, _TURN), 1)
    return np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _shift(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    move = np.array([[1, 0, rng.uniform(-_SHIFT, _SHIFT) * width], [0, 1, rng.uniform(-_SHIFT, _SHIFT) * height]])
    return np.asarray(cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _brightness(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    gain = 1 + rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)
    changed: NDArray[np.uint8] = np.clip(np.rint(image * gain), 0, 255).astype(np.uint8)
    return changed


_CHANGES = dict(zip(AUGMENTATIONS, (_flip, _rotate, _shift, _brightness), strict=True))
