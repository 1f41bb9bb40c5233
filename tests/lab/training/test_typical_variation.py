"""Regions are measured by what is usual in each, so that one threshold serves all."""

import numpy as np
import pytest
from factories import a_recipe
from numpy.typing import NDArray

from edge_inspector.errors import DataError
from edge_inspector.inspection.inspector import Features
from edge_inspector.inspection.model import AnomalyMap, ModelInput
from edge_inspector.inspection.recipe import Recipe, Region, Unit
from edge_inspector.inspection.units import as_judged, level_of
from edge_inspector.lab.training.typical_variation import with_typical


class Bright:
    """A detector whose map is the image."""

    def network(self, image: ModelInput) -> Features:
        """Return the image."""
        return image.astype(np.float32)

    def residual(self, image: ModelInput, features: Features) -> AnomalyMap:
        """Return it again."""
        assert features.shape == image.shape
        return features[..., 0]


def a_recipe_of_halves() -> Recipe:
    """Return a recipe with a left and a right unit, 16 x 16."""
    halves = tuple(Unit(region=Region(x=x, y=0, width=8, height=16), min_area=4) for x in (0, 8))
    return a_recipe(width=16, height=16, camera_width=16, camera_height=16, units=halves)


def images(left: float, right: float) -> tuple[NDArray[np.uint8], ...]:
    """Return images whose halves are about so bright."""
    halves = [np.repeat([left + step, right - step], 8) for step in (-2, -1, 0, 1, 2)]
    return tuple(np.tile(row.astype(np.uint8), (16, 1))[..., None] for row in halves)


def test_a_lively_region_and_a_quiet_one_count_alike() -> None:
    """Each region's middle level over tune images is its unit: a middling part has level 1 in both."""
    recipe = with_typical(a_recipe_of_halves(), Bright(), None, images(10, 200))
    judged = as_judged(images(10, 200)[2][..., 0].astype(np.float32), recipe, None)

    assert [unit.typical for unit in recipe.units] == [10, 200]
    assert np.unique(judged).tolist() == [1]
    assert level_of(judged, recipe) == 1


def test_a_recipe_without_regions_stays_as_it_is() -> None:
    """Nothing is measured."""
    recipe = a_recipe()

    assert with_typical(recipe, Bright(), None, ()) is recipe


@pytest.mark.parametrize("masked", [True, False])
def test_a_region_that_never_shows_anything_is_refused(masked: bool) -> None:  # noqa: FBT001
    """Masked, or dead: nothing could be measured by it."""
    ignore = np.zeros((16, 16), bool)
    ignore[:, :8] = masked

    with pytest.raises(DataError, match="in the region 8x16 at 0,0 no good part shows any difference"):
        with_typical(a_recipe_of_halves(), Bright(), ignore, images(10 if masked else 0, 200)[2:3])
