"""Which way a part lies on a plain background, by its silhouette."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

_LEAST_SHARE, _MOST_SHARE = 0.005, 0.7
"""Of the image's area that a part may cover."""
_LEAST_ELONGATION = 1.15
"""Longest by shortest spread: a rounder silhouette points nowhere."""
_MOST_EDGE = 0.1
"""Share of the image's rim that a part may lie on."""


def long_axis(grey: NDArray[np.uint8]) -> float | None:
    """Return the direction of the part's long axis, -90 to 90 degrees clockwise from right.

    The part is the largest region on the other side of Otsu's limit than the image's rim. None where there is no
    such region, where it covers hardly anything or nearly everything, lies on the rim, or is about as long as wide.
    """
    _, bright = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    rim = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    share = float(rim.mean())
    if min(share, 1 - share) > _MOST_EDGE:
        return None
    part = bright if share < 0.5 else 1 - bright
    count, labels, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=8, ltype=cv2.CV_32S)
    if count == 1:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if not _LEAST_SHARE <= stats[largest, cv2.CC_STAT_AREA] / grey.size <= _MOST_SHARE:
        return None
    return _axis(cast("NDArray[np.bool_]", labels == largest))


def _axis(part: NDArray[np.bool_]) -> float | None:
    moments = cv2.moments(part.astype(np.uint8), binaryImage=True)
    spread = np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]])
    values, vectors = np.linalg.eigh(spread)
    if values[1] < _LEAST_ELONGATION**2 * max(values[0], 1e-9):
        return None
    x, y = vectors[:, 1]
    return float((np.rad2deg(np.arctan2(y, x)) + 90) % 180 - 90)
