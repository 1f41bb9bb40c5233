"""Is this a fit training set? What is wrong with a folder of images, before hours go into it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from edge_inspector.errors import DataError
from edge_inspector.lab.data.dataset import (
    LEAST_TO_CALIBRATE,
    LEAST_TO_FIT,
    LEAST_TO_TUNE,
    NEAR,
    TestImage,
    class_folders,
    digest_of,
    find_images,
    find_tests,
    merge_names,
    namer,
    near_pairs,
    read_image,
)
from edge_inspector.lab.data.drawn import looks_inverted, read_drawn
from edge_inspector.lab.data.folders import list_images
from edge_inspector.lab.data.traits import Traits, miniatures_of, traits_of

_BRIGHTNESS_STEP = 20.0
"""Grey values of the mean by which one image may differ from the middle one at least."""
_BRIGHTNESS_SPREAD = 40.0
"""Grey values between the 5th and the 95th percentile of the means from which exposures are mixed."""
_EXPECTED = (
    "expected a folder of images of good parts, or train/good (and test/good, test/<defect>, ground_truth/<defect>)"
)

Kind = Literal[
    "corrupt", "duplicate", "near-duplicate", "size", "depth", "exposure", "too few", "leakage", "contradiction", "mask"
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and with which images."""

    kind: Kind
    words: str
    images: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the published form."""
        return {"kind": self.kind, "words": self.words, "pictures": list(self.images)}


@dataclass(frozen=True, slots=True)
class DataCheck:
    """What was found in a folder."""

    layout: Literal["good images", "train and test"]
    good: int
    """Training images, corrupt ones included."""
    groups: int
    """Different parts among them."""
    calibrate: int
    """Parts that would set the threshold."""
    test: int
    passed_over: tuple[str, ...]
    """In words: hidden files, bins, formats that are not read."""
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    path: Path
    digest: str
    traits: Traits = field(repr=False)


def check_data(folder: Path, group: str | None, report: Callable[[str, float], None]) -> DataCheck:
    """Look at every image below `folder`.

    Args:
        folder: of good images, or with train/good and perhaps test.
        group: regular expression that finds the part's serial in a path, as `train --group`.
        report: called with what is being done and its share.

    Raises:
        DataError: another layout, or no images.
        UsageError: `group` is not a regular expression.
    """
    good_folder, has_test = _layout(folder)
    name_of = namer(good_folder, group)
    paths = find_images(good_folder)
    tests = find_tests(folder) if has_test else ()
    looks, corrupt = _look(paths, "look at training images", report)
    test_looks, test_corrupt = _look([test.path for test in tests], "look at test images", report)
    names = [name_of(look.path) for look in looks]
    groups = len(set(merge_names(names, _near(looks, NEAR if group is None else 0.0)))) if looks else 0
    defects = {test.path: test.defect for test in tests}
    findings = (
        *corrupt,
        *test_corrupt,
        *_duplicates(looks),
        *_near_duplicates(looks, names),
        *_sizes(looks),
        *_exposures(looks),
        *_too_few(groups),
        *_leakage(looks, test_looks),
        *_contradictions(test_looks, defects),
        *_masks(folder, tests),
    )
    return DataCheck(
        layout="train and test" if has_test else "good images",
        good=len(paths),
        groups=groups,
        calibrate=max(LEAST_TO_CALIBRATE, groups // 3),
        test=len(tests),
        passed_over=list_images(folder).passed_over,
        findings=findings,
    )


def _layout(folder: Path) -> tuple[Path, bool]:
    """Return where the good images are, and whether there are test images."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: {_EXPECTED}")
    found = [path.name for path in class_folders(folder)]
    shown = ", ".join(found) or "no folders"
    if "train" in found:
        if not (folder / "train" / "good").is_dir():
            inside = ", ".join(sorted(path.name for path in (folder / "train").iterdir())[:8]) or "nothing"
            raise DataError(f"{folder}: {_EXPECTED}; found train with {inside}, but no train/good")
        return folder / "train" / "good", "test" in found
    if "test" in found or ("good" in found and len(found) > 1):
        raise DataError(f"{folder}: {_EXPECTED}; found {shown}. Name the folder of the good images alone")
    return folder, False


def _look(paths: Sequence[Path], words: str, report: Callable[[str, float], None]) -> tuple[list[_Look], list[Finding]]:
    looks, corrupt = [], []
    for place, path in enumerate(paths):
        report(words, (place + 1) / len(paths))
        try:
            image = read_image(path, 1)
        except DataError as error:
            corrupt.append(Finding("corrupt", str(error), (str(path),)))
            continue
        looks.append(_Look(path, digest_of(path), traits_of(image)))
    return looks, corrupt


def _duplicates(looks: Sequence[_Look]) -> Iterator[Finding]:
    for same in _by_digest(looks).values():
        if len(same) > 1:
            yield Finding("duplicate", f"{len(same)} files are the same image: keep one", tuple(map(str, same)))


def _near_duplicates(looks: Sequence[_Look], names: Sequence[str]) -> Iterator[Finding]:
    """Find images that hardly differ though they are said to show different parts."""
    pairs = [
        (first, second)
        for first, second in _near(looks, NEAR)
        if names[first] != names[second] and looks[first].digest != looks[second].digest
    ]
    if pairs:
        first, second = (looks[place].path for place in pairs[0])
        concerned = sorted({str(looks[place].path) for pair in pairs for place in pair})
        yield Finding(
            "near-duplicate",
            f"{len(concerned)} images hardly differ from another one (for instance {first.name} and {second.name}): "
            "they count as shots of one part. Put shots of one part in one sub-folder, or name the part with --group",
            tuple(concerned),
        )


