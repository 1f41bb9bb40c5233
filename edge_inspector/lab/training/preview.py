"""Show what the detector will see of images: the part as it was found, with regions and masks drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_inspector.errors import DataError, DiskError
from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.model import Image
from edge_inspector.inspection.overlays import ColourImage, as_8_bit_colour
from edge_inspector.inspection.placement import Placement, spread
from edge_inspector.inspection.preprocess import IgnoreMask, as_image, prepare
from edge_inspector.inspection.recipe import Recipe, Region
from edge_inspector.lab.training.reference import Preparation
from edge_inspector.native import native_path

_INSPECTED, _UNIT, _TEMPLATE = (60, 200, 60), (0, 170, 255), (235, 120, 45)
_MASK = np.array((180, 60, 180), np.float32)
"""Colours, blue-green-red."""


@dataclass(frozen=True, slots=True)
class Preview:
    """One image, and how it would be judged."""

    image: Path
    placement: Placement | None
    """None where the image cannot be judged."""
    refusal: str
    """Why; empty where it can."""

    @property
    def in_words(self) -> str:
        """What was found."""
        if self.placement is None:
            return f"INVALID: {self.refusal}"
        pose = self.placement.pose
        return "not aligned: seen where the camera shows it" if pose is None else str(pose)


def preview(preparation: Preparation, ignore: IgnoreMask | None, files: Sequence[Path], out: Path) -> Iterator[Preview]:
    """Write for each file `NAME-camera.png` and `NAME-seen.png`, and yield what was found.

    Args:
        preparation: how images are looked at.
        ignore: where nothing is judged, bool of the map's size.
        files: images.
        out: folder for what is drawn; made where it is not there.

    Raises:
        DataError: two files of one name.
        DiskError: a file cannot be written.
    """
    names = [file.stem for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two images are called {twice[0]}: give them one after the other, each with its own --out")
    out.mkdir(parents=True, exist_ok=True)
    for file in files:
        try:
            pixels = as_image(file.read_bytes(), preparation.recipe.channels)
            image, placement = prepare(pixels, preparation.recipe, preparation.aligner)
        except UnreadableImageError as error:
            yield Preview(file, None, f"{error.reason.meaning}: {error.detail}")
            continue
        _save(out / f"{file.stem}-camera.png", draw_camera(pixels, placement, preparation.recipe, ignore))
        seen = np.ascontiguousarray(image[..., ::-1]) if preparation.recipe.channels == 3 else image[..., 0]
        _save(out / f"{file.stem}-seen.png", draw_seen(seen, preparation.recipe, ignore))
        yield Preview(file, placement, "")


def draw_camera(pixels: Image, placement: Placement, recipe: Recipe, ignore: IgnoreMask | None) -> ColourImage:
    """Return the camera image with the inspected region, the regions in it, the template and the mask."""
    shown = as_8_bit_colour(pixels, recipe.window).copy()
    if ignore is not None:
        shaded = spread(ignore.astype(np.float32), placement, shown.shape)[0] >= 0.5
        shown[shaded] = (0.5 * shown[shaded] + 0.5 * _MASK).astype(np.uint8)
    template = recipe.align.template if recipe.align else None
    boxes = [(_INSPECTED, recipe.inspected), *((_UNIT, unit.region) for unit in recipe.units)]
    boxes += [] if template is None else [(_TEMPLATE, template)]
    for colour, region in boxes:
        corners = placement.corners(*_exact(region, recipe))
        cv2.polylines(shown, [np.rint(corners * 16 - 8).astype(np.int32)], True, colour, 2, cv2.LINE_AA, 4)
    return shown


def draw_seen(seen: Image, recipe: Recipe, ignore: IgnoreMask | None) -> ColourImage:
    """Return the detector's image with the regions and the mask."""
    shown = as_8_bit_colour(seen).copy()
    if ignore is not None:
        shown[ignore] = (0.5 * shown[ignore] + 0.5 * _MASK).astype(np.uint8)
    for unit in recipe.units:
        place = recipe.on_map(unit.region)
        opposite = place.x + place.width - 1, place.y + place.height - 1
        cv2.rectangle(shown, (place.x, place.y), opposite, _UNIT, 1)
    return shown


def _exact(region: Region, recipe: Recipe) -> tuple[float, float, float, float]:
    """Return a rectangle of the reference image in map pixels, not rounded."""
    inspected = recipe.inspected
    across, down = recipe.width / inspected.width, recipe.height / inspected.height
    return (
        (region.x - inspected.x) * across,
        (region.y - inspected.y) * down,
        region.width * across,
        region.height * down,
    )


def _save(path: Path, pixels: ColourImage) -> None:
    if not cv2.imwrite(native_path(path), pixels):
        raise DiskError(f"{path} cannot be written")
