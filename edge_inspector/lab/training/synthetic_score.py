"""Choose between taught parts by good pictures and defects planted into them; test pictures are not needed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from edge_inspector.errors import DataError
from edge_inspector.inspection.auroc import auroc
from edge_inspector.inspection.header import UnreadablePictureError
from edge_inspector.inspection.model import Image
from edge_inspector.inspection.placement import Placement, cut_upright, spread
from edge_inspector.inspection.preprocess import place, prepare
from edge_inspector.inspection.recipe import Region
from edge_inspector.inspection.units import as_judged, level_of
from edge_inspector.lab.data.dataset import LEAST_TO_FIT, GoodPicture, read_picture, split
from edge_inspector.lab.training import synthetic_defects as defects
from edge_inspector.lab.training.trained_model import Material

PLANTED_EACH = 4
_LEAST_TO_JUDGE = 4
_SIZES, _CONTRASTS = (0.03, 0.15), (15.0, 60.0)
"""Of planted defects: share of the shorter side, grey values."""


@dataclass(frozen=True, slots=True)
class Chooser:
    """The pictures that a choice is made by: good ones that `train` would fit on, parted once more by group."""

    fit: tuple[GoodPicture, ...]
    tune: tuple[GoodPicture, ...]
    judge: tuple[GoodPicture, ...]
    """Held out from `fit`: each is scored as it is and with planted defects."""
    kept_back: int
    """Calibrate pictures, not looked at."""
    inspected_px: int
    """Of a camera picture."""

    def in_words(self) -> str:
        """Say which data chose."""
        return (
            f"chosen by {len(self.judge)} good pictures that did not teach, each as it is and with {PLANTED_EACH} "
            f"planted defects; taught from {len(self.fit)} and tuned by {len(self.tune)} others. "
            f"The {self.kept_back} calibrate pictures and all test pictures were not looked at"
        )


def choose_pictures(pictures: Sequence[GoodPicture], seed: int, region: Region | None) -> Chooser:
    """Part the good pictures as `train` with this seed does, and hold a quarter of the fit groups out to judge by.

    Raises:
        DataError: too few parts.
    """
    rng = np.random.default_rng(seed)
    sets = split(pictures, rng)
    groups = sorted({picture.group for picture in sets.fit})
    count = max(_LEAST_TO_JUDGE, len(groups) // 4)
    if len(groups) - count < LEAST_TO_FIT:
        least = LEAST_TO_FIT + _LEAST_TO_JUDGE
        raise DataError(
            f"{len(groups)} parts are left to teach from, at least {least} are needed to choose settings by some of "
            "them: add pictures of other parts"
        )
    held_out = {groups[place] for place in rng.permutation(len(groups))[:count]}
    return Chooser(
        fit=tuple(picture for picture in sets.fit if picture.group not in held_out),
        tune=sets.tune,
        judge=tuple(picture for picture in sets.fit if picture.group in held_out),
        kept_back=len(sets.calibrate),
        inspected_px=_inspected_px(sets.fit[0], region),
    )


def _inspected_px(picture: GoodPicture, region: Region | None) -> int:
    image = read_picture(picture.path, 1)
    return region.width * region.height if region else image.shape[0] * image.shape[1]


def planted_score(material: Material, pictures: Sequence[GoodPicture], seed: int) -> float:
    """Return the chance that a defect planted into one of the pictures scores higher than one of them as it is.

    The defects are planted into the camera's pictures, the same for every detector, so that a small picture loses what
    it would lose on the line. What cannot be judged is not OK: it counts as the most unusual of all.

    Raises:
        DataError: a map that is not finite.
    """
    rng = np.random.default_rng([seed, len(pictures)])
    kinds = sorted(defects.PLANTERS)
    good: list[float] = []
    defective: list[float] = []
    for picture in pictures:
        image = read_picture(picture.path, material.recipe.channels)
        good.append(_level(material, image))
        chosen = [kinds[number] for number in rng.integers(len(kinds), size=PLANTED_EACH)]
        try:
            placement = place(image, material.recipe, material.aligner)
        except UnreadablePictureError:
            continue  # nobody knows where a defect would lie
        defective += [_level(material, _spoiled(image, placement, kind, rng)) for kind in chosen]
    return auroc(good, defective)


def _spoiled(image: Image, placement: Placement, kind: str, rng: np.random.Generator) -> Image:
    """Return a camera picture with one defect of random size and contrast on the part, wherever that lies.

    The grey values of a 16-bit picture are counted in 255ths of what lies between its darkest and its brightest pixel.
    """
    low, unit = (0.0, 1.0) if image.dtype == np.uint8 else (float(image.min()), max(1.0, float(np.ptp(image)) / 255))
    cut = cut_upright(image, placement)
    upright = cut.reshape(*cut.shape[:2], -1)
    before = np.clip(np.rint((upright - low) / unit), 0, 255).astype(np.uint8)
    after = defects.plant(before, kind, rng.uniform(*_SIZES), rng.uniform(*_CONTRASTS), rng).picture
    change = (after.astype(np.float32) - before) * unit
    pixel_by_pixel = replace(placement, map_width=placement.width, map_height=placement.height)
    moved, _ = spread(change, pixel_by_pixel, image.shape)
    spoiled = np.clip(np.rint(image + moved.reshape(image.shape)), 0, np.iinfo(image.dtype).max)
    return cast("Image", spoiled.astype(image.dtype))


def _level(material: Material, image: Image) -> float:
    """Return the level of a camera picture, infinite where the part is not found; the quality gate is not asked."""
    try:
        prepared, _ = prepare(image, material.recipe, material.aligner)
    except UnreadablePictureError:
        return math.inf
    amap = material.detector.residual(prepared, material.detector.network(prepared))
    if not np.isfinite(amap).all():
        raise DataError("an anomaly map is not finite")
    return level_of(as_judged(amap, material.recipe, material.ignore), material.recipe)
