"""Folders of images: find them, group them by part, split the good ones into three sets that share no part."""

import hashlib
import logging
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import DataError, UsageError
from edge_inspector.image_names import ENDINGS, is_litter
from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.model import Image
from edge_inspector.inspection.preprocess import decode
from edge_inspector.lab.data.folders import list_images
from edge_inspector.lab.data.mask_names import find_masks
from edge_inspector.lab.data.traits import miniatures_of, traits_of

logger = logging.getLogger(__name__)

LEAST_TO_CALIBRATE = 20
LEAST_TO_FIT = 6
LEAST_TO_TUNE = 4
LEAST_FOR_FOLDS = 5
NEAR = 0.2
"""Mean difference in grey values of 32 x 32 miniatures under which two images count as shots of one part: what
is left of a camera's noise when hundreds of pixels are averaged. Well-fixed parts differ by more (0.4 and up on real
sets)."""


@dataclass(frozen=True, slots=True)
class GoodImage:
    """One image of a good part, and the part (or shot) it belongs to."""

    path: Path
    group: str
    digest: str
    """sha256 of the file."""


@dataclass(frozen=True, slots=True)
class Split:
    """Three disjoint sets of good images: no group is in two of them."""

    fit: tuple[GoodImage, ...]
    tune: tuple[GoodImage, ...]
    calibrate: tuple[GoodImage, ...]


@dataclass(frozen=True, slots=True)
class TestImage:
    """One image whose truth is known."""

    path: Path
    defect: str
    """The folder's name, `good` for good parts."""
    mask: Path | None

    @property
    def good(self) -> bool:
        """Whether the part is good."""
        return self.defect == "good"


