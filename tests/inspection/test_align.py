"""A part is found wherever it lies, or the image is refused with a reason of its own."""

from typing import Any

import cv2
import numpy as np
import pytest
from factories import a_bracket, a_decision, a_part, a_recipe, png
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_inspector.inspection.align import Aligner, make_aligner, reference_size
from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.inspector import Features, Inspector
from edge_inspector.inspection.model import AnomalyMap, ModelInput, Reason
from edge_inspector.inspection.preprocess import prepare, reduce
from edge_inspector.inspection.recipe import Align, Recipe, Region, Window

REGION = Region(x=56, y=46, width=88, height=68)
HOLE = Region(x=64, y=53, width=26, height=26)


def an_aligned_recipe(kind: str = "rotate", max_rotation: float = 25, **changes: Any) -> Recipe:  # noqa: ANN401
    """Return a recipe for brackets that lie as they like."""
    template = HOLE if kind == "template" else None
    align = Align(kind=kind, max_rotation=max_rotation, template=template, least=0.7)  # type: ignore[arg-type]
    values = {"camera_width": 200, "camera_height": 160, "region": REGION, "align": align, **changes}
    return a_recipe(**values)


def an_aligner(recipe: Recipe, image: NDArray[Any] | None = None) -> Aligner:
    """Return what finds a bracket."""
    reference = a_bracket(0) if image is None else image
    return make_aligner(recipe, reduce(reference, reference_size(recipe), recipe.window))


def pose_of(image: NDArray[Any], recipe: Recipe) -> tuple[float, float, float, float]:
    """Return turn, shift and correlation of a part in a camera image."""
    pose = prepare(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), recipe, an_aligner(recipe))[1].pose
    assert pose is not None
    return pose.turn, pose.shift_x, pose.shift_y, pose.correlation


@settings(max_examples=25)
@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(-16, 16))
def test_shift_and_turn_are_found(turn: float, right: float, down: float) -> None:
    """To a fifth of a pixel and a degree."""
    found = pose_of(a_bracket(3, turn=turn, shift=(right, down)), an_aligned_recipe())

    assert found == pytest.approx((turn, right, down, 1), abs=0.35)
    assert found[3] > 0.95


@pytest.mark.parametrize(("kind", "turn"), [("translate", 0.0), ("template", 0.0), ("template", 8.0)])
def test_each_way_of_looking_finds_the_part(kind: str, turn: float) -> None:
    """By the whole part, or by a mark on it; a small mark tells a turn less exactly."""
    recipe = an_aligned_recipe(kind, 15.0 if turn else 0.0)
    found = pose_of(a_bracket(3, turn=turn, shift=(14, -9)), recipe)

    assert found == pytest.approx((turn, 14, -9, 1), abs=4.0 if turn else 0.35)


@pytest.mark.parametrize("turn", [-179, -120, -60, 50, 91, 175])
@pytest.mark.parametrize("plain", [True, False], ids=["silhouette", "no silhouette"])
def test_a_part_may_lie_at_any_angle(turn: float, plain: bool) -> None:  # noqa: FBT001
    """Head or feet first; where the background is not plain all turns are tried."""
    image = a_bracket(3, turn=turn, shift=(3, -4))
    if not plain:
        image[:20] = 200
        image[:, 180:] = 220
    found = pose_of(image, an_aligned_recipe(max_rotation=180))

    assert found[0] == pytest.approx(turn, abs=0.5)
    assert found[1:3] == pytest.approx((3, -4), abs=0.4)


@pytest.mark.parametrize("change", ["dim", "bright", "16 bits", "damaged"])
def test_light_depth_and_a_defect_do_not_move_the_part(change: str) -> None:
    """Half the light, other light, a camera of 16 bits, a piece that is gone."""
    image = cv2.cvtColor(a_bracket(3, turn=-7, shift=(6, 8)), cv2.COLOR_BGR2GRAY)
    recipe = an_aligned_recipe(window=Window(low=0, high=65535) if change == "16 bits" else None)
    reference: NDArray[Any] = a_bracket(0)
    shown: NDArray[Any] = image
    if change == "dim":
        shown = image // 2
    elif change == "bright":
        shown = (255 - (255 - image) * 0.6).astype(np.uint8)
    elif change == "damaged":
        shown = np.where(np.indices(image.shape)[1] > 125, 70, image).astype(np.uint8)
    else:
        shown, reference = image.astype(np.uint16) * 257, reference.astype(np.uint16) * 257
    pose = prepare(shown, recipe, an_aligner(recipe, reference))[1].pose

    assert pose is not None
    assert (pose.turn, pose.shift_x, pose.shift_y) == pytest.approx((-7, 6, 8), abs=1.0)


