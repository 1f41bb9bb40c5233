"""What tests of single faults do not find: hundreds of stories of many faults, each of which a seed tells again."""

from typing import cast

import cv2
import numpy as np
import pytest
from simulation.episode import FailedError, run

from edge_inspector.inspection.model import Image
from edge_inspector.line.broker import publisher
from edge_inspector.line.health.verdict_hold import VerdictHold
from edge_inspector.line.ledger.monitor import PRODUCTION
from edge_inspector.line.ledger.results import Results
from edge_inspector.line.ledger.station_state import StationState
from edge_inspector.line.sources import camera

SEEDS = 120
PARTS = 30


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_no_story_breaks_a_promise(first: int) -> None:
    """Whatever dies, is full, late, doubled or cut, and in whichever order the threads turn."""
    outcomes = [run(seed, PARTS) for seed in range(first, first + 20)]

    assert sum(outcome.kills for outcome in outcomes) >= 10
    assert sum(outcome.accepted for outcome in outcomes) >= 50
    assert sum(outcome.results for outcome in outcomes) >= 250


@pytest.mark.parametrize("seed", [8, 9], ids=["folder", "trigger"])
def test_a_seed_is_the_same_story_every_time(seed: int) -> None:
    """Otherwise a failure that was found could not be looked at."""
    assert run(seed, PARTS) == run(seed, PARTS)


# A story that has failed is left in the middle: a connection that says goodbye then is killed in its generator's end.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <generator object links:pytest.PytestUnraisableExceptionWarning"
)


def test_the_seeds_are_not_all_the_same_story() -> None:
    """Every kind of fault is in them, and results come twice in some."""
    outcomes = [run(seed, PARTS) for seed in range(1000, 1030)]

    assert len({outcome.digest for outcome in outcomes}) == len(outcomes)
    assert {fault for outcome in outcomes for fault in outcome.faults} >= {
        "kill",
        "power",
        "broker",
        "cut",
        "full",
        "monitor",
    }
    assert sum(outcome.challenges for outcome in outcomes) >= 15
    assert sum(outcome.duplicates for outcome in outcomes) > 0
    assert sum(outcome.damaged for outcome in outcomes) > 0


def test_a_sown_fault_is_found_with_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cursor that moves before the broker has the line loses it; the failure says which seed to play again."""

    def send_and_forget(self: "publisher._Session") -> None:
        _REAL_SEND(self)
        for line in self._under_way:
            line.mids.clear()

    monkeypatch.setattr(publisher._Session, "_send", send_and_forget)

    with pytest.raises(FailedError, match=r"seed \d+: .*cursor passed(.|\n)*--seed \d+"):
        _run_seeds(20)


def test_a_damaged_frame_that_is_judged_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was when OpenCV decoded the frames: half a part, and the rest of something else."""

    def decoded(data: bytes) -> Image:
        return cast("Image", cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))

    monkeypatch.setattr(camera, "as_frame", decoded)

    with pytest.raises(FailedError, match="a damaged frame is judged"):
        _run_seeds(60)


def test_power_cuts_lose_what_was_not_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated disk forgets as a real one would: without FULL sync, told answers are gone after a power cut."""
    monkeypatch.setattr(Results, "record", _unsynced)

    with pytest.raises(FailedError, match="told and is lost"):
        _run_seeds(400)


def test_a_challenge_that_counts_as_production_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it did for a trigger that was answered before its image was taken in."""
    monkeypatch.setattr(StationState, "mark_challenge", lambda self, _id: self._db.set_meta("challenge_announced", ""))

    with pytest.raises(FailedError, match=r"the (marked|announced) challenge part .* counts as production"):
        _run_seeds(60)


def test_monitor_mode_that_nobody_marks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the moment that the operator was told of it."""
    monkeypatch.setattr(StationState, "monitor", lambda _self: PRODUCTION)

    with pytest.raises(FailedError, match="judged in monitor mode and is not marked"):
        _run_seeds(60)


def test_a_station_that_stays_ready_for_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed or missing challenge says that the detector may be blind."""
    monkeypatch.setattr(VerdictHold, "withholds", False)

    with pytest.raises(FailedError, match="nobody may act on verdicts"):
        _run_seeds(60)


def _run_seeds(count: int) -> None:
    for seed in range(count):
        run(seed, PARTS)


def _unsynced(self: Results, build: object, thumb: bytes | None) -> object:
    self._db.execute("PRAGMA synchronous=OFF")
    try:
        return _REAL_RECORD(self, build, thumb)  # type: ignore[arg-type]
    finally:
        self._db.execute("PRAGMA synchronous=FULL")


_REAL_SEND = publisher._Session._send
_REAL_RECORD = Results.record
