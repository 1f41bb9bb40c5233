"""From what the user asks for, and the images that are there, to how a part is looked at."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np
from pydantic import ValidationError

from edge_inspector.errors import DataError, SettingsError, UsageError
from edge_inspector.inspection.preprocess import IgnoreMask
from edge_inspector.inspection.recipe import Align, Decision, Recipe, Region, Unit
from edge_inspector.lab.data.drawn import looks_inverted, read_drawn
from edge_inspector.lab.data.traits import Traits, window_of
from edge_inspector.validation import in_our_words
from edge_inspector.wire.topics import check_name

logger = logging.getLogger(__name__)

MIN_AREA_SHARE = 0.001
"""Of the inspected region: the smallest blob that counts where the user names none."""
Alignment: TypeAlias = Literal["none", "translate", "rotate", "template"]
ALIGNMENTS: tuple[Alignment, ...] = get_args(Alignment)
_NOT_WHITE = 127
"""Values from 2 to here are neither the white of an image nor the 1 of a labelling tool."""
LEAST_CORRELATION = 0.2
"""Below it, a place has nothing in common with the reference; `train` learns a higher one."""
MAX_ROTATION = 20.0
"""Degrees that a part may be rotated where the user names none."""


@dataclass(frozen=True, slots=True)
class AlignmentRequest:
    """How the part is to be found in every image."""

    kind: Alignment = "none"
    max_rotation: float | None = None
    """Degrees; None: 20 to rotate, else 0."""
    template: Region | None = None
    reference: Path | None = None
    """The image that all rectangles and the mask are drawn on; the folder's first where not set."""


@dataclass(frozen=True, slots=True)
class RegionRequest:
    """A region that is to have a minimum area of its own."""

    region: Region
    min_area: float | None = None
    """Camera pixels."""


@dataclass(frozen=True, slots=True)
class RecipeDraft:
    """What a recipe is asked to be, but for its limits."""

    part: str
    channels: int
    size_of: Callable[[int, int], tuple[int, int]] = field(repr=False)
    """From width and height of what is inspected to those of the detector's image."""
    region: Region | None = None
    normalise: Literal["none", "local"] = "none"
    min_area: float | None = None
    """Camera pixels."""
    align: AlignmentRequest = field(default_factory=AlignmentRequest)
    units: tuple[RegionRequest, ...] = ()


def check_part(name: str) -> None:
    """Refuse a part's name that the line would refuse, before hours go into training it.

    Raises:
        UsageError: no name that may be a topic and a path.
    """
    try:
        check_name(name, "--part")
    except SettingsError as error:
        raise UsageError(str(error)) from error


def draft_recipe(draft: RecipeDraft, folder: Path, images: Sequence[Traits]) -> Recipe:
    """Return the recipe, its threshold and the least correlation not yet learned.

    Args:
        draft: what is asked for.
        folder: where the images come from.
        images: those that train.

    Raises:
        DataError: images of mixed depth, or of several sizes where the part is to be aligned.
        UsageError: regions that are outside the images or of each other, or options that contradict each other.
    """
    depths = {image.depth for image in images}
    if len(depths) > 1:
        raise DataError(f"{folder} mixes 8-bit and 16-bit images: keep those that the station's camera gives")
    sizes = {(image.width, image.height) for image in images}
    width, height = (int(np.median(sides)) for sides in zip(*((one.width, one.height) for one in images), strict=True))
    region = draft.region or Region(x=0, y=0, width=width, height=height)
    if not Region(x=0, y=0, width=width, height=height).holds(region):
        raise UsageError(f"--roi is outside the images, which have {width}x{height} pixels")
    inspected = region.width * region.height
    if draft.min_area is not None and draft.min_area > inspected:
        raise UsageError(f"--min-area {draft.min_area:g} is larger than the inspected {inspected} pixels")
    min_area = draft.min_area or MIN_AREA_SHARE * inspected
    size = draft.size_of(region.width, region.height)
    try:
        return Recipe(
            part=draft.part,
            width=size[0],
            height=size[1],
            channels=draft.channels,
            camera_width=width,
            camera_height=height,
            sizes_vary=len(sizes) > 1,
            region=draft.region,
            normalise=draft.normalise,
            window=window_of(images) if depths == {"uint16"} else None,
            decision=Decision(threshold=1.0, min_area=min_area),
            align=_align(draft, folder, sizes),
            units=tuple(Unit(region=unit.region, min_area=unit.min_area or min_area) for unit in draft.units),
        )
    except ValidationError as error:
        raise UsageError(in_our_words(error, Recipe)) from error


def _align(draft: RecipeDraft, folder: Path, sizes: set[tuple[int, int]]) -> Align | None:
    request = draft.align
    if request.kind == "none":
        if request.max_rotation is not None or request.template is not None or request.reference is not None:
            raise UsageError(
                "--max-rotation, --template and --reference say how a part is aligned: give --align as well"
            )
        return None
    if draft.region is None:
        raise UsageError(
            f"--align {request.kind} needs --roi x,y,width,height: the part on the reference image. What the camera "
            "sees beside it is the room that the part may move in"
        )
    if (request.kind == "template") != (request.template is not None):
        raise UsageError("--template x,y,width,height names what is looked for: give it with --align template")
    if len(sizes) > 1:
        found = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:3])
        raise DataError(f"{folder} holds images of several sizes ({found}): parts are aligned in images of one")
    turn = (
        request.max_rotation if request.max_rotation is not None else MAX_ROTATION if request.kind == "rotate" else 0.0
    )
    return Align(kind=request.kind, max_rotation=turn, template=request.template, least=LEAST_CORRELATION)


def read_ignore(path: Path, recipe: Recipe) -> IgnoreMask:
    """Return where nothing is judged, at map size: the white of an image the size of the camera's.

    White may be 255 or, as labelling tools write it, 1. A mask that looks inverted is a warning.

    Raises:
        UsageError: no image, one of another size or with transparency, or one that ignores nothing or everything.
    """
    expected = f"{recipe.camera_width}x{recipe.camera_height}"
    try:
        drawn = read_drawn(path)
    except DataError as error:
        raise UsageError(f"--mask: expected an image of {expected}: {error}") from error
    if drawn.size != (recipe.camera_width, recipe.camera_height):
        raise UsageError(f"--mask {path}: expected an image of {expected}, got {drawn.size[0]}x{drawn.size[1]}")
    if 1 < (brightest := int(drawn.values.max())) <= _NOT_WHITE:
        raise UsageError(
            f"--mask {path}: its brightest value is {brightest}: expected white (or 1) where nothing is judged, else 0"
        )
    region = recipe.inspected
    cut = drawn.white[region.y : region.y + region.height, region.x : region.x + region.width].astype(np.uint8)
    ignore = np.asarray(cv2.resize(cut, (recipe.width, recipe.height), interpolation=cv2.INTER_NEAREST) > 0)
    if not ignore.any() or ignore.all():
        what = "everything" if ignore.all() else "nothing"
        raise UsageError(f"--mask {path} ignores {what} of what is inspected: white is ignored, black is judged")
    if looks_inverted(ignore):
        share = 100 * ignore.mean()
        logger.warning("--mask %s ignores %.0f %% of what is inspected: white is ignored; is it inverted?", path, share)
    return ignore
