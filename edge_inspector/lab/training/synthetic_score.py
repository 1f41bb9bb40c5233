"""Choose between trained parts by good images and synthetic defects drawn into them; test images are not needed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from edge_inspector.errors import DataError
from edge_inspector.inspection.auroc import auroc
from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.model import Image
from edge_inspector.inspection.placement import Placement, cut_upright, spread
from edge_inspector.inspection.preprocess import place, prepare
from edge_inspector.inspection.recipe import Region
from edge_inspector.inspection.units import as_judged, level_of
from edge_inspector.lab.data.dataset import LEAST_TO_FIT, GoodImage, read_image, split
from edge_inspector.lab.training import synthetic_defects as defects
from edge_inspector.lab.training.trained_model import TrainedModel

SYNTHETIC_EACH = 4
_LEAST_TO_JUDGE = 4
_SIZES, _CONTRASTS = (0.03, 0.15), (15.0, 60.0)
"""Of synthetic defects: share of the shorter side, grey values."""


@dataclass(frozen=True, slots=True)
class SelectionImages:
    """The images that a choice is made by: good ones that `train` would fit on, parted once more by group."""

    fit: tuple[GoodImage, ...]
    tune: tuple[GoodImage, ...]
    judge: tuple[GoodImage, ...]
    """Held out from `fit`: each is scored as it is and with synthetic defects."""
    kept_back: int
    """Calibrate images, not looked at."""
    inspected_px: int
    """Of a camera image."""

    def in_words(self) -> str:
        """Say which data chose."""
        return (
            f"chosen by {len(self.judge)} good images that did not train, each as it is and with {SYNTHETIC_EACH} "
            f"synthetic defects; trained from {len(self.fit)} and tuned by {len(self.tune)} others. "
            f"The {self.kept_back} calibrate images and all test images were not looked at"
        )


def choose_images(images: Sequence[GoodImage], seed: int, region: Region | None) -> SelectionImages:
    """Part the good images as `train` with this seed does, and hold a quarter of the fit groups out to judge by.

    Raises:
        DataError: too few parts.
    """
    rng = np.random.default_rng(seed)
    sets = split(images, rng)
    groups = sorted({image.group for image in sets.fit})
    count = max(_LEAST_TO_JUDGE, len(groups) // 4)
    if len(groups) - count < LEAST_TO_FIT:
        least = LEAST_TO_FIT + _LEAST_TO_JUDGE
        raise DataError(
            f"{len(groups)} parts are left to train from, at least {least} are needed to choose settings by some of "
            "them: add images of other parts"
        )
    held_out = {groups[place] for place in rng.permutation(len(groups))[:count]}
    return SelectionImages(
        fit=tuple(image for image in sets.fit if image.group not in held_out),
        tune=sets.tune,
        judge=tuple(image for image in sets.fit if image.group in held_out),
        kept_back=len(sets.calibrate),
        inspected_px=_inspected_px(sets.fit[0], region),
    )


def _inspected_px(image: GoodImage, region: Region | None) -> int:
    pixels = read_image(image.path, 1)
    return region.width * region.height if region else pixels.shape[0] * pixels.shape[1]


def synthetic_score(model: TrainedModel, images: Sequence[GoodImage], seed: int) -> float:
    """Return the chance that a synthetic defect drawn into one of the images scores higher than one of them as it is.

    The defects are synthetic into the camera's images, the same for every detector, so that a small image loses what
    it would lose on the line. What cannot be judged is not OK: it counts as the most unusual of all.

    Raises:
        DataError: a map that is not finite.
    """
    rng = np.random.default_rng([seed, len(images)])
    kinds = sorted(defects.CHOOSING)
    good: list[float] = []
    defective: list[float] = []
    for image in images:
        pixels = read_image(image.path, model.recipe.channels)
        good.append(_level(model, pixels))
        chosen = [kinds[number] for number in rng.integers(len(kinds), size=SYNTHETIC_EACH)]
        try:
            placement = place(pixels, model.recipe, model.aligner)
        except UnreadableImageError:
            continue  # nobody knows where a defect would lie
        defective += [_level(model, _spoiled(pixels, placement, kind, rng)) for kind in chosen]
    return auroc(good, defective)


def _spoiled(pixels: Image, placement: Placement, kind: str, rng: np.random.Generator) -> Image:
    """Return a camera image with one defect of random size and contrast on the part, wherever that lies.

    The grey values of a 16-bit image are counted in 255ths of what lies between its darkest and its brightest pixel.
    """
    low, unit = (0.0, 1.0) if pixels.dtype == np.uint8 else (float(pixels.min()), max(1.0, float(np.ptp(pixels)) / 255))
    cut = cut_upright(pixels, placement)
    upright = cut.reshape(*cut.shape[:2], -1)
    before = np.clip(np.rint((upright - low) / unit), 0, 255).astype(np.uint8)
    after = defects.draw_defect(before, kind, rng.uniform(*_SIZES), rng.uniform(*_CONTRASTS), rng).image
    change = (after.astype(np.float32) - before) * unit
    pixel_by_pixel = replace(placement, map_width=placement.width, map_height=placement.height)
    moved, _ = spread(change, pixel_by_pixel, pixels.shape)
    spoiled = np.clip(np.rint(pixels + moved.reshape(pixels.shape)), 0, np.iinfo(pixels.dtype).max)
    return cast("Image", spoiled.astype(pixels.dtype))


def _level(model: TrainedModel, pixels: Image) -> float:
    """Return the level of a camera image, infinite where the part is not found; the quality gate is not asked."""
    try:
        prepared, _ = prepare(pixels, model.recipe, model.aligner)
    except UnreadableImageError:
        return math.inf
    amap = model.detector.residual(prepared, model.detector.network(prepared))
    if not np.isfinite(amap).all():
        raise DataError("an anomaly map is not finite")
    return level_of(as_judged(amap, model.recipe, model.ignore), model.recipe)
