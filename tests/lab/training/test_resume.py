"""A training that was ended can be gone on with, and what it left behind says how it went."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from edge_inspector.bundle import Bundle
from edge_inspector.commands.console import ended_by_ctrl_c
from edge_inspector.detectors.settings import CaeSettings, CentroidSettings
from edge_inspector.detectors.training_data import Budget
from edge_inspector.errors import DataError, UsageError
from edge_inspector.lab.train import train
from edge_inspector.lab.training.train_part import TrainingRequest


def an_order(images: Path, out: Path, bundle: Bundle) -> TrainingRequest:
    """Return an order that goes on from the shared bundle."""
    return TrainingRequest(
        images=images,
        part="washer",
        out=out,
        detector=CaeSettings(),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        clock=monotonic,
        report=lambda _words, _share: None,
        width=64,
        height=64,
        budget=Budget(2, None),
        resume=bundle.path,
    )


def test_a_bundle_tells_how_its_training_went(bundle: Bundle) -> None:
    """Loss and SSIM of images that train and of some that do not, as CSV and JSON; and what the network is."""
    head, *lines = (bundle.path / "history.csv").read_text().splitlines()
    columns = json.loads((bundle.path / "history.json").read_bytes())
    model = (bundle.path / "model.txt").read_text()

    assert head == "step,loss,val_loss,ssim,val_ssim,quality"
    assert list(columns) == head.split(",")
    assert len(lines) == len(columns["step"]) == 16
    assert columns["step"][-1] == bundle.manifest.provenance.steps
    assert columns["loss"][-1] < columns["loss"][0]
    assert columns["val_ssim"][-1] > columns["val_ssim"][0]
    assert "139,329 parameters" in model
    assert "Conv2d" in model


def test_going_on_is_no_worse(bundle: Bundle, good_parts: Path, tmp_path: Path) -> None:
    """It begins with the weights of before, so it finds defects at once; what they were trained from is remembered."""
    more = train(an_order(good_parts, tmp_path / "more", bundle))
    before, after = (json.loads((one.path / "history.json").read_bytes()) for one in (bundle, more))

    assert after["quality"][0] > before["quality"][0] + 0.5
    assert after["quality"][0] >= before["quality"][-1] - 0.02
    assert set(bundle.manifest.provenance.fit_digests) <= set(more.manifest.provenance.fit_digests)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"seed": 1}, DataError, "would set the threshold now .* --seed 0"),
        ({"width": 32}, UsageError, "give the same options"),
        ({"detector": CaeSettings(kind="cae:mvtec")}, UsageError, "give the same options"),
        ({"detector": CentroidSettings()}, UsageError, "goes on with autoencoders; centroid is quicker"),
        ({"resume": Path("/no bundle")}, DataError, "is not a bundle"),
    ],
    ids=["seed", "size", "kind", "features", "no bundle"],
)
def test_what_cannot_be_gone_on_with_is_refused(
    bundle: Bundle, good_parts: Path, tmp_path: Path, changes: dict[str, object], error: type[Exception], words: str
) -> None:
    """Above all an image that trained must never set the threshold."""
    with pytest.raises(error, match=words):
        train(replace(an_order(good_parts, tmp_path / "out", bundle), **changes))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_training_that_is_asked_to_end_still_writes_a_bundle(
    bundle: Bundle, good_parts: Path, tmp_path: Path
) -> None:
    """After the step at hand, whatever the budget; and nothing is asked before the training begins."""
    asked: list[str] = []

    @contextmanager
    def interruptible() -> Iterator[Callable[[], bool]]:
        yield lambda: asked.append("") or len(asked) >= 4  # type: ignore[func-returns-value]

    request = replace(
        an_order(good_parts, tmp_path / "out", bundle), budget=Budget(1000, None), interruptible=interruptible
    )

    assert train(request).manifest.provenance.steps == 4


def test_ctrl_c_is_heard_once_and_then_kills() -> None:
    """The first ends the training, the second is what it was before; so is every one after the training."""
    before = signal.getsignal(signal.SIGINT)
    with ended_by_ctrl_c(Event()) as stopping:
        handler = signal.getsignal(signal.SIGINT)
        assert callable(handler)
        assert not stopping()
        handler(signal.SIGINT, None)
        assert stopping()
        assert signal.getsignal(signal.SIGINT) is before
    with ended_by_ctrl_c(Event()):
        assert signal.getsignal(signal.SIGINT) is not before

    assert signal.getsignal(signal.SIGINT) is before


PRESSED_WHILE_TRAINING = """
import signal, sys
from edge_inspector import cli
from edge_inspector.lab.training import train_part
train = train_part.train_detector
def pressed(*data):
    signal.raise_signal(signal.SIGINT)
    return train(*data)
train_part.train_detector = pressed
cli.main()
"""


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_and_says_how_to_go_on(bundle: Bundle, good_parts: Path, tmp_path: Path) -> None:
    """A real signal to a real process: exit 0, a bundle, and the words.

    A process of its own: pytest's faulthandler gives signals a stack too small for AMX registers, and crashes.
    """
    lines = ["train", good_parts, "--part", "washer", "--out", tmp_path / "out", "--size", "64", "--epochs", "1000"]
    command = [sys.executable, "-c", PRESSED_WHILE_TRAINING, *map(str, lines), "--resume", str(bundle.path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert "Ctrl-C ended the training after 1 steps" in ran.stderr
    assert f"--resume {tmp_path / 'out'}" in ran.stderr
    assert (tmp_path / "out" / "manifest.json").is_file()
