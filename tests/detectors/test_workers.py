"""Several processes train one network as one process would."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import write_parts

from edge_inspector.bundle import read_bundle
from edge_inspector.detectors.workers import ALONE, Workers, join
from edge_inspector.errors import UsageError


def test_a_batch_is_shared_without_rest() -> None:
    """Every place is computed by one process; a batch smaller than their number leaves nobody without."""
    batch = np.arange(7)
    shares = [Workers(rank, 3).share_of(batch) for rank in range(3)]

    assert sorted(np.concatenate(shares)) == list(batch)
    assert [len(Workers(rank, 3).share_of(np.arange(2))) for rank in range(3)] == [1, 1, 1]


def test_alone_nothing_is_asked_of_anybody() -> None:
    """The plain training does not know of the others."""
    layer = torch.nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    before = [parameter.grad.clone() for parameter in layer.parameters() if parameter.grad is not None]

    ALONE.average_gradients(layer)
    ALONE.leave()

    assert ALONE.agreed(0.25) == 0.25
    assert all(torch.equal(a, p.grad) for a, p in zip(before, layer.parameters(), strict=True) if p.grad is not None)
    assert join("cpu") == ALONE


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a graphics card")
def test_a_graphics_card_that_is_not_there_is_refused() -> None:
    """One line that says what to do, before a picture is read."""
    with pytest.raises(UsageError, match="--device cuda: torch sees no graphics card here"):
        join("cuda")


@pytest.mark.slow
@pytest.mark.trains
def test_two_processes_train_one_bundle(tmp_path: Path) -> None:
    """Started by torchrun; one bundle comes out, taught in as many steps, that judges as well as one taught alone."""
    good = write_parts(tmp_path / "good", 40)
    command = ["edge_inspector.cli", "train", str(good), "--part", "washer", "--size", "32", "--precision", "f32"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    for name, start in (("alone", [sys.executable, "-m"]), ("together", torchrun)):
        words = [*start, *command, "--epochs", "4", "--out", str(tmp_path / name)]
        found = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
        assert found.returncode == 0, found.stderr[-2000:]
    alone, together = (read_bundle(tmp_path / name).manifest for name in ("alone", "together"))

    assert together.provenance.steps == alone.provenance.steps
    assert together.calibration.digests == alone.calibration.digests
    # The same pictures in the same steps: only the order of additions differs, and bf16 rounds them.
    assert together.calibration.threshold == pytest.approx(alone.calibration.threshold, rel=0.1)
