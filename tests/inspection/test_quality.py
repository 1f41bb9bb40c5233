"""A picture that may not be judged is INVALID, says why with numbers, and hides no score."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from factories import a_part, a_recipe
from numpy.typing import NDArray

from edge_inspector.inspection.inspector import Features, Inspection, Inspector
from edge_inspector.inspection.model import AnomalyMap, Picture, Reason, Verdict
from edge_inspector.inspection.preprocess import prepare, shrink
from edge_inspector.inspection.quality import Gate, Quality, make_gate, miniature_of
from edge_inspector.inspection.recipe import QualityLimits

LIMITS = QualityLimits(dark=80, saturated=0.3, low_contrast=15, blurred=0.1, moved=0.05, wrong_part=0.4)


def grey(seed: int) -> NDArray[np.uint8]:
    """Draw a good part in grey."""
    return np.asarray(cv2.cvtColor(a_part(seed), cv2.COLOR_BGR2GRAY))


def picture_of(image: NDArray[np.uint8]) -> Picture:
    """Return what the detector sees of it."""
    return prepare(image, a_recipe())[0]


def a_gate(limits: QualityLimits = LIMITS) -> Gate:
    """Return the gate of the drawn part."""
    return make_gate(limits, picture_of(grey(0)), [miniature_of(picture_of(grey(seed))) for seed in range(4)])


def a_map(level: float) -> AnomalyMap:
    """Return a map with one blob at `level`; the limit is 1."""
    amap = np.zeros((64, 64), np.float32)
    amap[20:30, 20:30] = level
    return amap


class _Painted:
    def __init__(self, amap: AnomalyMap) -> None:
        self._amap = amap

    def network(self, picture: Picture) -> Features:
        return np.zeros((1, *picture.shape), np.float32)

    def residual(self, _picture: Picture, _features: Features) -> AnomalyMap:
        return self._amap


def inspect(image: NDArray[np.uint8], amap: AnomalyMap, gate: Gate | None = None) -> Inspection:
    """Inspect a picture whose anomaly map is given."""
    return Inspector(a_recipe(), _Painted(amap), None, lambda: 0, gate or a_gate()).inspect(image)


def moved(image: NDArray[np.uint8], right: int, down: int) -> NDArray[np.uint8]:
    """Return the picture as a camera that was knocked sees it."""
    shift = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(image, shift, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE))


def an_empty_table(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the plate without the washer, as bright and as rich in contrast as with it."""
    rng = np.random.default_rng(9)
    plate = 130 + 45 * rng.standard_normal((image.shape[0], 1)) + 2 * rng.standard_normal(image.shape)
    return plate.clip(0, 255).astype(np.uint8)


SPOILED: dict[str, tuple[Reason, Callable[[NDArray[np.uint8]], Any]]] = {
    "dark": (Reason.DARK, lambda image: (image * 0.4).astype(np.uint8)),
    "white": (Reason.SATURATED, lambda image: np.clip(image * 2.2, 0, 255).astype(np.uint8)),
    "mist": (Reason.LOW_CONTRAST, lambda image: (image * 0.2 + 110).astype(np.uint8)),
    "blurred": (Reason.BLURRED, lambda image: cv2.GaussianBlur(image, (0, 0), 6)),
    "knocked": (Reason.MOVED, lambda image: moved(image, 10, -7)),
    "empty": (Reason.WRONG_PART, an_empty_table),
}


@pytest.mark.parametrize(("reason", "spoil"), SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("level", [0.5, 2.0], ids=["would be OK", "would be NG"])
def test_what_cannot_be_judged_is_invalid_and_keeps_its_score(
    reason: Reason, spoil: Callable[[NDArray[np.uint8]], Any], level: float
) -> None:
    """Neither OK nor NG; but the score, the blobs and what would have been said stay visible."""
    judgement = inspect(spoil(grey(7)), a_map(level)).judgement

    assert judgement.reason is reason
    assert judgement.verdict is Verdict.INVALID
    assert judgement.score == pytest.approx(level)
    assert len(judgement.blobs) == (level >= 1)
    assert "usual" in judgement.detail
    assert f"score {level:.2f}" in judgement.detail
    assert set(dict(judgement.quality)) == set(Quality.__slots__)


@pytest.mark.parametrize("seed", range(4, 12))
@pytest.mark.parametrize("scratched", [False, True])
def test_a_part_at_its_place_is_judged(seed: int, *, scratched: bool) -> None:
    """A defect is no reason to refuse the picture."""
    image = np.asarray(cv2.cvtColor(a_part(seed, scratched=scratched), cv2.COLOR_BGR2GRAY))

    assert inspect(image, a_map(0.5)).judgement.verdict is Verdict.OK
    assert inspect(image, a_map(1.0)).judgement.verdict is Verdict.NG


@pytest.mark.parametrize("name", SPOILED)
def test_each_limit_can_be_switched_off(name: str) -> None:
    """With its own limit off, a picture is refused for another reason or not at all."""
    reason, spoil = SPOILED[name]
    gate = a_gate(LIMITS.without([reason.name.lower()]))

    assert inspect(spoil(grey(7)), a_map(0.5), gate).judgement.reason is not reason


def test_without_limits_everything_is_judged_and_measured() -> None:
    """A bundle from before there were limits keeps its verdicts."""
    for _, spoil in SPOILED.values():
        judgement = inspect(spoil(grey(7)), a_map(0.5), a_gate(QualityLimits())).judgement

        assert judgement.verdict is Verdict.OK
        assert judgement.quality


def test_a_fault_of_the_system_stays_an_error() -> None:
    """A bad picture does not excuse a map that is not finite."""
    broken = a_map(0.5)
    broken[0, 0] = np.nan

    assert inspect(SPOILED["dark"][1](grey(7)), broken).judgement.reason is Reason.NOT_FINITE


@pytest.mark.parametrize(("right", "down"), [(0, 0), (10, 0), (-20, 0), (0, 15), (-15, -9)])
def test_the_offset_is_measured_to_two_sixty_fourths(right: int, down: int) -> None:
    """To the right and down are positive; in shares of the camera picture's sides."""
    image = moved(grey(0), right, down)
    quality = a_gate().measure(shrink(image, a_recipe())[0], picture_of(image))

    assert quality.offset_x == pytest.approx(right / 160, abs=2 / 64)
    assert quality.offset_y == pytest.approx(down / 120, abs=2 / 64)


def test_light_does_not_pass_for_sharpness() -> None:
    """A dimmer lamp changes the brightness, not the focus."""
    gate, image = a_gate(), grey(3)
    dimmed = (image * 0.6).astype(np.uint8)
    bright, dim = (gate.measure(shrink(i, a_recipe())[0], picture_of(i)) for i in (image, dimmed))

    assert dim.brightness == pytest.approx(0.6 * bright.brightness, rel=0.02)
    assert dim.focus == pytest.approx(bright.focus, rel=0.1)


def test_a_colour_picture_is_measured_too() -> None:
    """Three channels or one: the same part has the same quality."""
    colour = a_recipe(channels=3)
    seen, placement = shrink(a_part(3), colour)
    gate = make_gate(LIMITS, prepare(a_part(0), colour)[0], [miniature_of(prepare(a_part(1), colour)[0])])
    quality = gate.measure(seen, prepare(a_part(3), colour)[0])

    assert gate.refuse(quality) is None
    assert placement.width == 160
