"""The loops that judge: whatever happens inside or around the judging, the part gets one answer, and it is not OK."""

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brokers import PATIENCE_S, until
from factories import a_frame, a_part, a_recipe, a_result_builder, an_identity, png

from edge_inspector.errors import DiskError
from edge_inspector.inspection.inspector import Features, Inspector
from edge_inspector.inspection.model import AnomalyMap, ModelInput, Reason, Unreadable, Views
from edge_inspector.line.ledger.attempts import Attempts
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.line.sources.source import Accepted, Idle, SourceEvent
from edge_inspector.line.sources.views import Assembly
from edge_inspector.line.station.stage import Answering, Deadlines, Intake, PartLine
from edge_inspector.line.ticks import Answered, Fault, Worker
from edge_inspector.wire.messages import Trace

SECOND = 1_000_000_000
Residual = Callable[[], AnomalyMap]


def quiet() -> AnomalyMap:
    """Return the map of a good part."""
    return np.zeros((64, 64), np.float32)


def defective() -> AnomalyMap:
    """Return a map with a large defect."""
    amap = quiet()
    amap[20:30, 20:30] = 2
    return amap


def not_a_number() -> AnomalyMap:
    """Return a map with one value that is not a number."""
    amap = quiet()
    amap[5, 5] = np.nan
    return amap


def explode() -> AnomalyMap:
    """Fail as a graph may."""
    raise RuntimeError("the graph broke")


class FakeDetector:
    """Gives the map that a test wants."""

    def __init__(self, residual: Residual) -> None:
        self._residual = residual

    def network(self, _image: ModelInput) -> Features:
        """Return nothing worth having."""
        return np.zeros((1, 1, 64, 64), np.float32)

    def residual(self, _image: ModelInput, _features: Features) -> AnomalyMap:
        """Return the test's map."""
        return self._residual()