NOISE = np.random.default_rng(0).integers(0, 255, (160, 200, 3)).astype(np.uint8)
BAD: dict[str, tuple[NDArray[Any], str]] = {
    "flat": (np.full((160, 200, 3), 128, np.uint8), "the image is flat (contrast 0.0)"),
    "black": (np.zeros((160, 200, 3), np.uint8), "the image is flat (contrast 0.0)"),
    "noise": (NOISE, "the part is nowhere in the image"),
    "another part": (cv2.resize(a_part(0), (200, 160)), "the part is nowhere in the image"),
    "at the edge": (a_bracket(1, shift=(70, 0)), "the part is too near the image's edge: shifted by +70."),
    "over the corner": (a_bracket(1, shift=(-62, -30)), "px of it are outside"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("kind", ["translate", "rotate", "template"])
def test_what_cannot_be_aligned_is_invalid_and_says_why(case: str, kind: str) -> None:
    """Never judged where it happens to lie: a piece that is out of view could be the defective one."""
    image, words = BAD[case]
    recipe = an_aligned_recipe(kind, 25.0 if kind == "rotate" else 0.0)
    inspection = Inspector(recipe, _Good(), None, lambda: 0, aligner=an_aligner(recipe)).inspect(png(image))

    assert inspection.judgement.reason is Reason.NOT_ALIGNED
    assert words in inspection.judgement.detail
    assert not inspection.judgement.accept
    assert inspection.evidence is None


def test_a_part_that_is_upside_down_is_not_found_where_it_may_not_be() -> None:
    """The largest turn is kept."""
    recipe = an_aligned_recipe(max_rotation=25)

    with pytest.raises(UnreadableImageError, match="the part is nowhere in the image"):
        pose_of(a_bracket(1, turn=150), recipe)


@pytest.mark.parametrize("size", [(199, 160), (100, 80), (40, 30), (400, 320), (1, 1)])
def test_an_image_of_another_size_than_the_reference_is_invalid(size: tuple[int, int]) -> None:
    """Smaller, larger, or of one pixel: the part would be looked for at a wrong scale."""
    image = cv2.resize(a_bracket(1), size)
    recipe = an_aligned_recipe()
    judgement = Inspector(recipe, _Good(), None, lambda: 0, aligner=an_aligner(recipe)).inspect(png(image)).judgement

    assert judgement.reason is Reason.WRONG_FORMAT
    assert f"{size[0]}x{size[1]} pixels, the part was trained from 200x160" in judgement.detail


def test_nothing_is_aligned_by_mistake_or_left_unaligned() -> None:
    """A recipe that asks for alignment is no use without what finds the part, nor the other way."""
    recipe = an_aligned_recipe()
    for one, aligner in ((recipe, None), (a_recipe(camera_width=200, camera_height=160), an_aligner(recipe))):
        with pytest.raises(ValueError, match="do not agree"):
            prepare(a_bracket(0)[..., 0], one, aligner)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (np.full((154, 192), 99, np.uint8), "the reference is flat there"),
        (np.zeros((10, 10), np.uint8), "expected a reference of"),
    ],
)
def test_a_reference_that_shows_nothing_is_refused(reference: NDArray[np.uint8], words: str) -> None:
    """Nobody would find a part by it."""
    with pytest.raises(ValueError, match=words):
        make_aligner(an_aligned_recipe(), reference)


def test_what_was_found_is_published_with_the_result() -> None:
    """Shift, turn and correlation stand beside the image's quality; boxes are in the camera image."""
    recipe = an_aligned_recipe(decision=a_decision(threshold=1.0, min_area=4))
    inspector = Inspector(recipe, _Good(spot=3), None, lambda: 0, aligner=an_aligner(recipe))
    inspection = inspector.inspect(png(a_bracket(2, turn=20, shift=(10, 5))))
    (blob,) = inspection.judgement.blobs
    quality = dict(inspection.judgement.quality)
    scratch = cv2.transform(np.array([[[90.0, 98.0]]]), cv2.getRotationMatrix2D((99.5, 79.5), -20, 1))[0, 0] + (10, 5)

    assert quality.keys() == {"shift_x", "shift_y", "turn", "correlation"}
    assert quality["turn"] == pytest.approx(20, abs=0.5)
    assert [name for name, _ in inspection.timing_ms[:3]] == ["decode", "align", "resize"]
    assert blob.x <= scratch[0] <= blob.x + blob.width
    assert blob.y <= scratch[1] <= blob.y + blob.height
    assert max(blob.width, blob.height) < 25


class _Good:
    """A detector that sees a spot where the unmoved bracket's scratch would be, or nothing."""

    def __init__(self, spot: float = 0) -> None:
        self._amap = np.zeros((64, 64), np.float32)
        self._amap[43:55, 22:28] = spot  # y 92 to 104, x 86 to 94 of the region

    def network(self, image: ModelInput) -> Features:
        """Return nothing of interest."""
        return np.zeros((1, *image.shape), np.float32)

    def residual(self, image: ModelInput, features: Features) -> AnomalyMap:
        """Return the map."""
        assert image.shape[:2] == features.shape[1:3]
        return self._amap
