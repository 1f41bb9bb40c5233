"""How well the map shows where a defect is: figures over pixels, regions and boxes, all in map pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.model import AnomalyMap
from edge_inspector.lab.data.masks import TruthMask

FPR_LIMIT = 0.3
"""AUPRO is taken up to this false-positive rate (Bergmann et al. 2021)."""
_BITS = 20


@dataclass(frozen=True, slots=True)
class Overlap:
    """What the blobs of one image have in common with its mask; a good part's mask marks nothing."""

    iou: float
    """Pixels in both, of the pixels in either; 0 where there are none."""
    box_iou: float
    """Of the boxes round the largest region of each."""
    regions: int
    """Of the mask."""
    found: int
    """Regions of the mask that a blob lies on, with one pixel at least."""
    false_blobs: int
    """Blobs that lie on no region of the mask."""


def overlap(blobs: TruthMask, truth: TruthMask) -> Overlap:
    """Compare the pixels of the blobs with the truth; both bool (height, width)."""
    union = int((blobs | truth).sum())
    regions, true_labels = _regions(truth)
    count, blob_labels = _regions(blobs)
    return Overlap(
        iou=int((blobs & truth).sum()) / union if union else 0.0,
        box_iou=box_iou(blobs, truth),
        regions=regions,
        found=len(np.unique(true_labels[blobs & truth])),
        false_blobs=count - len(np.unique(blob_labels[blobs & truth])),
    )


def blob_pixels(amap: AnomalyMap, threshold: float, min_area: int) -> TruthMask:
    """Return the pixels of the regions of `amap >= threshold` that have `min_area` pixels."""
    mask = (amap >= np.float32(threshold)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    counts = stats[:, cv2.CC_STAT_AREA] >= min_area
    counts[0] = False
    return np.asarray(counts[labels])


def box_iou(found: TruthMask, truth: TruthMask) -> float:
    """Return the prior system's figure: IoU of the boxes round the largest region of each, in inclusive pixels.

    The prior system made both boxes a pixel too large and crashed on an empty mask; here that is 0.
    """
    if not found.any() or not truth.any():
        return 0.0
    (left, top, right, bottom), other = _largest_box(found), _largest_box(truth)
    width = min(right, other[2]) - max(left, other[0]) + 1
    height = min(bottom, other[3]) - max(top, other[1]) + 1
    shared = max(0, width) * max(0, height)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in ((left, top, right, bottom), other)]
    return shared / (sum(areas) - shared)


class PixelTally:
    """Counts map values on defects and beside them, in memory that does not grow with the images.

    Values are told apart by the upper 20 bits of a float32, that is to 1 part in 2,048.
    """

    def __init__(self) -> None:
        self._beside = np.zeros(1 << _BITS, np.int64)
        self._on = np.zeros(1 << _BITS, np.int64)
        self._share = np.zeros(1 << _BITS, np.float64)
        self._regions = 0

    def add(self, amap: AnomalyMap, truth: TruthMask) -> None:
        """Count the pixels of one image."""
        keys = _keys(amap)
        self._beside += np.bincount(keys[~truth], minlength=1 << _BITS)
        if not truth.any():
            return
        regions, labels = _regions(truth)
        areas = np.bincount(labels.ravel())
        self._on += np.bincount(keys[truth], minlength=1 << _BITS)
        self._share += np.bincount(keys[truth], 1 / areas[labels[truth]], minlength=1 << _BITS)
        self._regions += regions

    def auroc(self) -> float | None:
        """Return the chance that a pixel on a defect has a higher value than one beside; None without either."""
        if not self._on.any() or not self._beside.any():
            return None
        false_positive, true_positive = _rising(self._beside), _rising(self._on)
        return float(np.trapezoid(true_positive, false_positive))

    def aupro(self) -> float | None:
        """Return the area under the mean overlap with each region, over the false-positive rate up to 0.3.

        Divided by 0.3, so that 1 is perfect; every region counts the same, however small (Bergmann et al. 2021).
        """
        if not self._regions or not self._beside.any():
            return None
        rate, mean_overlap = _rising(self._beside), _rising(self._share)
        inside = rate < FPR_LIMIT
        x = np.r_[rate[inside], FPR_LIMIT]
        y = np.r_[mean_overlap[inside], np.interp(FPR_LIMIT, rate, mean_overlap)]
        return float(np.trapezoid(y, x)) / FPR_LIMIT


def _regions(mask: TruthMask) -> tuple[int, NDArray[np.int32]]:
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    return count - 1, np.asarray(labels, np.int32)


def _largest_box(mask: TruthMask) -> tuple[int, int, int, int]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    x, y, width, height, _ = (int(value) for value in stats[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])])
    return x, y, x + width - 1, y + height - 1


def _keys(amap: AnomalyMap) -> NDArray[np.uint32]:
    """Return unsigned numbers that are ordered as the values are; 0.0 is added so that -0.0 equals 0.0."""
    bits = np.ascontiguousarray(amap + np.float32(0), np.float32).view(np.uint32)
    sign = np.uint32(1 << 31)
    return np.asarray(np.where(bits & sign, ~bits, bits | sign) >> np.uint32(32 - _BITS))


def _rising(histogram: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the counts at or above each value, from the highest value down, beginning with 0."""
    total = np.cumsum(histogram[::-1], dtype=np.float64)
    return np.asarray(np.r_[0.0, total / total[-1]])
