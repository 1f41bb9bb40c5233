"""The two loops of a station that judge: one takes images in, one answers them."""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

from edge_inspector.errors import DiskError
from edge_inspector.inspection.inspector import Evidence, Inspection, Inspector
from edge_inspector.inspection.model import Arrival, Frame, Identity, Judgement, Reason, Unreadable, Views
from edge_inspector.inspection.overlays import thumbnail
from edge_inspector.inspection.worst import worst_of
from edge_inspector.line.archive.archive import ArchivedImage
from edge_inspector.line.archive.trace import frame_digest
from edge_inspector.line.collect.collector import Shot
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.sources.source import Accepted, Idle, Last, NotPutAway, Opened, PassedOver, Source, Trouble
from edge_inspector.line.sources.triggers import Trigger, identity_of
from edge_inspector.line.sources.views import Assembly
from edge_inspector.line.station.golden_checks import GoldenCheck, GoldenOutcome
from edge_inspector.line.ticks import Answered, Fault, SourceState, Worker, ledger_fault
from edge_inspector.wire.messages import BundleMessage, ImageMessage, Result, Trace, result_of

logger = logging.getLogger(__name__)

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class PartLine:
    """All that judges one part: its inspector, or why there is none."""

    inspector: Inspector | None
    bundle: BundleMessage | None
    why_not: str = ""
    trace: Trace = field(default_factory=Trace)
    """What all its verdicts are made with."""
    golden: Callable[[], tuple[str, ...]] = tuple
    """Judges the bundle's golden images and returns what differs; for the judging thread alone."""
    views: Mapping[str, "PartLine"] = field(default_factory=dict)
    """What judges a view, where that is a bundle of its own."""

    def for_view(self, view: str) -> "PartLine":
        """Return what judges images of that view."""
        return self.views.get(view, self)


@dataclass(frozen=True, slots=True)
class NewParts:
    """What judges from the next image on; `taken` hears when the judging thread has it."""

    lines: Mapping[str, PartLine]
    taken: "queue.SimpleQueue[None]" = field(repr=False)


