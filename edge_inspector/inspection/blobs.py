"""The regions of an anomaly map that are over the limit."""

import cv2
import numpy as np

from edge_inspector.inspection.model import AnomalyMap, Blob
from edge_inspector.inspection.placement import Placement
from edge_inspector.inspection.recipe import Decision


def find_blobs(
    amap: AnomalyMap, decision: Decision, min_area: int, placement: Placement, corner: tuple[int, int] = (0, 0)
) -> tuple[Blob, ...]:
    """Return the 8-connected regions of `amap >= decision.lowest` with at least `min_area` pixels, worst first.

    Args:
        amap: float32 (height, width), finite.
        decision: the limits.
        min_area: map pixels.
        placement: where the whole map lies in the camera image.
        corner: x and y of `amap` on the whole map.
    """
    mask = (amap >= np.float32(decision.lowest)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    blobs = []
    for label in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= min_area) + 1:
        x, y, width, height, area = (int(value) for value in stats[label])
        cut = np.s_[y : y + height, x : x + width]
        region = np.where(labels[cut] == label, amap[cut], -np.inf).astype(np.float32)
        box_x, box_y, box_width, box_height = placement.to_camera(corner[0] + x, corner[1] + y, width, height)
        blobs.append(
            Blob(
                x=box_x,
                y=box_y,
                width=box_width,
                height=box_height,
                area=max(1, round(area / placement.map_per_camera_area)),
                peak=float(region.max()) / decision.threshold,
                over_threshold=_holds(region, decision.threshold, min_area),
            )
        )
    return tuple(sorted(blobs, key=lambda blob: (not blob.over_threshold, -blob.area)))


def _holds(region: AnomalyMap, threshold: float, min_area: int) -> bool:
    """Say whether some 8-connected part of `region >= threshold` has `min_area` pixels."""
    mask = (region >= np.float32(threshold)).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    return bool((stats[1:, cv2.CC_STAT_AREA] >= min_area).any())
