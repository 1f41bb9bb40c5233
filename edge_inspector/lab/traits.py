"""What is kept of an image after a look at it: size, depth, the range in use and a miniature, never its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.model import Image
from edge_inspector.inspection.recipe import Window

SIDE = 32
"""Of a miniature."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What is kept of one image."""

    width: int
    height: int
    depth: str
    """`uint8` or `uint16`."""
    low: float
    high: float
    """Values below and above which hardly a pixel (0.1 %) lies; of 8 bits, all that there are: 0 and 255."""
    small: NDArray[np.float32] = field(repr=False)
    """Shrunk to 32 x 32 grey values, the camera's own, as one row."""


def traits_of(image: Image) -> Traits:
    """Return what is kept of an image, grey or blue-green-red, uint8 or uint16."""
    height, width = image.shape[:2]
    low, high = (0.0, 255.0) if image.dtype == np.uint8 else map(float, np.percentile(image, (0.1, 99.9)))
    return Traits(width, height, str(image.dtype), low, high, _miniature(image))


def window_of(traits: Sequence[Traits]) -> Window:
    """Return the grey values between which a 16-bit camera's good parts lie, with a tenth of room on either side.

    Cameras put 10 or 12 bits into 16: what they use of it is known from what they gave.
    """
    low, high = _range_in_use(traits)
    room = max(1.0, 0.1 * (high - low))
    return Window(low=max(0, round(low - room)), high=min(65535, round(high + room)))


def miniatures_of(traits: Sequence[Traits]) -> NDArray[np.float32]:
    """Return the miniatures, (count, 1024), where 0 to 255 is the range that the images of their depth use."""
    ranges = {
        depth: _range_in_use([one for one in traits if one.depth == depth]) for depth in {t.depth for t in traits}
    }
    rows = [(one.small - ranges[one.depth][0]) * _unit(*ranges[one.depth]) for one in traits]
    return np.stack(rows).astype(np.float32)


def _range_in_use(traits: Sequence[Traits]) -> tuple[float, float]:
    return min(one.low for one in traits), max(one.high for one in traits)


def _unit(low: float, high: float) -> float:
    return 255 / max(1.0, high - low)


def _miniature(image: Image) -> NDArray[np.float32]:
    grey = image if image.ndim == 2 else cast("Image", cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    return np.asarray(cv2.resize(grey.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)).ravel()