Announce: TypeAlias = Callable[[Answered], None]


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes arrivals from the source into the bounded queue; what cannot wait and finds it full is answered here."""

    source: Source
    arrivals: "queue.Queue[Accepted | Last]"
    deadlines: "queue.SimpleQueue[Accepted | Trigger]"
    worker: Worker
    open_ledger: Callable[[], Ledger] = field(repr=False)
    announce: Announce = field(repr=False)
    paused: threading.Event
    assembly: Assembly
    """Puts several images of one part together."""
    station: str = ""
    is_marked: Callable[[str], bool] = lambda _serial: False
    """Whether a serial is a challenge part's."""
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when nothing more is to be taken in: what was is handed on, and `Last` behind it."""

    def run(self) -> None:
        """Take in until stopped or closed; triggers that an earlier run accepted and did not answer come first."""
        with self.open_ledger() as ledger, closing(self.source.events(self._wanted)) as events:
            self._answer_open_triggers(ledger)
            self._answer_open_images(ledger)
            for event in events:
                self.worker.tick()
                if isinstance(event, Accepted):
                    for part in self.assembly.add(event):
                        self._take(ledger, part)
                else:
                    self._report(event)
                for part in self.assembly.overdue():
                    self._take(ledger, part)
                if self.worker.stopping() or self._is_closed(ledger):
                    return

    def _report(self, event: Opened | Trouble | PassedOver | NotPutAway | Idle) -> None:
        match event:
            case Opened(detail=detail, warning=warning):
                self.worker.reports.put(SourceState(open=True, detail=detail))
                self.worker.reports.put(Fault("unchecked", warning, active=bool(warning)))
            case Trouble(detail=detail):
                self.worker.reports.put(SourceState(open=False, detail=detail))
            case PassedOver(detail=detail):
                self.worker.reports.put(Fault("passed_over", detail, active=bool(detail)))
            case NotPutAway(detail=detail):
                self.worker.reports.put(Fault("put_away", detail, active=bool(detail)))
            case Idle():
                pass
            case _:
                assert_never(event)

    def _is_closed(self, ledger: Ledger) -> bool:
        """Say whether all that was accepted is on its way, and nothing more will be."""
        if not self.closing.is_set() or not self.assembly.is_empty() or ledger.triggers.unanswered():
            return False
        with suppress(queue.Full):
            self.arrivals.put(Last(), timeout=0.5)
            return True
        return False

    def _answer_open_triggers(self, ledger: Ledger) -> None:
        for arrival_id, trigger_id, part, accepted_ns in ledger.triggers.unanswered():
            trigger = Trigger(arrival_id, trigger_id, part, 0, accepted_ns)
            judgement = Judgement(Reason.RESTARTED, "the program ended before the trigger was answered")
            identity = identity_of(trigger, self.station, replayed=True)
            answer_without_image(ledger, identity, judgement, self.worker, self.announce, 0.0)

    def _answer_open_images(self, ledger: Ledger) -> None:
        """Answer the images that waited in memory when the program ended: they are gone with it."""
        died_with = ledger.attempts.begun()
        for identity in ledger.attempts.waiting():
            crashed = identity.id in died_with
            judgement = (
                Judgement(Reason.CRASHED, "the program ended while it judged this image")
                if crashed
                else Judgement(Reason.RESTARTED, "the program ended while the image waited")
            )
            answer_without_image(ledger, replace(identity, replayed=True), judgement, self.worker, self.announce, 0.0)

    def _wanted(self) -> bool:
        blocked = self.source.can_wait and self.arrivals.full()
        return not (self.worker.stopping() or self.closing.is_set() or self.paused.is_set() or blocked)

    def _take(self, ledger: Ledger, accepted: Accepted) -> None:
        identity = accepted.arrival.identity
        self._take_challenge(ledger, identity)
        if not (self.source.can_wait or identity.trigger_id):
            self._note(ledger, identity)
        while not self.worker.stopping():
            try:
                self.arrivals.put(accepted, timeout=0.5 if self.source.can_wait else 0)
            except queue.Full:
                self.worker.tick()
                if not self.source.can_wait:
                    self._overrun(ledger, accepted.arrival.identity)
                    return
            else:
                self.deadlines.put(accepted)
                return

    def _take_challenge(self, ledger: Ledger, identity: Identity) -> None:
        """Have a challenge part known as one before it is judged, however long the disk refuses.

        The one that was announced is the next to be taken in; what waited before the start was there before, and a
        trigger was bound when it was accepted.
        """
        by_itself = not (identity.replayed or identity.trigger_id)
        while not self.worker.stopping():
            try:
                announced = by_itself and bool(ledger.state.announced_challenge())
                if announced or self.is_marked(identity.serial):
                    ledger.state.take_challenge(identity.id)
            except DiskError as error:
                self.worker.reports.put(ledger_fault(error))
                self.worker.pause(_RETRY_S)
            else:
                return

    def _note(self, ledger: Ledger, identity: Identity) -> None:
        """Note an image that is nowhere but in memory; the answer itself waits for the disk, this does not."""
        try:
            ledger.attempts.note_waiting(identity)
        except DiskError as error:
            self.worker.reports.put(ledger_fault(error))

    def _overrun(self, ledger: Ledger, identity: Identity) -> None:
        judgement = Judgement(Reason.OVERRUN, f"{self.arrivals.maxsize} images wait already")
        answer_without_image(ledger, identity, judgement, self.worker, self.announce, 0.0)


def answer_without_image(
    ledger: Ledger, identity: Identity, judgement: Judgement, worker: Worker, announce: Announce, waited_ms: float
) -> None:
    """Commit and announce an answer that no image was looked at for, unless the part has one.

    However long the disk refuses: a trigger that nobody answers would leave the station not ready for ever.
    """

    def build(ledger_id: str, seq: int, now_ns: int) -> Result:
        return result_of(
            identity,
            judgement,
            ledger=ledger_id,
            seq=seq,
            bundle=None,
            images=(),
            decided_ns=now_ns,
            timing_ms={"total": waited_ms},
        )

    while not worker.stopping():
        try:
            result = ledger.results.record(build, None)
        except DiskError as error:
            worker.reports.put(ledger_fault(error))
            worker.pause(_RETRY_S)
            continue
        worker.reports.put(Fault("ledger", "", active=False))
        if result is not None:
            announce(Answered(result, None, live=not identity.replayed))
        return


@dataclass(frozen=True, slots=True)
class _Looked:
    """An inspection, and the images that are published of it."""

    inspection: Inspection
    thumb: bytes | None = None
    images: tuple[ImageMessage, ...] = ()
    shown: tuple[bytes, ...] = ()
    view: str = ""
    """The one that decided."""


@dataclass(frozen=True, slots=True)
class Answering:
    """Judges what was taken in, commits the answer, announces it, and only then lets go of the image."""

    parts: dict[str, PartLine]
    arrivals: "queue.Queue[Accepted | Last]"
    worker: Worker
    open_ledger: Callable[[], Ledger] = field(repr=False)
    announce: Announce = field(repr=False)
    done: Callable[[str], None] = field(repr=False)
    deadline_ns: int
    thumbs: str
    thumb_bytes: int
    checks: "queue.SimpleQueue[GoldenCheck]" = field(default_factory=queue.SimpleQueue)
    show: Callable[[Evidence, Judgement], tuple[bytes, ...]] = lambda _evidence, _judgement: ()
    """Further images for who wants them (the prior system's topics)."""
    keep: Callable[[ArchivedImage], None] = lambda _image: None
    """Takes a judged image for the archive, without waiting."""
    renewals: "queue.SimpleQueue[NewParts]" = field(default_factory=queue.SimpleQueue)
    offer: Callable[[Shot], None] = lambda _shot: None
    """Takes an answered part for who collects images to train from, without waiting."""
    emptied: threading.Event = field(default_factory=threading.Event)
    """Set when all is answered that was taken in before the station was closed."""

    def run(self) -> None:
        """Answer until stopped."""
        with self.open_ledger() as ledger:
            died_with = ledger.attempts.begun()
            while not self.worker.stopping():
                self.worker.tick()
                self._renew()
                self._check_golden()
                try:
                    accepted = self.arrivals.get(timeout=0.25)
                except queue.Empty:
                    continue
                if isinstance(accepted, Last):
                    self.emptied.set()
                    self.worker.knock()
                else:
                    self._answer(ledger, accepted, died_with)

    def _renew(self) -> None:
        """Take up a reload between two images: each is judged by one bundle as a whole."""
        while not self.renewals.empty():
            new = self.renewals.get()
            self.parts.clear()
            self.parts.update(new.lines)
            new.taken.put(None)

    def _check_golden(self) -> None:
        while not self.checks.empty():
            check = self.checks.get()
            line = self.parts.get(check.part)
            missing = f"no bundle for part {check.part}" if line is None else line.why_not
            problems = (missing,) if missing or line is None else _golden_problems(line)
            check.reply.put(GoldenOutcome(check.part, problems))
            self.worker.knock()

    def _in_time(self, accepted: Accepted) -> Accepted:
        """Mark what waited longer than its deadline: it is judged for the record, no PLC waits for it any more."""
        waited = self.worker.monotonic_ns() - accepted.accepted_ns
        if waited < self.deadline_ns or accepted.arrival.identity.trigger_id:
            return accepted  # a trigger that waited too long has had its ERROR at the deadline
        arrival = accepted.arrival
        return replace(accepted, arrival=replace(arrival, identity=replace(arrival.identity, replayed=True)))

    def _answer(self, ledger: Ledger, accepted: Accepted, died_with: frozenset[str]) -> None:
        """Commit one answer, however long the disk refuses: nothing else is judged before."""
        identity = accepted.arrival.identity
        while not self.worker.stopping():
            try:
                if not ledger.results.is_answered(identity.id):
                    ledger.attempts.begin(identity.id)
                    self._judge_and_record(ledger, self._in_time(accepted), died_with)
                self.worker.reports.put(Fault("ledger", "", active=False))
                break
            except DiskError as error:
                self.worker.reports.put(ledger_fault(error))
                self.worker.pause(_RETRY_S)
        else:
            return
        self._let_go(identity.id)

    def _let_go(self, arrival_id: str) -> None:
        try:
            self.done(arrival_id)
        except OSError as error:
            # The answer stands; the image stays claimed, and the source tries again.
            self.worker.reports.put(Fault("put_away", f"judged images cannot be put away: {error}"))

    def _judge_and_record(self, ledger: Ledger, accepted: Accepted, died_with: frozenset[str]) -> None:
        arrival = accepted.arrival
        line = self.parts.get(arrival.identity.part)
        looked = self._guarded(line, arrival, died_with)
        identity = replace(arrival.identity, view=looked.view)
        part = line and line.for_view(looked.view)
        begun = accepted.accepted_ns
        deciding = _deciding(arrival, looked.view)
        frame = "" if deciding is None else frame_digest(deciding.image)
        trace = (part.trace if part else Trace()).model_copy(update={"frame": frame})

        def build(ledger_id: str, seq: int, now_ns: int) -> Result:
            timing = dict(looked.inspection.timing_ms)
            timing["total"] = (self.worker.monotonic_ns() - begun) / 1e6
            return result_of(
                identity,
                looked.inspection.judgement,
                ledger=ledger_id,
                seq=seq,
                bundle=part.bundle if part else None,
                images=looked.images,
                decided_ns=now_ns,
                timing_ms=timing,
                trace=trace,
            )

        result = ledger.results.record(build, looked.thumb)
        if result is None:
            logger.warning("%s: answered after its deadline; the first answer stands", identity.id)
            return
        self.announce(Answered(result, looked.thumb, live=not identity.replayed, shown=looked.shown))
        logger.info("%s %s %s %.0f ms", result.id, result.part, result.verdict, result.timing_ms["total"])
        self.offer(Shot(accepted, result.verdict, result.challenge))
        if deciding is not None:
            self.keep(_archived(deciding, looked.inspection, part))

    def _guarded(self, part: PartLine | None, arrival: Arrival, died_with: frozenset[str]) -> _Looked:
        """Judge, and draw what is shown of it; whatever goes wrong in either is an answer too."""
        view = arrival.identity.view
        try:
            frames = arrival.images if isinstance(arrival, Views) else (arrival,)
            looks = tuple((one.identity.view, self._inspect(part, one, died_with)) for one in frames)
            view, inspection = worst_of(looks)
            thumb, images = self._thumb(arrival.identity, inspection)
            shown = () if inspection.evidence is None else self.show(inspection.evidence, inspection.judgement)
        except Exception as error:
            logger.exception("%s: the inspection failed", arrival.identity.id)
            return _Looked(_without(Reason.EXCEPTION, f"{type(error).__name__}: {error}"), view=view)
        return _Looked(inspection, thumb, images, shown, view)

    def _inspect(self, part: PartLine | None, arrival: Frame | Unreadable, died_with: frozenset[str]) -> Inspection:
        if arrival.identity.id in died_with:
            return _without(Reason.CRASHED, "the program ended while it judged this image")
        if isinstance(arrival, Unreadable):
            return _without(arrival.reason, arrival.detail)
        if part is None:
            return _without(Reason.NO_RECIPE, f"no bundle for part {arrival.identity.part!r}")
        line = part.for_view(arrival.identity.view)
        if line.inspector is None:
            return _without(Reason.NOT_READY, line.why_not)
        return line.inspector.inspect(arrival.image)

    def _thumb(self, identity: Identity, inspection: Inspection) -> tuple[bytes | None, tuple[ImageMessage, ...]]:
        judgement, evidence = inspection.judgement, inspection.evidence
        wanted = self.thumbs == "all" or (self.thumbs == "not_ok" and not judgement.accept)
        if evidence is None or not wanted:
            return None, ()
        jpeg, width, height = thumbnail(evidence.image, judgement.blobs, identity.id, self.thumb_bytes, evidence.window)
        camera_height, camera_width = evidence.image.shape[:2]
        described = ImageMessage(
            kind="thumb",
            topic="image/thumb",
            width=width,
            height=height,
            camera_width=camera_width,
            camera_height=camera_height,
        )
        return jpeg, (described,)


def _golden_problems(line: PartLine) -> tuple[str, ...]:
    """Judge the golden images now; they may have been removed since the start."""
    try:
        return line.golden()
    except (OSError, ValueError) as error:
        return (f"the golden images cannot be read: {error}",)


def _deciding(arrival: Arrival, view: str) -> Frame | None:
    """Return the image that decided, None where there was none to look at."""
    frames = arrival.images if isinstance(arrival, Views) else (arrival,)
    return next((one for one in frames if isinstance(one, Frame) and one.identity.view == view), None)


def _archived(frame: Frame, inspection: Inspection, part: PartLine | None) -> ArchivedImage:
    inspector = part.inspector if part else None
    return ArchivedImage(
        id=frame.identity.id,
        verdict=inspection.judgement.verdict,
        captured_ns=frame.identity.captured_ns,
        image=frame.image,
        judgement=inspection.judgement,
        evidence=inspection.evidence,
        threshold=inspector.recipe.decision.threshold if inspector else 1.0,
    )


def _without(reason: Reason, detail: str) -> Inspection:
    """Return an inspection that looked at no image."""
    return Inspection(Judgement(reason, detail), None, ())


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Answers ERROR for a part that is still being judged at its deadline; the later answer is kept as late."""

    accepted: "queue.SimpleQueue[Accepted | Trigger]"
    worker: Worker
    open_ledger: Callable[[], Ledger] = field(repr=False)
    announce: Announce = field(repr=False)
    deadline_ns: int
    station: str = ""

    def run(self) -> None:
        """Watch until stopped."""
        with self.open_ledger() as ledger:
            while not self.worker.stopping():
                self.worker.tick()
                try:
                    accepted = self.accepted.get(timeout=0.5)
                except queue.Empty:
                    continue
                self._watch(ledger, accepted)

    def _watch(self, ledger: Ledger, accepted: Accepted | Trigger) -> None:
        """Wait for one deadline; they all take the same time, so the next one cannot be earlier."""
        left = accepted.accepted_ns + self.deadline_ns - self.worker.monotonic_ns()
        self.worker.pause(left / 1e9)
        if self.worker.stopping() or not self._is_due(ledger, accepted):
            return
        waited_ms = self.deadline_ns / 1e6
        judgement = Judgement(Reason.LATE, f"no answer within {waited_ms:.0f} ms")
        identity = self._identity(accepted)
        answer_without_image(ledger, identity, judgement, self.worker, self.announce, waited_ms)

    def _is_due(self, ledger: Ledger, accepted: Accepted | Trigger) -> bool:
        """Whether ERROR is owed: for a trigger always, for an image that came by itself only once it is looked at."""
        match accepted:
            case Trigger(id=arrival_id):
                return not ledger.results.is_answered(arrival_id)
            case Accepted(arrival=arrival):
                identity = arrival.identity
                return not (identity.replayed or identity.trigger_id) and identity.id in ledger.attempts.begun()
            case _:
                assert_never(accepted)

    def _identity(self, accepted: Accepted | Trigger) -> Identity:
        return accepted.arrival.identity if isinstance(accepted, Accepted) else identity_of(accepted, self.station)
