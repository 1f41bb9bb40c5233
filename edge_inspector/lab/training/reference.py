"""The reference image: what parts are aligned to, and how alike a good part is to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.align import Aligner, make_aligner, reference_size
from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.preprocess import prepare, reduce
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.inspection.search import Grey
from edge_inspector.lab.data.dataset import GoodImage, digest_of, find_images, read_image
from edge_inspector.lab.training.recipe_draft import LEAST_CORRELATION

_MOST = 0.5
"""The least correlation is not above this ..."""
_ROOM = 3
"""... and lies at least so many times as far below the worst tune image as that lies below the middle one."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """How images of a part become what the detector sees: a recipe, and what finds the part where it is aligned."""

    recipe: Recipe
    aligner: Aligner | None = None
    reference: Grey | None = field(default=None, repr=False)
    """Of the bundle; None where nothing is aligned."""


def reference_of(folder: Path, named: Path | None) -> Path:
    """Return the reference image: the named one, or the first of the folder.

    Raises:
        UsageError: the named one does not exist.
        DataError: no image in the folder.
    """
    if named is None:
        return find_images(folder)[0]
    if not named.is_file():
        raise UsageError(f"--reference {named}: no such file")
    return named


def without_reference(images: Sequence[GoodImage], reference: Path) -> tuple[GoodImage, ...]:
    """Return the images of other parts than the reference shows: it is known, and must set no threshold."""
    digest = digest_of(reference)
    groups = {image.group for image in images if image.digest == digest}
    return tuple(image for image in images if image.group not in groups)


def open_preparation(recipe: Recipe, reference: Path) -> Preparation:
    """Return what aligns parts to the reference image; any correlation will do until `with_least`.

    Raises:
        DataError: the reference is of another size or depth than the images, or flat where the part should be.
    """
    if recipe.align is None:
        return Preparation(recipe)
    image = read_image(reference, recipe.channels)
    found, trained = image.shape[1::-1], (recipe.camera_width, recipe.camera_height)
    if found != trained:
        raise DataError(
            f"{reference} is not a reference for this part: it has {found[0]}x{found[1]} pixels, the others have "
            f"{trained[0]}x{trained[1]}"
        )
    try:
        small = reduce(image, reference_size(recipe), recipe.window)
        return Preparation(recipe, make_aligner(recipe, small), small)
    except (UnreadableImageError, ValueError) as error:
        raise DataError(f"{reference} is not a reference for this part: {error}") from error


def prepare_all(preparation: Preparation, images: Sequence[GoodImage]) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
    """Return the images as the detector sees them, and the correlation of each with the reference (1 if not aligned).

    Raises:
        DataError: an image that cannot be read, or parts that cannot be found.
    """
    seen, correlations, lost = [], [], []
    for one in images:
        try:
            image, placement = prepare(
                read_image(one.path, preparation.recipe.channels), preparation.recipe, preparation.aligner
            )
        except UnreadableImageError as error:
            lost.append(f"{one.path}: {error.detail}")
            continue
        seen.append(image)
        correlations.append(1.0 if placement.pose is None else placement.pose.correlation)
    if lost:
        raise DataError(
            f"{len(lost)} of {len(images)} good images cannot be used (for instance {lost[0]}); take them out, or "
            "see with `edge-inspector recipe preview` whether --roi, --reference and --max-rotation fit"
        )
    return np.stack(seen), tuple(correlations)


def with_least(preparation: Preparation, tuned: Sequence[float]) -> Preparation:
    """Return the sight with the least correlation that counts as the part, learned from tune images.

    Raises:
        DataError: good parts have too little in common with the reference.
    """
    align, reference = preparation.recipe.align, preparation.reference
    if align is None or reference is None:
        return preparation
    worst, middle = min(tuned), float(np.median(tuned))
    least = min(_MOST, worst - _ROOM * (middle - worst))
    if least < LEAST_CORRELATION:
        raise DataError(
            f"good parts are too unlike the reference to be aligned (correlation {worst:.2f} to {max(tuned):.2f}): "
            "name another --reference, or draw --roi or --template where all good parts look alike"
        )
    recipe = preparation.recipe.model_copy(update={"align": align.model_copy(update={"least": round(least, 4)})})
    return Preparation(recipe, make_aligner(recipe, reference), reference)


def encode_reference(reference: Grey) -> bytes:
    """Return the reference as a bundle keeps it."""
    return bytes(cv2.imencode(".png", reference)[1])
