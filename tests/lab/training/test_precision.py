"""A lighter precision is taken only where the scores stay what they are."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import write_parts

from edge_inspector import bundle as bundles
from edge_inspector.bundle import NETWORK_INT8, Bundle, open_inspector, read_bundle
from edge_inspector.detectors.settings import CaeSettings, PadimSettings
from edge_inspector.detectors.training_data import Budget
from edge_inspector.engines.openvino import can_run
from edge_inspector.errors import DataError, UsageError
from edge_inspector.lab.training import precision
from edge_inspector.lab.training import trained_model as model
from edge_inspector.lab.training.precision import Levels, holds, lighter, parse_precision, shift
from edge_inspector.lab.training.trained_model import model_of

SHORT = Budget(epochs=3, seconds=None)
REFERENCE = Levels(good=[1.0, 2.0], synthetic=[1.5, 40.0])


def test_nothing_moves_where_nothing_changes() -> None:
    """The same scores are the same."""
    assert shift(REFERENCE, REFERENCE) == 0
    assert holds(REFERENCE, REFERENCE)


@pytest.mark.parametrize(
    ("good", "synthetic", "moved"),
    [
        ([1.0, 2.02], [1.5, 40.0], 0.01),  # a hundredth of the limit, which is the highest good level
        ([1.04, 2.0], [1.5, 40.0], 0.02),  # low scores count by the limit too: 0.04 of 2
        ([1.0, 2.0], [1.5, 40.4], 0.01),  # high scores by themselves
    ],
)
def test_a_shift_is_a_share_of_the_limit_or_of_a_higher_score(
    good: list[float], synthetic: list[float], moved: float
) -> None:
    """Near the limit it decides; far above it nobody would notice."""
    assert shift(REFERENCE, Levels(good, synthetic)) == pytest.approx(moved)


def test_a_ranking_that_is_lost_does_not_hold_though_scores_hardly_move() -> None:
    """Two scores that lie close together change places."""
    reference = Levels(good=[1.0, 2.0], synthetic=[2.001, 3.0])
    other = Levels(good=[1.0, 2.001], synthetic=[2.0, 3.0])

    assert shift(reference, other) < 0.01
    assert not holds(reference, other)


def test_a_score_that_moves_too_far_does_not_hold() -> None:
    """Though the ranking stays."""
    assert not holds(REFERENCE, Levels(good=[1.0, 2.05], synthetic=[1.5, 40.0]))


def test_a_score_that_is_no_number_does_not_hold() -> None:
    """NaN compares false with every limit, to the safe side."""
    assert not holds(REFERENCE, Levels(good=[1.0, float("nan")], synthetic=[1.5, 40.0]))


def test_features_are_not_tried_in_int8_unless_asked_for() -> None:
    """Their distances move too far; and float32 tries nothing."""
    assert "int8" not in lighter("auto", PadimSettings())
    assert lighter("f32", CaeSettings()) == ()
    assert lighter("int8", PadimSettings()) == (("int8",) if can_run("int8") else ())


def test_an_unknown_precision_is_refused() -> None:
    """What there is, is named."""
    with pytest.raises(UsageError, match="--precision f64: expected one of auto, f32, bf16, int8"):
        parse_precision("f64")


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory, train_washer: Callable[..., Bundle]) -> Bundle:
    """Train a part and let the precision be chosen."""
    if not can_run("int8"):
        pytest.skip("this processor has no int8 units")
    folder = tmp_path_factory.mktemp("light")
    return train_washer(write_parts(folder / "good", 60), folder / "washer", precision="auto", budget=SHORT)


def test_an_autoencoder_runs_in_int8_and_says_what_that_costs(light: Bundle) -> None:
    """The quantised network is in the bundle beside the float32 one, and golden images come out in int8."""
    card = light.manifest.detector

    assert card.precision == "int8"
    assert card.precision_shift is not None
    assert 0 < card.precision_shift <= precision.LARGEST_SHIFT
    assert {*NETWORK_INT8, "network.onnx"} <= light.manifest.files.keys()
    assert "int8, which moves a score by at most" in card.precision_in_words()
    open_inspector(light, threads=1, clock_ns=lambda: 0)


def test_the_network_really_is_another(light: Bundle) -> None:
    """Int8 gives nearly, but not exactly, what float32 gives."""
    full = light.manifest.detector.model_copy(update={"precision": "f32"})
    other = replace(light, manifest=light.manifest.model_copy(update={"detector": full}))
    image = np.full((64, 64, 1), 90, np.uint8)
    found = [bundles.open_detector(one, 1).network(image) for one in (light, other)]

    assert 0 < float(np.abs(found[0] - found[1]).max()) < 0.2


def test_the_same_seed_gives_the_same_bundle(
    light: Bundle, tmp_path: Path, train_washer: Callable[..., Bundle]
) -> None:
    """On the same machine; time on the clock decides nothing."""
    again = train_washer(
        Path(light.manifest.calibration.images[0].image).parent, tmp_path / "washer", precision="auto", budget=SHORT
    )
    differ = [name for name, digest in light.manifest.files.items() if again.manifest.files[name] != digest]

    assert differ == []


def test_a_processor_without_the_units_refuses_and_calibrates_in_float32(
    light: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed in another precision unasked, the threshold would not hold; `calibrate` makes it one that does."""
    monkeypatch.setattr(bundles, "can_run", lambda wanted: wanted == "f32")
    monkeypatch.setattr(model, "can_run", lambda wanted: wanted == "f32")

    with pytest.raises(DataError, match="runs in int8 and this processor has no units for that: recalibrate here"):
        bundles.open_detector(light, 1)
    card = model_of(light, 1).detector_card
    assert (card.precision, card.precision_shift) == ("f32", None)


def test_a_manifest_from_before_says_float32(bundle: Bundle) -> None:
    """Bundles of earlier versions name no shift, and many no precision."""
    manifest = json.loads((bundle.path / "manifest.json").read_bytes())
    del manifest["detector"]["precision"], manifest["detector"]["precision_shift"]

    card = type(read_bundle(bundle.path).manifest.detector).model_validate(manifest["detector"])
    assert card.precision_in_words() == "f32"


def test_an_order_for_a_precision_that_does_not_hold_is_refused(
    good_parts: Path, tmp_path: Path, train_washer: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said with the shift that was found."""
    if not can_run("bf16"):
        pytest.skip("this processor has no bf16 units")
    monkeypatch.setattr(precision, "LARGEST_SHIFT", -1.0)

    with pytest.raises(DataError, match=r"in bf16 a score moves by .*%.* leave --precision out"):
        train_washer(good_parts, tmp_path / "washer", precision="bf16", budget=Budget(epochs=1, seconds=None))


def test_a_precision_without_units_is_refused_before_an_image_is_read(
    tmp_path: Path, train_washer: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after minutes of training."""
    monkeypatch.setattr(precision, "can_run", lambda wanted: wanted == "f32")

    with pytest.raises(DataError, match="this processor has no int8 units: leave --precision out"):
        train_washer(tmp_path / "no such folder", tmp_path / "washer", precision="int8")
