"""The level of an anomaly map: one number that says exactly when a blob rule rejects it."""

from collections.abc import Iterator
from math import ceil, sqrt

import cv2
import numpy as np

from edge_inspector.inspection.model import AnomalyMap

_OUTSIDE = np.float32(-np.inf)


def area_level(amap: AnomalyMap, min_area: int) -> float:
    """Return the highest value at which some 8-connected region of `amap >= value` has `min_area` pixels.

    It is the maximum of the map's area opening (Vincent 1992), found without opening the map: a square that fits
    gives a lower bound, and only regions that can beat it are bisected, each in its own shrinking box.

    Args:
        amap: float32 (height, width), finite.
        min_area: 1 to height * width.

    Raises:
        ValueError: the map is not finite, or `min_area` is out of range.
    """
    if not 1 <= min_area <= amap.size:
        raise ValueError(f"expected a minimum area of 1 to {amap.size} px, got {min_area}")
    if not np.isfinite(amap).all():
        raise ValueError("the anomaly map is not finite")
    if min_area == 1:
        return float(amap.max())
    best = _square_level(amap, min_area)
    boxes = list(_regions(amap, best, min_area))
    while boxes:
        box = boxes.pop()
        above = np.sort(box[box > best])
        if above.size < min_area:
            continue
        # No value above this one is held by min_area pixels, let alone by connected ones.
        above = above[: above.size - min_area + 1]
        while above.size:
            middle = float(above[above.size // 2])
            found = list(_regions(box, middle, min_area))
            if found:
                best = max(best, middle)
                boxes.extend(found)
                break
            above = above[above < middle]
    return best


def _square_level(amap: AnomalyMap, min_area: int) -> float:
    """Return the highest value at which a square of `min_area` pixels or more fits; at least the map's minimum."""
    side = ceil(sqrt(min_area))
    height, width = amap.shape
    if side > min(height, width):
        return float(amap.min())
    eroded = cv2.erode(amap, np.ones((side, side), np.uint8))
    before, after = side // 2, (side - 1) // 2
    return float(eroded[before : height - after, before : width - after].max())


def _regions(amap: AnomalyMap, value: float, min_area: int) -> Iterator[AnomalyMap]:
    """Yield each 8-connected region of `amap >= value` with `min_area` pixels, cut out, all else at -infinity."""
    mask = (amap >= np.float32(value)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    for label in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= min_area) + 1:
        x, y, width, height, _ = stats[label]
        cut = np.s_[y : y + height, x : x + width]
        yield np.where(labels[cut] == label, amap[cut], _OUTSIDE)