def _sizes(looks: Sequence[_Look]) -> Iterator[Finding]:
    sizes, depths = defaultdict(list), defaultdict(list)
    for look in looks:
        sizes[f"{look.traits.width}x{look.traits.height}"].append(look)
        depths[look.traits.depth].append(look)
    if len(sizes) > 1:
        yield Finding("size", f"images of {_counts(sizes)} pixels: one camera gives one size", _fewest(sizes))
    if len(depths) > 1:
        yield Finding("depth", f"images of {_counts(depths)}: keep those of the station's camera", _fewest(depths))


def _counts(kinds: dict[str, list[_Look]]) -> str:
    ranked = sorted(kinds.items(), key=lambda one: -len(one[1]))
    shown = ", ".join(f"{name} ({len(members)})" for name, members in ranked[:4])
    return shown if len(ranked) <= 4 else f"{len(ranked)} kinds: {shown}, ..."


def _fewest(kinds: dict[str, list[_Look]]) -> tuple[str, ...]:
    """Return all images but those of the commonest kind."""
    ranked = sorted(kinds.values(), key=len)
    return tuple(str(look.path) for members in ranked[:-1] for look in members)


def _exposures(looks: Sequence[_Look]) -> Iterator[Finding]:
    if not looks:
        return
    means = miniatures_of([look.traits for look in looks]).mean(1)
    middle = float(np.median(means))
    low, high = np.percentile(means, [5, 95])
    if high - low > _BRIGHTNESS_SPREAD:
        far = [int(means.argmin()), int(means.argmax())]
        yield Finding(
            "exposure",
            f"mixed exposures: the mean grey value goes from {means.min():.0f} to {means.max():.0f} (middle "
            f"{middle:.0f}). Fix exposure and light, or train with --normalise-local",
            tuple(str(looks[place].path) for place in far),
        )
        return
    limit = max(_BRIGHTNESS_STEP, 4 * 1.4826 * float(np.median(np.abs(means - middle))))
    far = np.flatnonzero(np.abs(means - middle) > limit).tolist()
    if far:
        yield Finding(
            "exposure",
            f"{len(far)} images are brighter or darker than the middle one ({middle:.0f}) by more than {limit:.0f} "
            "grey values: look at them",
            tuple(str(looks[place].path) for place in far),
        )


def _too_few(groups: int) -> Iterator[Finding]:
    least = LEAST_TO_CALIBRATE + LEAST_TO_TUNE + LEAST_TO_FIT
    if groups < least:
        yield Finding("too few", f"{groups} different good parts, at least {least} are needed", ())


def _leakage(train: Sequence[_Look], test: Sequence[_Look]) -> Iterator[Finding]:
    known = _by_digest(train)
    leaked = tuple(str(look.path) for look in test if look.digest in known)
    if leaked:
        yield Finding("leakage", f"{len(leaked)} test images are training images too: figures flatter", leaked)


def _contradictions(test: Sequence[_Look], defects: dict[Path, str]) -> Iterator[Finding]:
    for same in _by_digest(test).values():
        truths = sorted({defects[path] for path in same})
        if len(truths) > 1:
            yield Finding("contradiction", f"one image is in test/{' and test/'.join(truths)}", tuple(map(str, same)))


def _masks(folder: Path, tests: Sequence[TestImage]) -> Iterator[Finding]:
    """Find masks without an image or unfit for it, and images without a mask where their kind has masks."""
    root = folder / "ground_truth"
    if not root.is_dir():
        return
    images = {test.mask: test for test in tests if test.mask is not None}
    for mask in list_images(root).images:
        kind, test = mask.relative_to(root).parts[0], images.get(mask)
        words = f"has no image in test/{kind}" if test is None else _unfit(mask, test)
        if words:
            yield Finding("mask", f"{mask} {words}", (str(mask),) if test is None else (str(mask), str(test.path)))
    bare = tuple(str(test.path) for test in tests if test.mask is None and (root / test.defect).is_dir())
    if bare:
        yield Finding("mask", f"{len(bare)} defective images have no mask though their kind has masks", bare)


def _unfit(mask: Path, test: TestImage) -> str:
    """Say what is wrong with a mask; empty where nothing is."""
    try:
        drawn = read_drawn(mask)
        height, width = read_image(test.path, 1).shape[:2]
    except DataError as error:
        return "" if str(test.path) in str(error) else f"cannot be used: {error}"
    if drawn.size != (width, height):
        return f"has {drawn.size[0]}x{drawn.size[1]} pixels, its image {width}x{height}"
    if test.good:
        return "marks a defect in a good image" if drawn.marked.any() else ""
    if not drawn.marked.any():
        return "is all black: it marks nothing"
    return "is mostly white: white marks the defect, is it inverted?" if looks_inverted(drawn.marked) else ""


def _by_digest(looks: Sequence[_Look]) -> dict[str, list[Path]]:
    found = defaultdict(list)
    for look in looks:
        found[look.digest].append(look.path)
    return found


def _near(looks: Sequence[_Look], limit: float) -> list[tuple[int, int]]:
    return list(near_pairs(miniatures_of([look.traits for look in looks]), limit)) if looks else []