def find_images(folder: Path) -> tuple[Path, ...]:
    """Return the image files below `folder`, sorted by name; what is passed over is a warning that counts it.

    Raises:
        DataError: no such folder, no image in it, or a name that is not UTF-8.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: expected a folder of images ({', '.join(sorted(ENDINGS))})")
    listing = list_images(folder)
    if not listing.images:
        passed = f"; passed over: {', '.join(listing.passed_over)}" if listing.passed_over else ""
        raise DataError(f"no image in {folder}: expected files that end in {', '.join(sorted(ENDINGS))}{passed}")
    if listing.passed_over:
        logger.warning("%s: passed over: %s", folder, ", ".join(listing.passed_over))
    return listing.images


def read_image(path: Path, channels: int) -> Image:
    """Return the pixels of an image file.

    Raises:
        DataError: the file cannot be read or is not an image.
    """
    try:
        return decode(path.read_bytes(), channels)
    except UnreadableImageError as error:
        raise DataError(f"{path}: {error.reason.meaning} ({error.detail}); repair or remove it") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def find_good(folder: Path, pattern: str | None) -> tuple[GoodImage, ...]:
    """Return the good images below `folder` with their groups.

    A group is what `pattern` captures (its first group, or all it matches) in the path below `folder`; without a
    pattern the sub-folder, or the image itself where it lies in `folder`. Equal images are one group whatever they
    are called, and without a pattern nearly equal ones too: the second shot of a part says nothing new about the next.

    Raises:
        UsageError: the pattern is not a regular expression.
        DataError: no images, one that cannot be read, or one that the pattern does not match.
    """
    paths = find_images(folder)
    if pattern is None:
        folder = Path(os.path.commonpath([path.parent for path in paths]))  # one sub-folder alone names no group
    name_of = namer(folder, pattern)
    names = [name_of(path) for path in paths]
    shots = miniatures_of([traits_of(read_image(path, 1)) for path in paths])
    merged = merge_names(names, near_pairs(shots, NEAR if pattern is None else 0.0))
    return tuple(GoodImage(path, group, digest_of(path)) for path, group in zip(paths, merged, strict=True))


def digest_of(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def split(images: Sequence[GoodImage], rng: np.random.Generator, share: float = 1 / 3) -> Split:
    """Return a share of the groups (at least 20) for calibrate, a fifth (at least 4) for tune, the rest for fit.

    Raises:
        DataError: too few groups.
    """
    groups = sorted({image.group for image in images})
    calibrate = max(LEAST_TO_CALIBRATE, int(len(groups) * share + 1e-9))
    tune = max(LEAST_TO_TUNE, min(len(groups) // 5, len(groups) - calibrate - LEAST_TO_FIT))
    least = LEAST_TO_CALIBRATE + LEAST_TO_TUNE + LEAST_TO_FIT
    if len(groups) < least:
        raise DataError(
            f"{len(images)} good images of {len(groups)} different parts, at least {least} parts are needed: "
            f"{LEAST_TO_CALIBRATE} of them only to set the threshold. Add images. Images of one sub-folder, and "
            "images that hardly differ, count as one part; where each file is a part of its own, say --group '[^/]+$'"
        )
    return _dealt(images, groups, calibrate, tune, rng)


def split_for_folds(images: Sequence[GoodImage], rng: np.random.Generator) -> Split:
    """Return a fifth of the groups for tune, the rest for fit, none for calibrate: all train, all are scored by folds.

    Raises:
        DataError: fewer than 5 groups.
    """
    groups = sorted({image.group for image in images})
    if len(groups) < LEAST_FOR_FOLDS:
        raise DataError(
            f"{len(images)} good images of {len(groups)} different parts, at least {LEAST_FOR_FOLDS} parts are "
            "needed, 30 are better. Add images. Images of one sub-folder, and images that hardly differ, count as one "
            "part; where each file is a part of its own, say --group '[^/]+$'"
        )
    return _dealt(images, groups, 0, max(1, len(groups) // 5), rng)


def _dealt(
    images: Sequence[GoodImage], groups: Sequence[str], calibrate: int, tune: int, rng: np.random.Generator
) -> Split:
    place = dict(zip((groups[i] for i in rng.permutation(len(groups))), range(len(groups)), strict=True))

    def between(low: int, high: int) -> tuple[GoodImage, ...]:
        return tuple(image for image in images if low <= place[image.group] < high)

    return Split(
        fit=between(calibrate + tune, len(groups)),
        tune=between(calibrate, calibrate + tune),
        calibrate=between(0, calibrate),
    )


def find_tests(folder: Path) -> tuple[TestImage, ...]:
    """Return the images of `test/good` and `test/<defect>` with their masks, as MVTec AD lays them out.

    Raises:
        DataError: another layout; the message says which was expected and what was found.
    """
    root = folder / "test" if (folder / "test").is_dir() else folder
    kinds = sorted(path.name for path in class_folders(root)) if root.is_dir() else []
    if "good" not in kinds:
        raise DataError(
            f"{folder}: expected test/good and test/<defect> with images (masks in ground_truth/<defect>), "
            f"found {', '.join(kinds) or 'no folders'}"
        )
    found = []
    for kind in kinds:
        if kind != "good" and not list_images(root / kind).images:
            logger.warning("%s: passed over: no image in it", root / kind)
            continue
        images, masks = find_images(root / kind), find_masks(folder / "ground_truth" / kind)
        found += [TestImage(path, kind, masks.mask_of(path.relative_to(root / kind))) for path in images]
    return tuple(found)


def class_folders(root: Path) -> tuple[Path, ...]:
    """Return the folders in `root` that may be a class of images, sorted: no hidden ones and no bins."""
    return tuple(sorted(path for path in root.iterdir() if path.is_dir() and not is_litter(path.name)))


def namer(folder: Path, pattern: str | None) -> Callable[[Path], str]:
    """Return what says to which group a path belongs, before equal images are merged; see `find_good`."""
    if pattern is None:
        return lambda path: str(path.relative_to(folder) if path.parent == folder else path.parent.relative_to(folder))
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--group {pattern!r} is not a regular expression: {error}") from error

    def name_of(path: Path) -> str:
        match = expression.search(path.relative_to(folder).as_posix())
        if match is None:
            raise DataError(f"{path} is not matched by --group {pattern!r}")
        return match.group(1) if expression.groups else match.group()

    return name_of


def near_pairs(shots: NDArray[np.float32], limit: float) -> Iterable[tuple[int, int]]:
    """Yield the pairs of miniatures, (count, pixels), whose mean difference is not above `limit`."""
    for place in range(len(shots) - 1):
        near = np.abs(shots[place + 1 :] - shots[place]).mean(1) <= limit
        yield from ((place, place + 1 + int(other)) for other in np.flatnonzero(near))


def merge_names(names: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Return one name for each set of images that share a name or are linked by pairs (union-find)."""
    parent: dict[str, str] = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for first, second in pairs:
        a, b = sorted((root(names[first]), root(names[second])))
        parent[b] = a
    members = defaultdict(list)
    for name in names:
        members[root(name)].append(name)
    return [root(name) for name in names]
