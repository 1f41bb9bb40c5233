"""The prior system's decision rule, for comparison (reference 1.3): relative to each image's own maximum."""

import cv2
import numpy as np

from edge_inspector.inspection.model import AnomalyMap

AREA_LIMIT = 85.0
"""Contour area in pixels of a 256 x 256 map, from which a part is rejected."""


def largest_area(amap: AnomalyMap) -> float:
    """Return the largest external contour's area among the pixels above two thirds of this map's maximum.

    Clipped to [-1, 1], blurred 5x5 (sigma 1.1), cut at 2/3 of the centre of the last of 256 bins, `contourArea`.
    Where the prior system crashed (nothing above the limit) the area is 0.
    """
    blurred = cv2.GaussianBlur(np.clip(amap, -1, 1), (5, 5), 0) * 255
    low, high = float(blurred.min()), float(blurred.max())
    limit = 2 / 3 * (high - (high - low) / 512)
    mask = (blurred > limit).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return max((float(cv2.contourArea(contour)) for contour in contours), default=0.0)
