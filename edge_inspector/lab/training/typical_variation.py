"""The typical level of each region that has a minimum area of its own, so that one threshold serves all."""

from collections.abc import Sequence

import numpy as np

from edge_inspector.errors import DataError
from edge_inspector.inspection.inspector import Detector
from edge_inspector.inspection.model import ModelInput
from edge_inspector.inspection.preprocess import IgnoreMask
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.inspection.units import as_judged, levels_of


def with_typical(recipe: Recipe, detector: Detector, ignore: IgnoreMask | None, tune: Sequence[ModelInput]) -> Recipe:
    """Return the recipe with the middle level of each unit over tune images.

    Raises:
        DataError: a unit in which no good part has a level.
    """
    if not recipe.units:
        return recipe
    maps = (as_judged(detector.residual(one, detector.network(one)), recipe, ignore) for one in tune)
    return with_usual_levels(recipe, [levels_of(amap, recipe) for amap in maps])


def with_usual_levels(recipe: Recipe, found: Sequence[Sequence[float]]) -> Recipe:
    """Return the recipe with the middle level of each unit.

    Args:
        recipe: whose units are not weighed yet.
        found: for each good image the level of each unit.

    Raises:
        DataError: a unit in which no good part has a level.
    """
    if not recipe.units:
        return recipe
    units = []
    for unit, levels in zip(recipe.units, zip(*found, strict=True), strict=True):
        typical = float(np.median(levels)) or max(levels)
        if not typical > 0:
            raise DataError(
                f"in the region {unit.region} no good part shows any difference of {unit.min_area:g} pixels: enlarge "
                "it, lower its minimum area, or see that the mask does not cover it"
            )
        units.append(unit.model_copy(update={"typical": float(np.float32(typical))}))
    return recipe.model_copy(update={"units": tuple(units)})
