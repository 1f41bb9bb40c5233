"""The rules by which other systems decide, on our maps: for comparison only, never for a verdict on the line.

Each rule becomes a score of one anomaly map, and a part is rejected from 1 on; so ROC curves and rates are comparable.
Rules that need good parts take the levels of the calibration card: the same images, the same maps, another rule.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import cv2
import numpy as np

from edge_inspector.errors import UsageError
from edge_inspector.inspection.model import AnomalyMap
from edge_inspector.inspection.score import area_level
from edge_inspector.lab.evaluation.aivision import AREA_LIMIT, largest_area
from edge_inspector.text import did_you_mean

Score: TypeAlias = Callable[[AnomalyMap], float]
"""A map to a number; 1 and above is a reject."""

CALIBRATED = "calibrated"
RULE_NAMES = (CALIBRATED, "aivision", "mean+3sd", "percentile-95", "max-area", "otsu")
"""As `evaluate --rule` takes them; 3 and 95 may be other numbers."""
_SPREAD = re.compile(r"mean\+(\d+(?:\.\d+)?)\*?sd")
_PERCENTILE = re.compile(r"percentile-(\d+(?:\.\d+)?)")
_TINY = 1e-12


def prior_rule(name: str, levels: Sequence[float], min_area_px: int) -> Score:
    """Return the rule `name`, fitted on the levels of good parts.

    Args:
        name: `aivision`: two thirds of this map's maximum, contour area of 85 (system 001).
            `mean+Ksd`: mean and K standard deviations of good levels (system 000).
            `percentile-P`: the P-th percentile of good levels (system 003).
            `max-area`: the threshold at which no region of good maps has the minimum area (Bergmann et al. 2019).
            `otsu`: Otsu's limit within this map, scaled from its minimum to its maximum (system 004).
        levels: of good parts that trained nothing.
        min_area_px: smallest region that counts, map pixels.

    Raises:
        UsageError: no such rule.
    """
    if name == "aivision":
        return lambda amap: largest_area(amap) / AREA_LIMIT
    if name == "otsu":
        return lambda amap: _otsu_area(amap) / min_area_px
    limit = _limit(name, np.asarray(levels, float))
    return lambda amap: area_level(amap, min_area_px) / max(limit, _TINY)


def check_rule(name: str) -> None:
    """Raise UsageError for a rule that does not exist."""
    if name not in (CALIBRATED, "aivision", "otsu"):
        _limit(name, np.ones(2))


def _limit(name: str, levels: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    if spread := _SPREAD.fullmatch(name):
        return float(levels.mean() + float(spread[1]) * levels.std())
    if (percentile := _PERCENTILE.fullmatch(name)) and float(percentile[1]) <= 100:
        return float(np.percentile(levels, float(percentile[1])))
    if name == "max-area":
        return float(np.nextafter(levels.max(), np.inf))
    raise UsageError(f"--rule {name}: expected one of {', '.join(RULE_NAMES)}{did_you_mean(name, RULE_NAMES)}")


def _otsu_area(amap: AnomalyMap) -> float:
    """Return the largest 8-connected region above Otsu's limit; the rule always finds two classes, defect or not."""
    smooth = cv2.GaussianBlur(amap, (0, 0), 1.0)
    low, high = float(smooth.min()), float(smooth.max())
    if high <= low:
        return 0.0
    grey = np.rint((smooth - low) * (255 / (high - low))).astype(np.uint8)
    _, mask = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    return float(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
