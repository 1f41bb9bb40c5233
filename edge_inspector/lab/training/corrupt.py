"""Spoil good images for denoising training, fresh every time; system 001's recipe (reference 1.2)."""

import cv2
import numpy as np
from numpy.typing import NDArray

LINES = 5
NOISE = 0.10


def corrupt(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return copies of uint8 (count, height, width, channels) with five white lines each and 10 % noise."""
    spoiled = images.copy()
    height, width, channels = images.shape[1:]
    for image in spoiled:
        for ends in rng.integers(0, (width, height, width, height), (LINES, 4)):
            cv2.line(image, tuple(map(int, ends[:2])), tuple(map(int, ends[2:])), (255,) * channels, 1)
    noise = rng.standard_normal(spoiled.shape, np.float32) * (255 * NOISE)
    return np.clip(spoiled + noise, 0, 255).astype(np.uint8)
