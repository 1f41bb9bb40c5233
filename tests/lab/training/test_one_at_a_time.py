"""Images are read one after the other: hundreds of 20 megapixels would not fit into memory together."""

import weakref
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import cv2
import numpy as np
import pytest
from factories import write_masks, write_parts
from numpy.typing import NDArray

from edge_inspector.bundle import Bundle, open_inspector
from edge_inspector.detectors.training_data import Budget
from edge_inspector.lab.calibration.recalibrate import CalibrationRequest, recalibrate
from edge_inspector.lab.data.data_check import check_data
from edge_inspector.lab.evaluation.evaluate import evaluate
from edge_inspector.lab.training.target import Target

MOST = 3
"""The one that is read, the one before it, of which a loop's variable still speaks, and what a tool makes of it."""


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give a list that grows by the number of decoded images that are alive, at each decoding."""
    alive: list[weakref.ref[NDArray[np.uint8]]] = []
    counts: list[int] = []
    imdecode = cv2.imdecode

    def counted(*arguments: object) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = imdecode(*arguments)  # type: ignore[call-overload]
        alive.append(weakref.ref(image))
        counts.append(sum(one() is not None for one in alive))
        return image

    monkeypatch.setattr(cv2, "imdecode", counted)
    return counts


def silent(_words: str, _share: float) -> None:
    """Report nothing."""


def test_training_holds_one_image(
    good_parts: Path, tmp_path: Path, train_washer: Callable[..., Bundle], held: list[int]
) -> None:
    """Sizes, depth and the range in use are all that is kept of each; only prepared, small images are held."""
    train_washer(good_parts, tmp_path / "out", budget=Budget(1, None), clock=monotonic)

    assert len(held) > 200
    assert max(held) <= MOST


def test_calibrating_holds_one_image(bundle: Bundle, good_parts: Path, tmp_path: Path, held: list[int]) -> None:
    """Good parts and NG parts alike."""
    request = CalibrationRequest(
        images=good_parts,
        out=tmp_path / "out",
        target=Target(0.3),
        created=bundle.manifest.provenance.created,
        report=silent,
        again=True,
        ng=write_parts(tmp_path / "ng", 12, scratched=True, first=3000),
    )
    recalibrate(bundle, request)

    assert len(held) > 60
    assert max(held) <= MOST


def test_evaluating_holds_one_image(bundle: Bundle, tmp_path: Path, held: list[int]) -> None:
    """And its mask; `compare` evaluates twice, one bundle after the other."""
    write_parts(tmp_path / "test" / "good", 8, first=1000)
    write_parts(tmp_path / "test" / "scratch", 8, scratched=True, first=2000)
    write_masks(tmp_path / "ground_truth" / "scratch", 8, first=2000)
    inspector = open_inspector(bundle, threads=1, clock_ns=lambda: 0)
    held.clear()
    evaluate(bundle, inspector, tmp_path, "calibrated", silent)

    assert len(held) >= 16
    assert max(held) <= MOST


def test_checking_data_holds_one_image(tmp_path: Path, held: list[int]) -> None:
    """A miniature and a digest of each are enough."""
    write_parts(tmp_path, 30)
    check_data(tmp_path, None, silent)

    assert len(held) == 30
    assert max(held) <= MOST
