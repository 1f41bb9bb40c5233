"""Masks: where a defect is, as a person has drawn it beside the test picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import DataError
from edge_inspector.inspection.placement import Placement, cut_upright
from edge_inspector.lab.dataset import TestPicture
from edge_inspector.native import native_path

TruthMask: TypeAlias = NDArray[np.bool_]
"""bool (height, width) of the map; True on a defect."""


def refuse_orphans(folder: Path, pictures: Sequence[TestPicture]) -> None:
    """Look for masks in `folder/ground_truth` that belong to no test picture.

    Raises:
        DataError: there are some; a renamed picture would silently lose its truth.
    """
    known = {picture.mask for picture in pictures}
    masks = sorted((folder / "ground_truth").glob("*/*.png"))
    orphans = [mask for mask in masks if mask not in known and mask.parent.name != "good"]
    if orphans:
        kind, stem = orphans[0].parent.name, orphans[0].stem.removesuffix("_mask")
        raise DataError(
            f"{len(orphans)} of {len(masks)} masks belong to no picture (for instance {orphans[0]}): "
            f"expected test/{kind}/{stem} with a picture's ending"
        )


def read_mask(path: Path, camera_shape: tuple[int, ...], placement: Placement) -> TruthMask:
    """Return the mask of a picture, at map size.

    A map pixel is defective where half of it is. A region too thin for that keeps the pixels that it covers most: it
    would otherwise vanish, and count as found by nobody.

    Args:
        path: a picture of the camera picture's size; what is not black is defective.
        camera_shape: height and width of the camera picture, in pixels.
        placement: where the map lies in the camera picture.

    Raises:
        DataError: no picture, of another size, or one that marks nothing.
    """
    mask = cv2.imread(native_path(path), cv2.IMREAD_GRAYSCALE)
    height, width = camera_shape[:2]
    if mask is None or mask.shape != (height, width):
        found = "no picture" if mask is None else f"{mask.shape[1]}x{mask.shape[0]}"
        raise DataError(f"{path}: expected a mask of {width}x{height} like its picture, got {found}")
    if not mask.any():
        raise DataError(f"{path} is all black: draw the defect white, or remove the mask")
    cut = cut_upright(np.asarray(mask), placement) > 0
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
