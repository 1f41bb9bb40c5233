"""Choose the minimum area by pictures of defective parts: a table of pairs, and the one that misses fewest.

The thresholds of the table come from tune pictures, so that the calibrate pictures are still used once, for one
setting. The detector knows tune pictures, hence these thresholds are a little low; they only rank the areas.
Idea of the pairs: the fine-tuning of the MVTec re-implementations (reference 1.8), there chosen on test pictures.
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
from edge_inspector.lab.calibration.calibrate import Choice
from edge_inspector.lab.calibration.threshold import HEADROOM
from edge_inspector.lab.data.dataset import GoodPicture, digest_of, find_pictures
from edge_inspector.lab.training.trained_model import Material

_SHARES = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)
"""Of the inspected picture: the areas that are tried, beside the one that the bundle has."""


@dataclass(frozen=True, slots=True)
class _Tried:
    min_area: float
    """Camera pixels."""
    threshold: float
    levels: tuple[float, ...]
    """Of the NG pictures."""

    @property
    def missed(self) -> int:
        return sum(level < self.threshold for level in self.levels)

    @property
    def middle(self) -> float:
        """The middle NG score: how clearly defects stand out."""
        return sorted(self.levels)[len(self.levels) // 2] / self.threshold


def with_min_area(material: Material, min_area: float) -> Material:
    """Return the material with another minimum area, camera pixels.

    Raises:
        UsageError: larger than the picture, or the bundle has several regions, each with its own.
    """
    if material.recipe.units:
        raise UsageError("each region of this bundle has a minimum area of its own: teach the part anew to change them")
    if min_area * material.recipe.map_per_camera_area > material.recipe.width * material.recipe.height:
        raise UsageError(f"--min-area {min_area:g} is larger than the inspected picture")
    decision = material.recipe.decision.model_copy(update={"min_area": min_area})
    recipe = Recipe.model_validate({**material.recipe.model_dump(), "decision": decision.model_dump()})
    return replace(material, recipe=recipe)


def choose_min_area(
    material: Material,
    tune: Sequence[GoodPicture],
    ng: Path,
    share: float,
    report: Callable[[str, float], None],
) -> tuple[Material, Choice]:
    """Return the material with the area that misses fewest NG pictures, and the table.

    Of areas that miss as many, the one over whose threshold the NG pictures stand highest.

    Args:
        material: what was taught.
        tune: good pictures that chose the weights.
        ng: folder of pictures of defective parts.
        share: of good parts that may be above the threshold.
        report: called with what is being done and its share.

    Raises:
        DataError: no NG pictures, or none that can be judged.
    """
    paths = find_pictures(ng)
    good_maps = _maps(material, [picture.path for picture in tune], "look at tune pictures", report)
    ng_maps = _maps(material, paths, "look at NG pictures", report)
    if not ng_maps or not good_maps:
        raise DataError(f"no picture in {ng} can be judged: expected pictures as the camera takes them")
    tried = [_try(material, area, good_maps, ng_maps, share) for area in _areas(material.recipe)]
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
    return with_min_area(material, best.min_area), Choice(pairs, best.levels, tuple(map(digest_of, paths)))


def _areas(recipe: Recipe) -> tuple[float, ...]:
    """Return the areas to try, camera pixels, none smaller than a map pixel."""
    inspected = recipe.width * recipe.height / recipe.map_per_camera_area
    own = recipe.decision.min_area
    areas = (share * inspected for share in _SHARES if share * recipe.width * recipe.height >= 1)
    return tuple(sorted([own, *(round(area, 1) for area in areas if not math.isclose(area, own, rel_tol=0.05))]))


def _maps(
    material: Material, paths: Sequence[Path], words: str, report: Callable[[str, float], None]
) -> tuple[AnomalyMap, ...]:
    """Return the maps of the pictures that are not INVALID: an INVALID part is not missed."""
    maps = []
    for place, path in enumerate(paths):
        amap = material.map_of(path.read_bytes())
        report(words, (place + 1) / len(paths))
        if amap is not None:
            maps.append(amap)
    return tuple(maps)


def _try(material: Material, area: float, good: Sequence[AnomalyMap], ng: Sequence[AnomalyMap], share: float) -> _Tried:
    pixels = with_min_area(material, area).recipe.min_area_px
    ranked = sorted((area_level(amap, pixels) for amap in good), reverse=True)
    limit = ranked[min(int(share * len(ranked)), len(ranked) - 1)]
    return _Tried(area, limit * HEADROOM, tuple(area_level(amap, pixels) for amap in ng))
