"""The limits of a picture's quality have room: good parts keep them, and so do most defective ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import a_recipe

from edge_inspector.bundle import Bundle
from edge_inspector.inspection.preprocess import as_picture, shrink
from edge_inspector.inspection.quality import Gate, Quality, make_gate
from edge_inspector.inspection.recipe import QualityLimits, Recipe
from edge_inspector.lab.dataset import find_good, find_tests, read_picture, split
from edge_inspector.lab.draft import Draft, draft_recipe
from edge_inspector.lab.limits import learn_limits, measured, remembered
from edge_inspector.lab.reference import Sight, prepare_all
from edge_inspector.lab.traits import traits_of


def a_quality(**changes: float) -> Quality:
    """Return the quality of an ordinary picture."""
    usual = Quality(brightness=120, contrast=40, saturated=0.01, focus=0.2, offset_x=0, offset_y=0, unlikeness=0.05)
    return replace(usual, **changes)


def test_limits_have_the_room_that_is_stated() -> None:
    """1.5 times darker, half the contrast, half the sharpness, 25 % more white, 5 % of the side, unlikeness .5."""
    limits = learn_limits([a_quality()] * 5)

    assert limits.dark == pytest.approx(80)
    assert limits.low_contrast == pytest.approx(20)
    assert limits.blurred == pytest.approx(0.1)
    assert limits.saturated == pytest.approx(0.26)
    assert limits.moved == pytest.approx(0.05)
    assert limits.wrong_part == pytest.approx(0.5)


def test_parts_that_differ_more_get_more_room() -> None:
    """Three times as far again as the worst is from the middle one; in factors where less is worse."""
    limits = learn_limits([a_quality(brightness=b, offset_x=x) for b, x in [(60, 0.06), (120, 0.0), (120, 0.0)]])

    assert limits.dark == pytest.approx(60 / 2**3)
    assert limits.moved == pytest.approx(0.06 + 3 * 0.06)


def test_a_limit_that_says_nothing_is_left_out() -> None:
    """Parts that lie anywhere have no place to be moved from, parts of any look none to be unlike."""
    limits = learn_limits([a_quality(offset_y=y, unlikeness=u) for y, u in [(-0.3, 0.5), (0.0, 0.1), (0.2, 0.1)]])

    assert limits.moved is None
    assert limits.wrong_part is None
    assert limits.dark is not None


def test_a_taught_bundle_has_limits_and_its_good_parts_keep_them(bundle: Bundle, good_parts: Path) -> None:
    """`train` learns them; every good part passes the gate as it comes out of the bundle."""
    gate, recipe = bundle.gate(), bundle.recipe
    assert gate is not None
    assert recipe.quality.dark is not None
    assert recipe.quality.wrong_part is not None
    assert not [picture for picture in find_good(good_parts, None) if refused(gate, recipe, picture.path)]
    assert gate.limits == recipe.quality


def refused(gate: Gate, recipe: Recipe, path: Path) -> bool:
    """Say whether the gate refuses a picture file."""
    seen, _ = shrink(read_picture(path, recipe.channels), recipe)
    return gate.refuse(gate.measure(seen, as_picture(seen, recipe))) is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bottle", "ball_screw", "magnetic_tile", "alien_figure"])
def test_real_good_parts_are_not_refused(real_data: Path, name: str) -> None:
    """Measured on four real sets: no good test part, and at most 8 % of the defective ones, cannot be judged."""
    sets = split(find_good(real_data / name / "train" / "good", None), np.random.default_rng(0))
    draft = Draft(part=name, channels=1, size_of=lambda _width, _height: (256, 256))
    recipe = draft_recipe(draft, real_data, [traits_of(read_picture(one.path, 1)) for one in (*sets.fit, *sets.tune)])
    (fit, _), (tune, _) = (prepare_all(Sight(recipe), pictures) for pictures in (sets.fit, sets.tune))
    open_gate = make_gate(QualityLimits(), np.median(tune, axis=0).astype(np.uint8), remembered(fit))
    gate = replace(open_gate, limits=learn_limits(measured(open_gate, recipe, sets.tune, tune)))
    tests = find_tests(real_data / name)
    found = [(test.good, refused(gate, recipe, test.path)) for test in tests]
    defective = [is_refused for good, is_refused in found if not good]

    assert not any(is_refused for good, is_refused in found if good)
    assert sum(defective) <= 0.08 * len(defective)


def test_a_recipe_without_limits_is_read() -> None:
    """A manifest from before there were limits has no such key."""
    old = a_recipe().model_dump()
    del old["quality"]

    assert Recipe.model_validate(old).quality == QualityLimits()
