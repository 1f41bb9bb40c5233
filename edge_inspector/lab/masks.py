"""Masks: where a defect is, as a person has drawn it beside the test picture."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import DataError
from edge_inspector.inspection.placement import Placement, cut_upright
from edge_inspector.lab.dataset import TestPicture
from edge_inspector.lab.drawn import looks_inverted, read_drawn
from edge_inspector.lab.folders import list_images

logger = logging.getLogger(__name__)

TruthMask: TypeAlias = NDArray[np.bool_]
"""bool (height, width) of the map; True on a defect."""


def refuse_orphans(folder: Path, pictures: Sequence[TestPicture]) -> None:
    """Look for masks in `folder/ground_truth` that belong to no test picture, or to two.

    Raises:
        DataError: there are some; a renamed picture would silently lose its truth.
    """
    used = Counter(picture.mask for picture in pictures if picture.mask is not None)
    shared = [mask for mask, count in used.items() if count > 1]
    if shared:
        raise DataError(f"{shared[0]} is the mask of {used[shared[0]]} pictures: lay masks out in the same sub-folders")
    root = folder / "ground_truth"
    masks = list_images(root).images if root.is_dir() else ()
    orphans = [mask for mask in masks if mask not in used and mask.relative_to(root).parts[0] != "good"]
    if orphans:
        kind, stem = orphans[0].relative_to(root).parts[0], orphans[0].stem.removesuffix("_mask")
        raise DataError(
            f"{len(orphans)} of {len(masks)} masks belong to no picture (for instance {orphans[0]}): "
            f"expected test/{kind}/{stem} with a picture's ending"
        )


def read_mask(path: Path, camera_shape: tuple[int, ...], placement: Placement) -> TruthMask:
    """Return the mask of a picture, at map size.

    A map pixel is defective where half of it is. A region too thin for that keeps the pixels that it covers most: it
    would otherwise vanish, and count as found by nobody.

    Args:
        path: a picture of the camera picture's size; what is not black is defective (of JPEG, what is nearer white).
        camera_shape: height and width of the camera picture, in pixels.
        placement: where the map lies in the camera picture.

    Raises:
        DataError: no picture, of another size, with transparency, or one that marks nothing or all.
    """
    drawn = read_drawn(path)
    height, width = camera_shape[:2]
    if drawn.size != (width, height):
        found = f"{drawn.size[0]}x{drawn.size[1]}"
        raise DataError(f"{path}: expected a mask of {width}x{height} like its picture, got {found}")
    mask = drawn.marked
    if not mask.any():
        raise DataError(f"{path} is all black: draw the defect white, or remove the mask")
    if mask.all():
        raise DataError(f"{path} is all white: draw the defect white on black, or remove the mask")
    if looks_inverted(mask):
        logger.warning("%s is white over %.0f %%: white marks the defect; is it inverted?", path, 100 * mask.mean())
    cut = cut_upright(mask.astype(np.uint8), placement) > 0
    return _shrunk(cut, (placement.map_width, placement.map_height))


def _shrunk(mask: TruthMask, size: tuple[int, int]) -> TruthMask:
    coverage = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    shrunk = cast("TruthMask", coverage >= 0.5)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    for x, y, width, height, _ in stats[1:]:
        box = _box(x, width, size[0] / mask.shape[1]), _box(y, height, size[1] / mask.shape[0])
        part = coverage[box[1], box[0]]
        if not shrunk[box[1], box[0]].any():
            shrunk[box[1], box[0]] = part >= part.max()
    return shrunk


def _box(start: int, length: int, scale: float) -> slice:
    return slice(int(start * scale), max(int(start * scale) + 1, int(np.ceil((start + length) * scale))))