@dataclass(slots=True)
class Bench:
    """A station's judging without source and broker."""

    ledger_file: Path
    residual: Residual = quiet
    deadline_ns: int = 10 * SECOND
    room: int = 16
    stop: threading.Event = field(default_factory=threading.Event)
    reports: "queue.SimpleQueue[Any]" = field(default_factory=queue.SimpleQueue)
    said: list[Answered] = field(default_factory=list)
    let_go: list[str] = field(default_factory=list)
    parts: dict[str, PartLine] = field(default_factory=dict)
    arrivals: "queue.Queue[Accepted]" = field(init=False)
    deadlines: "queue.SimpleQueue[Any]" = field(default_factory=queue.SimpleQueue)
    open_ledger: Callable[[], Ledger] = field(init=False)

    def __post_init__(self) -> None:
        self.arrivals = queue.Queue(self.room)
        self.open_ledger = lambda: open_ledger(self.ledger_file, lambda: "ledger-1", time.time_ns)
        self.open_ledger().__exit__()
        detector = FakeDetector(self._find)
        self.parts = {"washer": PartLine(Inspector(a_recipe(), detector, None, time.perf_counter_ns), None)}

    def _find(self) -> AnomalyMap:
        return self.residual()

    def worker(self, name: str) -> Worker:
        """Return what a stage's thread holds."""
        return Worker(name, self.stop, self.reports, time.monotonic_ns)

    def answering(self, **changes: Any) -> Answering:  # noqa: ANN401 - a test factory
        """Return the loop that judges."""
        values: dict[str, Any] = {
            "parts": self.parts,
            "arrivals": self.arrivals,
            "worker": self.worker("inspect"),
            "open_ledger": self.open_ledger,
            "announce": self.said.append,
            "done": self.let_go.append,
            "deadline_ns": self.deadline_ns,
            "thumbs": "all",
            "thumb_bytes": 20_000,
        }
        return Answering(**{**values, **changes})

    def watching(self) -> Deadlines:
        """Return the loop that watches deadlines."""
        return Deadlines(
            accepted=self.deadlines,
            worker=self.worker("deadline"),
            open_ledger=self.open_ledger,
            announce=self.said.append,
            deadline_ns=self.deadline_ns,
        )

    def put(self, name: str = "a1", *, waited_ns: int = 0) -> None:
        """Take a good part's image in."""
        frame = a_frame(png(a_part(0)), id=name)
        self.take(Accepted(frame, time.monotonic_ns() - waited_ns))

    def take(self, accepted: Accepted) -> None:
        """Take an arrival in."""
        self.arrivals.put(accepted)
        self.deadlines.put(accepted)

    def wait_for(self, number: int) -> list[Answered]:
        """Return what was announced when so many parts were."""
        until(lambda: len(self.said) >= number, f"{number} answers")
        return self.said

    def wait_until_let_go(self, name: str) -> None:
        """Return when the image was put away."""
        until(lambda: name in self.let_go, f"{name} is put away")

    def faults(self) -> list[Fault]:
        """Return the faults reported since the last look."""
        found = []
        while not self.reports.empty():
            report = self.reports.get()
            if isinstance(report, Fault):
                found.append(report)
        return found

    @contextmanager
    def at_work(self, *loops: Answering | Deadlines | Intake) -> Iterator[None]:
        """Run loops in their threads while the block runs."""
        threads = [threading.Thread(target=loop.run) for loop in loops]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Set up a bench with a detector that finds nothing."""
    return Bench(tmp_path / "ledger.db")


@pytest.mark.parametrize(
    ("residual", "reason"),
    [
        (quiet, Reason.WITHIN_LIMIT),
        (defective, Reason.DEFECT),
        (not_a_number, Reason.NOT_FINITE),
        (explode, Reason.EXCEPTION),
    ],
)
def test_whatever_the_detector_does_is_an_answer(bench: Bench, residual: Residual, reason: Reason) -> None:
    """A fault of the detector is an ERROR of that part; the next part is judged as ever."""
    bench.residual = residual
    with bench.at_work(bench.answering()):
        bench.put("a1")
        bench.wait_for(1)
        bench.residual = quiet
        bench.put("a2")
        first, second = bench.wait_for(2)

    assert first.result.reason_code == reason.number
    assert first.result.verdict == reason.verdict
    assert first.result.accept is (reason is Reason.WITHIN_LIMIT)
    assert second.result.verdict == "OK"


def test_the_image_is_let_go_only_after_the_commit(bench: Bench) -> None:
    """Killed in between, the part is judged again under its id; the other way round it would be lost."""
    answered: list[bool] = []

    def let_go(name: str) -> None:
        with bench.open_ledger() as ledger:
            answered.append(ledger.results.is_answered(name))

    with bench.at_work(bench.answering(done=let_go)):
        bench.put("a1")
        until(lambda: answered, "a1 is put away")

    assert answered == [True]


@pytest.mark.parametrize(
    ("line", "reason"), [(None, Reason.NO_RECIPE), (PartLine(None, None, "differs"), Reason.NOT_READY)]
)
def test_a_part_that_cannot_be_judged_is_an_error(bench: Bench, line: PartLine | None, reason: Reason) -> None:
    """An unknown part, or one whose bundle is not what was accepted, is never silence and never OK."""
    bench.parts = {} if line is None else {"washer": line}
    with bench.at_work(bench.answering()):
        bench.put()
        (answered,) = bench.wait_for(1)

    assert answered.result.verdict == "ERROR"
    assert answered.result.reason_code == reason.number


def test_what_could_not_be_read_keeps_its_reason(bench: Bench) -> None:
    """The source knows best why there is no image."""
    unreadable = Unreadable(an_identity(), Reason.NOT_A_FILE, "a folder, link or device, no file")
    with bench.at_work(bench.answering()):
        bench.take(Accepted(unreadable, time.monotonic_ns()))
        (answered,) = bench.wait_for(1)

    assert (answered.result.verdict, answered.result.reason) == ("INVALID", "a folder, link or device, no file")


def test_a_detector_that_hangs_is_late_and_its_answer_too_late(bench: Bench) -> None:
    """At the deadline the part is ERROR; what comes after it is kept, but it is no second answer."""
    released = threading.Event()

    def hang() -> AnomalyMap:
        released.wait(PATIENCE_S)
        return quiet()

    bench.residual, bench.deadline_ns = hang, SECOND // 5
    with bench.at_work(bench.answering(), bench.watching()):
        bench.put("a1")
        (answered,) = bench.wait_for(1)
        released.set()
        bench.wait_until_let_go("a1")

    assert (answered.result.verdict, answered.result.reason_code) == ("ERROR", Reason.LATE.number)
    assert answered.live
    assert len(bench.said) == 1
    with bench.open_ledger() as ledger:
        assert ledger._db.execute("SELECT id FROM late").fetchall() == [("a1",)]
        assert ledger.counters.since_reset(0).total == 1
        assert ledger.attempts.begun() == frozenset()


def test_in_time_there_is_no_error(bench: Bench) -> None:
    """The deadline of a part that was answered passes without a word."""
    with bench.at_work(bench.answering()):
        bench.put("a1")
        bench.wait_until_let_go("a1")
    bench.stop.clear()
    bench.deadline_ns = 0
    bench.put("next")
    with bench.at_work(bench.watching()):
        until(bench.deadlines.empty, "the deadline has passed: the next part's is looked at")

    assert [answered.result.verdict for answered in bench.said] == ["OK"]


def test_a_part_that_waited_too_long_is_for_the_record(bench: Bench) -> None:
    """The part has gone by: it is judged and counted, but no PLC may act on it."""
    bench.deadline_ns = SECOND
    with bench.at_work(bench.answering()):
        bench.put("old", waited_ns=2 * SECOND)
        bench.put("new")
        old, new = bench.wait_for(2)

    assert (old.result.verdict, old.result.replayed, old.live) == ("OK", True, False)
    assert (new.result.verdict, new.result.replayed, new.live) == ("OK", False, True)


def test_a_part_that_killed_the_program_is_not_looked_at_again(bench: Bench) -> None:
    """An image that brings the program down would bring it down for ever; it is ERROR, the others are judged."""
    with bench.open_ledger() as ledger:
        ledger.attempts.begin("bad")
    with bench.at_work(bench.answering()):
        bench.put("bad")
        bench.put("good")
        bad, good = bench.wait_for(2)

    assert (bad.result.verdict, bad.result.reason_code) == ("ERROR", Reason.CRASHED.number)
    assert good.result.verdict == "OK"
    with bench.open_ledger() as ledger:
        assert ledger.attempts.begun() == frozenset()


def test_a_part_that_was_answered_is_only_put_away(bench: Bench) -> None:
    """Killed between commit and move, it comes again under its id and is not announced again."""
    with bench.open_ledger() as ledger:
        ledger.results.record(a_result_builder(id="a1"), None)
    with bench.at_work(bench.answering()):
        bench.put("a1")
        bench.wait_until_let_go("a1")

    assert bench.said == []


def test_a_full_disk_stops_judging_and_loses_nothing(bench: Bench) -> None:
    """Nothing is announced that is not committed; when there is room again the part is judged, too late for the PLC."""
    full = threading.Event()
    full.set()
    opened = bench.open_ledger

    class FullDisk(Attempts):
        """A ledger's attempts, when the disk has no room."""

        def begin(self, arrival_id: str) -> None:
            """Refuse while the disk is full."""
            if full.is_set():
                raise DiskError("the ledger cannot be written: database or disk is full")
            super().begin(arrival_id)

    def open_full() -> Ledger:
        ledger = opened()
        ledger.attempts.__class__ = FullDisk
        return ledger

    bench.deadline_ns = SECOND // 2
    with bench.at_work(bench.answering(open_ledger=open_full)):
        bench.put("a1")
        (fault,) = until(bench.faults, "the fault is reported")
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > 0.6, "the deadline has passed")
        assert bench.said == []
        assert bench.let_go == []

        full.clear()
        (answered,) = bench.wait_for(1)
        cleared = until(bench.faults, "the fault is cleared")

    assert (fault.code, fault.active) == ("ledger", True)
    assert "disk is full" in fault.message
    assert (cleared[-1].code, cleared[-1].active) == ("ledger", False)
    assert answered.result.verdict == "OK"
    assert not answered.live


