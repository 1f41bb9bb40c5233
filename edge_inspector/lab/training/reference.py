"""The reference picture: what parts are aligned to, and how alike a good part is to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.align import Aligner, make_aligner, reference_size
from edge_inspector.inspection.header import UnreadablePictureError
from edge_inspector.inspection.preprocess import prepare, reduce
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.inspection.search import Grey
from edge_inspector.lab.data.dataset import GoodPicture, digest_of, find_pictures, read_picture
from edge_inspector.lab.training.recipe_draft import LEAST_CORRELATION

_MOST = 0.5
"""The least correlation is not above this ..."""
_ROOM = 3
"""... and lies at least so many times as far below the worst tune picture as that lies below the middle one."""


@dataclass(frozen=True, slots=True)
class Sight:
    """How pictures of a part become what the detector sees: a recipe, and what finds the part where it is aligned."""

    recipe: Recipe
    aligner: Aligner | None = None
    reference: Grey | None = field(default=None, repr=False)
    """Of the bundle; None where nothing is aligned."""


def reference_of(folder: Path, named: Path | None) -> Path:
    """Return the reference picture: the named one, or the first of the folder.

    Raises:
        UsageError: the named one does not exist.
        DataError: no picture in the folder.
    """
    if named is None:
        return find_pictures(folder)[0]
    if not named.is_file():
        raise UsageError(f"--reference {named}: no such file")
    return named


def without_reference(pictures: Sequence[GoodPicture], reference: Path) -> tuple[GoodPicture, ...]:
    """Return the pictures of other parts than the reference shows: it is known, and must set no threshold."""
    digest = digest_of(reference)
    groups = {picture.group for picture in pictures if picture.digest == digest}
    return tuple(picture for picture in pictures if picture.group not in groups)


def open_sight(recipe: Recipe, reference: Path) -> Sight:
    """Return what aligns parts to the reference picture; any correlation will do until `with_least`.

    Raises:
        DataError: the reference is of another size or depth than the pictures, or flat where the part should be.
    """
    if recipe.align is None:
        return Sight(recipe)
    image = read_picture(reference, recipe.channels)
    found, taught = image.shape[1::-1], (recipe.camera_width, recipe.camera_height)
    if found != taught:
        raise DataError(
            f"{reference} is no reference for this part: it has {found[0]}x{found[1]} pixels, the others have "
            f"{taught[0]}x{taught[1]}"
        )
    try:
        small = reduce(image, reference_size(recipe), recipe.window)
        return Sight(recipe, make_aligner(recipe, small), small)
    except (UnreadablePictureError, ValueError) as error:
        raise DataError(f"{reference} is no reference for this part: {error}") from error


def prepare_all(sight: Sight, pictures: Sequence[GoodPicture]) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
    """Return the pictures as the detector sees them, and the correlation of each with the reference (1 if not aligned).

    Raises:
        DataError: a picture that cannot be read, or parts that cannot be found.
    """
    seen, correlations, lost = [], [], []
    for one in pictures:
        try:
            picture, placement = prepare(read_picture(one.path, sight.recipe.channels), sight.recipe, sight.aligner)
        except UnreadablePictureError as error:
            lost.append(f"{one.path}: {error.detail}")
            continue
        seen.append(picture)
        correlations.append(1.0 if placement.pose is None else placement.pose.correlation)
    if lost:
        raise DataError(
            f"{len(lost)} of {len(pictures)} good pictures cannot be used (for instance {lost[0]}); take them out, or "
            "see with `edge-inspector recipe preview` whether --roi, --reference and --max-turn fit"
        )
    return np.stack(seen), tuple(correlations)


def with_least(sight: Sight, tuned: Sequence[float]) -> Sight:
    """Return the sight with the least correlation that counts as the part, learned from tune pictures.

    Raises:
        DataError: good parts have too little in common with the reference.
    """
    align, reference = sight.recipe.align, sight.reference
    if align is None or reference is None:
        return sight
    worst, middle = min(tuned), float(np.median(tuned))
    least = min(_MOST, worst - _ROOM * (middle - worst))
    if least < LEAST_CORRELATION:
        raise DataError(
            f"good parts are too unlike the reference to be aligned (correlation {worst:.2f} to {max(tuned):.2f}): "
            "name another --reference, or draw --roi or --template where all good parts look alike"
        )
    recipe = sight.recipe.model_copy(update={"align": align.model_copy(update={"least": round(least, 4)})})
    return Sight(recipe, make_aligner(recipe, reference), reference)


def encode_reference(reference: Grey) -> bytes:
    """Return the reference as a bundle keeps it."""
    return bytes(cv2.imencode(".png", reference)[1])
