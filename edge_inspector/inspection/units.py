"""The units of a decision: regions of the map, each with its own minimum area, under one threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.blobs import find_blobs
from edge_inspector.inspection.model import AnomalyMap, Blob
from edge_inspector.inspection.placement import Placement
from edge_inspector.inspection.preprocess import IgnoreMask
from edge_inspector.inspection.recipe import Recipe, Region
from edge_inspector.inspection.score import area_level


@dataclass(frozen=True, slots=True)
class Field:
    """A unit on the map."""

    place: Region
    """Map pixels."""
    min_area_px: int
    typical: float

    @property
    def cut(self) -> tuple[slice, slice]:
        """Where it lies in an array."""
        place = self.place
        return slice(place.y, place.y + place.height), slice(place.x, place.x + place.width)


def fields_of(recipe: Recipe) -> tuple[Field, ...]:
    """Return the units as they lie on the map: the whole of it where the recipe names none."""
    if not recipe.units:
        return (Field(Region(x=0, y=0, width=recipe.width, height=recipe.height), recipe.min_area_px, 1.0),)
    return tuple(
        Field(recipe.on_map(unit.region), recipe.to_map_area(unit.min_area), unit.typical) for unit in recipe.units
    )


def as_judged(amap: AnomalyMap, recipe: Recipe, ignore: IgnoreMask | None) -> AnomalyMap:
    """Return the map without what is ignored, each unit in multiples of what is usual there, 0 outside all units.

    Only finite places are silenced: a NaN under the mask is still a fault of the graph.
    """
    silent = np.zeros(amap.shape, np.bool_) if ignore is None else ignore
    if recipe.units:
        outside = np.ones(amap.shape, np.bool_)
        weighed = amap.copy()
        for part in fields_of(recipe):
            outside[part.cut] = False
            weighed[part.cut] = amap[part.cut] / np.float32(part.typical)
        amap, silent = weighed, silent | outside
    elif ignore is None:
        return amap
    return np.where(silent & np.isfinite(amap), np.float32(0), amap)


def never_judged(recipe: Recipe, ignore: IgnoreMask | None) -> NDArray[np.bool_]:
    """Return where the map has no say: what is ignored, and what is outside all units; bool of the map's size."""
    outside = np.full((recipe.height, recipe.width), bool(recipe.units))
    if recipe.units:
        for part in fields_of(recipe):
            outside[part.cut] = False
    return outside if ignore is None else outside | ignore


def least_usual(recipe: Recipe) -> float:
    """Return the least middle level of all units: in it, what is added everywhere counts most."""
    return min(part.typical for part in fields_of(recipe))


def level_of(judged: AnomalyMap, recipe: Recipe) -> float:
    """Return the level of a part: the highest of its units'.

    Args:
        judged: as `as_judged` gives it, finite.
        recipe: names the units.
    """
    return max(levels_of(judged, recipe))


def levels_of(judged: AnomalyMap, recipe: Recipe) -> tuple[float, ...]:
    """Return the level of each unit."""
    return tuple(area_level(judged[part.cut], part.min_area_px) for part in fields_of(recipe))


def blobs_of(judged: AnomalyMap, recipe: Recipe, placement: Placement) -> tuple[Blob, ...]:
    """Return the blobs of all units, worst first; each has the minimum area of its unit."""
    blobs: list[Blob] = []
    for part in fields_of(recipe):
        corner = part.place.x, part.place.y
        blobs += find_blobs(judged[part.cut], recipe.decision, part.min_area_px, placement, corner)
    return tuple(sorted(blobs, key=lambda blob: (not blob.over_threshold, -blob.area)))