def test_an_image_that_cannot_be_put_away_is_reported(bench: Bench) -> None:
    """The answer stands; somebody must look at the folder."""

    def refuse(_name: str) -> None:
        raise PermissionError(13, "Permission denied")

    with bench.at_work(bench.answering(done=refuse)):
        bench.put("a1")
        bench.put("a2")
        bench.wait_for(2)
        fault = until(lambda: [fault for fault in bench.faults() if fault.code == "put_away"], "the fault")[0]

    assert "put away" in fault.message
    assert [answered.result.verdict for answered in bench.said] == ["OK", "OK"]


@pytest.mark.parametrize(
    ("thumbs", "residual", "shown"),
    [
        ("all", quiet, True),
        ("all", defective, True),
        ("not_ok", quiet, False),
        ("not_ok", defective, True),
        ("none", defective, False),
    ],
)
def test_thumbnails_are_made_as_the_settings_say(bench: Bench, thumbs: str, residual: Residual, shown: bool) -> None:  # noqa: FBT001
    """A slow network may want images of rejected parts only."""
    bench.residual = residual
    with bench.at_work(bench.answering(thumbs=thumbs)):
        bench.put()
        (answered,) = bench.wait_for(1)

    assert (answered.thumb is not None) is shown
    assert (len(answered.result.images) == 1) is shown


class Camera:
    """A source that cannot wait and gives images as fast as it can."""

    can_wait = False

    def __init__(self, *arrivals: Accepted) -> None:
        self._arrivals = arrivals

    def events(self, _wanted: Callable[[], bool]) -> Iterator[Accepted]:
        """Yield all at once."""
        yield from self._arrivals

    def done(self, _arrival_id: str) -> None:
        """Have nothing to put away."""


