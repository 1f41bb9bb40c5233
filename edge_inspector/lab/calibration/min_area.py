"""Choose the minimum area by images of defective parts: a table of pairs, and the one that misses fewest.

The thresholds of the table come from tune images, so that the calibrate images are still used once, for one
setting. The detector knows tune images, hence these thresholds are a little low; they only rank the areas.
Idea of the pairs: the fine-tuning of the MVTec re-implementations (reference 1.8), there chosen on test images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_inspector.bundle import AreaPair
from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.model import AnomalyMap
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.inspection.score import area_level
from edge_inspector.lab.calibration.calibrate import MinAreaChoice
from edge_inspector.lab.calibration.threshold import HEADROOM
from edge_inspector.lab.data.dataset import GoodImage, digest_of, find_images
from edge_inspector.lab.training.trained_model import TrainedModel

_SHARES = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)
"""Of the inspected image: the areas that are tried, beside the one that the bundle has."""


@dataclass(frozen=True, slots=True)
class _Tried:
    min_area: float
    """Camera pixels."""
    threshold: float
    levels: tuple[float, ...]
    """Of the NG images."""

    @property
    def missed(self) -> int:
        return sum(level < self.threshold for level in self.levels)

    @property
    def middle(self) -> float:
        """The middle NG score: how clearly defects stand out."""
        return sorted(self.levels)[len(self.levels) // 2] / self.threshold


def with_min_area(model: TrainedModel, min_area: float) -> TrainedModel:
    """Return the material with another minimum area, camera pixels.

    Raises:
        UsageError: larger than the image, or the bundle has several regions, each with its own.
    """
    if model.recipe.units:
        raise UsageError("each region of this bundle has a minimum area of its own: retrain the part to change them")
    if min_area * model.recipe.map_per_camera_area > model.recipe.width * model.recipe.height:
        raise UsageError(f"--min-area {min_area:g} is larger than the inspected image")
    decision = model.recipe.decision.model_copy(update={"min_area": min_area})
    recipe = Recipe.model_validate({**model.recipe.model_dump(), "decision": decision.model_dump()})
    return replace(model, recipe=recipe)


def choose_min_area(
    model: TrainedModel,
    tune: Sequence[GoodImage],
    ng: Path,
    share: float,
    report: Callable[[str, float], None],
) -> tuple[TrainedModel, MinAreaChoice]:
    """Return the material with the area that misses fewest NG images, and the table.

    Of areas that miss as many, the one over whose threshold the NG images stand highest.

    Args:
        model: what was trained.
        tune: good images that chose the weights.
        ng: folder of images of defective parts.
        share: of good parts that may be above the threshold.
        report: called with what is being done and its share.

    Raises:
        DataError: no NG images, or none that can be judged.
    """
    paths = find_images(ng)
    good_maps = _maps(model, [image.path for image in tune], "look at tune images", report)
    ng_maps = _maps(model, paths, "look at NG images", report)
    if not ng_maps or not good_maps:
        raise DataError(f"no image in {ng} can be judged: expected images as the camera takes them")
    tried = [_try(model, area, good_maps, ng_maps, share) for area in _areas(model.recipe)]
    usable = [one for one in tried if one.threshold > 0]
    if not usable:
        raise DataError(f"no good part has a level at any minimum area: {ng} cannot choose one")
    best = min(usable, key=lambda one: (one.missed, -one.middle))
    pairs = tuple(
        AreaPair(
            min_area=one.min_area,
            threshold=one.threshold,
            missed=one.missed,
            defective=len(one.levels),
            chosen=one is best,
        )
        for one in usable
    )
    return with_min_area(model, best.min_area), MinAreaChoice(pairs, best.levels, tuple(map(digest_of, paths)))


def _areas(recipe: Recipe) -> tuple[float, ...]:
    """Return the areas to try, camera pixels, none smaller than a map pixel."""
    inspected = recipe.width * recipe.height / recipe.map_per_camera_area
    own = recipe.decision.min_area
    areas = (share * inspected for share in _SHARES if share * recipe.width * recipe.height >= 1)
    return tuple(sorted([own, *(round(area, 1) for area in areas if not math.isclose(area, own, rel_tol=0.05))]))


def _maps(
    model: TrainedModel, paths: Sequence[Path], words: str, report: Callable[[str, float], None]
) -> tuple[AnomalyMap, ...]:
    """Return the maps of the images that are not INVALID: an INVALID part is not missed."""
    maps = []
    for place, path in enumerate(paths):
        amap = model.map_of(path.read_bytes())
        report(words, (place + 1) / len(paths))
        if amap is not None:
            maps.append(amap)
    return tuple(maps)


def _try(
    model: TrainedModel, area: float, good: Sequence[AnomalyMap], ng: Sequence[AnomalyMap], share: float
) -> _Tried:
    pixels = with_min_area(model, area).recipe.min_area_px
    ranked = sorted((area_level(amap, pixels) for amap in good), reverse=True)
    limit = ranked[min(int(share * len(ranked)), len(ranked) - 1)]
    return _Tried(area, limit * HEADROOM, tuple(area_level(amap, pixels) for amap in ng))
