"""One image in, one judgement out; an image that cannot be judged is INVALID, never an exception."""

import itertools

import cv2
import numpy as np
import pytest
from factories import a_decision, a_part, a_recipe, jpeg, png
from numpy.typing import NDArray

from edge_inspector.inspection.inspector import Features, Inspector
from edge_inspector.inspection.model import AnomalyMap, ModelInput, Reason, Verdict
from edge_inspector.inspection.recipe import Recipe, Region, Window


class Painted:
    """A detector whose anomaly map is given."""

    def __init__(self, amap: AnomalyMap) -> None:
        self._amap = amap

    def network(self, model_input: ModelInput) -> Features:
        """Return nothing of interest."""
        return np.zeros((1, *model_input.shape), np.float32)

    def residual(self, model_input: ModelInput, features: Features) -> AnomalyMap:
        """Return the map that was given."""
        assert model_input.dtype == np.uint8
        assert features.dtype == np.float32
        return self._amap


def a_map(**places: float) -> AnomalyMap:
    """Return a 64 x 64 map of zeros with a 10 x 10 spot."""
    amap = np.zeros((64, 64), np.float32)
    amap[20:30, 40:50] = places.get("spot", 0)
    return amap


def an_inspector(amap: AnomalyMap, recipe: Recipe | None = None, ignore: NDArray[np.bool_] | None = None) -> Inspector:
    """Return an inspector with a clock that ticks a millisecond a look."""
    return Inspector(recipe or a_recipe(), Painted(amap), ignore, itertools.count(0, 1_000_000).__next__)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"part;verdict\n", Reason.NOT_AN_IMAGE),
        (jpeg(a_part(0))[:-2], Reason.TRUNCATED),
        (png(a_part(0))[:100], Reason.TRUNCATED),
        (png(np.zeros((8, 8), np.uint16)), Reason.WRONG_FORMAT),
        (bytes(cv2.imencode(".tiff", np.ones((8, 8), np.float32))[1]), Reason.WRONG_FORMAT),
        (np.zeros((120, 160), np.uint16), Reason.WRONG_FORMAT),
    ],
    ids=["empty", "text", "cut jpeg", "cut png", "16 bits", "float", "16-bit pixels"],
)
def test_a_bad_image_is_invalid_and_says_why(image: bytes | NDArray[np.uint16], reason: Reason) -> None:
    """The line goes on, the part does not pass."""
    inspection = an_inspector(a_map()).inspect(image)

    assert inspection.judgement.reason is reason
    assert inspection.judgement.verdict is Verdict.INVALID
    assert inspection.judgement.score is None
    assert inspection.evidence is None
    assert inspection.judgement.detail


@pytest.mark.parametrize(
    "recipe",
    [a_recipe(region=Region(x=100, y=100, width=100, height=100)), a_recipe(window=Window(low=0, high=4095))],
    ids=["region outside", "8 bits under a 16-bit recipe"],
)
def test_an_image_of_another_format_than_the_recipe_s_is_invalid(recipe: Recipe) -> None:
    """A camera with other settings than at training is found out."""
    assert an_inspector(a_map(), recipe).inspect(jpeg(a_part(0))).judgement.reason is Reason.WRONG_FORMAT


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_an_error(bad: float) -> None:
    """NaN compares false with every threshold, so it would pass as OK if nobody looked."""
    amap = a_map()
    amap[5, 6] = bad
    judgement = an_inspector(amap).inspect(jpeg(a_part(0))).judgement

    assert judgement.reason is Reason.NOT_FINITE
    assert judgement.verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("spot", "verdict", "blobs"), [(0.4, Verdict.OK, 0), (0.7, Verdict.REVIEW, 1), (1.0, Verdict.NG, 1)]
)
def test_the_map_decides(spot: float, verdict: Verdict, blobs: int) -> None:
    """Below the review limit OK, between the limits REVIEW, at the limit NG; the score is level by limit."""
    recipe = a_recipe(decision=a_decision(threshold=1.0, review=0.5))
    judgement = an_inspector(a_map(spot=spot), recipe).inspect(jpeg(a_part(0))).judgement

    assert judgement.verdict is verdict
    assert judgement.score == pytest.approx(spot)
    assert len(judgement.blobs) == blobs


def test_a_box_is_in_camera_pixels() -> None:
    """Columns 40 to 50 and rows 20 to 30 of the 64 x 64 map are there in the 160 x 120 image."""
    (blob,) = an_inspector(a_map(spot=2)).inspect(jpeg(a_part(0))).judgement.blobs

    assert (blob.x, blob.y, blob.width, blob.height) == (100, 37, 25, 20)
    assert blob.peak == 2


def test_what_is_masked_is_not_judged() -> None:
    """A spot under the ignore mask is silent, beside it it counts."""
    ignore = np.zeros((64, 64), bool)
    ignore[20:30, 40:50] = True

    assert an_inspector(a_map(spot=5), ignore=ignore).inspect(jpeg(a_part(0))).judgement.verdict is Verdict.OK
    assert an_inspector(a_map(spot=5), ignore=~ignore).inspect(jpeg(a_part(0))).judgement.verdict is Verdict.NG


def test_a_number_that_is_none_is_a_fault_under_the_mask_too() -> None:
    """A damaged graph is not excused by where it shows."""
    amap = a_map()
    amap[25, 45] = np.nan
    ignore = np.ones((64, 64), bool)

    assert an_inspector(amap, ignore=ignore).inspect(jpeg(a_part(0))).judgement.reason is Reason.NOT_FINITE


def test_each_stage_is_timed() -> None:
    """Where the milliseconds went, in the order in which they did."""
    whole = an_inspector(a_map()).inspect(jpeg(a_part(0)))
    refused = an_inspector(a_map()).inspect(b"")

    assert whole.timing_ms == tuple((stage, 1.0) for stage in ("decode", "resize", "network", "residual", "decide"))
    assert refused.timing_ms == ()