def test_a_camera_that_finds_the_queue_full_gets_its_error_at_once(bench: Bench) -> None:
    """The next part is in front of the camera already: each image too many is an ERROR, not silence."""
    accepted = [Accepted(a_frame(id=f"a{number}"), time.monotonic_ns()) for number in range(20)]
    intake = Intake(
        source=Camera(*accepted),
        arrivals=bench.arrivals,
        deadlines=bench.deadlines,
        worker=bench.worker("intake"),
        open_ledger=bench.open_ledger,
        announce=bench.said.append,
        paused=threading.Event(),
        assembly=Assembly({}, SECOND, time.monotonic_ns),
    )

    intake.run()

    assert bench.arrivals.qsize() == 16
    assert [answered.result.id for answered in bench.said] == ["a16", "a17", "a18", "a19"]
    assert {answered.result.reason_code for answered in bench.said} == {Reason.OVERRUN.number}


def test_each_view_is_judged_by_its_own_bundle(bench: Bench) -> None:
    """Top is good; side's bundle is not ready: one answer, ERROR, and it says which view."""
    bench.parts["washer"] = replace(bench.parts["washer"], views={"side": PartLine(None, None, "side differs")})
    identity = an_identity(id="a1", view="")
    images = tuple(a_frame(png(a_part(0)), id="a1", view=view) for view in ("top", "side"))
    with bench.at_work(bench.answering()):
        bench.take(Accepted(Views(identity, images), time.monotonic_ns()))
        (answered,) = bench.wait_for(1)
        bench.wait_until_let_go("a1")
    result = answered.result

    assert (result.verdict, result.view) == ("ERROR", "side")
    assert result.reason == "view side: side differs"
    assert result.score is not None
    assert bench.let_go == ["a1"]


class Held:
    """A source that cannot keep images, and gives what a test wants."""

    can_wait = False

    def __init__(self, *accepted: Accepted) -> None:
        self._accepted = accepted

    def events(self, _wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield the test's images, then nothing."""
        yield from self._accepted
        while True:
            yield Idle()
            time.sleep(0.01)

    def done(self, _arrival_id: str) -> None:
        """Nothing to put away."""


def an_intake(bench: Bench, *accepted: Accepted) -> Intake:
    """Return the loop that takes a camera's images in."""
    camera, paused = Held(*accepted), threading.Event()
    worker = bench.worker("intake")
    assembly = Assembly({}, SECOND, time.monotonic_ns)
    return Intake(
        camera, bench.arrivals, bench.deadlines, worker, bench.open_ledger, bench.said.append, paused, assembly, "st1"
    )


def test_a_camera_s_images_that_waited_when_the_program_died_are_answered(bench: Bench) -> None:
    """They are gone with it, so ERROR: the one that was being judged may have killed it, the others only waited."""
    frames = [a_frame(png(a_part(0)), id=name, serial=name) for name in ("a1", "a2")]
    with bench.at_work(an_intake(bench, *(Accepted(frame, 0) for frame in frames))):
        until(lambda: bench.arrivals.qsize() == 2, "both wait")
        with bench.open_ledger() as ledger:
            ledger.attempts.begin("a1")
    bench.stop.clear()

    with bench.at_work(an_intake(bench)):
        answered = bench.wait_for(2)
    with bench.open_ledger() as ledger:
        left = ledger.attempts.waiting(), ledger.attempts.begun()

    found = {one.result.serial: (one.result.reason_code, one.result.replayed, one.live) for one in answered}
    assert found == {
        "a1": (Reason.CRASHED.number, True, False),
        "a2": (Reason.RESTARTED.number, True, False),
    }
    assert left == ((), frozenset())


def test_a_camera_s_image_that_was_answered_is_forgotten(bench: Bench) -> None:
    """The next start has nothing to answer."""
    accepted = Accepted(a_frame(png(a_part(0)), id="a1"), time.monotonic_ns())
    with bench.at_work(an_intake(bench, accepted), bench.answering()):
        bench.wait_for(1)

    with bench.open_ledger() as ledger:
        assert ledger.attempts.waiting() == ()


def test_a_result_says_what_it_was_made_with(bench: Bench) -> None:
    """The digest of the very image, beside those of recipe, settings and program."""
    content = png(a_part(0))
    bench.parts["washer"] = replace(bench.parts["washer"], trace=Trace(recipe="r", settings="s", software="1+2"))
    with bench.at_work(bench.answering()):
        bench.put("a1")
        bench.take(Accepted(Unreadable(an_identity(id="a2"), Reason.NOT_A_FILE, "a folder"), time.monotonic_ns()))
        first, second = bench.wait_for(2)

    digest = hashlib.sha256(content).hexdigest()
    assert first.result.trace == Trace(frame=digest, recipe="r", settings="s", software="1+2")
    assert second.result.trace.frame == ""
