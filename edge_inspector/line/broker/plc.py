"""The PLC connection: live answers only, one atomic line each, and silence means reject."""

import contextlib
import logging
import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from edge_inspector.errors import DiskError
from edge_inspector.inspection.model import Reason, Verdict
from edge_inspector.line.broker.commands import AcceptedCommand
from edge_inspector.line.broker.link import (
    Acknowledged,
    ConnectionLost,
    ConnectionOptions,
    Inbox,
    Incoming,
    Link,
    links,
)
from edge_inspector.line.health.readiness import Ready
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.sources.triggers import TriggerRouter
from edge_inspector.line.ticks import Answered, Fault, Worker, refusal_fault
from edge_inspector.text import composed, read_text
from edge_inspector.wire.messages import Counters, Result
from edge_inspector.wire.plcword import TRIGGER_MAX, PlcWord, answer_word, busy_word, next_seq
from edge_inspector.wire.topics import topic_of

logger = logging.getLogger(__name__)

_HEARTBEAT_NS = 1_000_000_000
_RETRY_S = 1.0
_MAX_REQUEST = 256


@dataclass(frozen=True, slots=True)
class Plc:
    """Publishes word, ready, heartbeat and the display values; nothing is ever replayed."""

    base: str
    options: ConnectionOptions
    worker: Worker
    open_ledger: Callable[[], Ledger] = field(repr=False)
    rng: Random = field(repr=False)
    commands: "queue.SimpleQueue[AcceptedCommand]" = field(repr=False)
    """Where requests go that the supervisor carries out."""
    triggers: TriggerRouter | None = field(repr=False)
    """None where images come by themselves."""

    def run(self) -> None:
        """Serve the PLC until stopped, over any number of connections."""
        with self.open_ledger() as ledger:
            numbers = _Numbers(ledger)
            newest = _Newest(Ready(ready=False, packml=3))
            for link in links(self.options, self.worker, self.rng, partial(newest.clear, self.inbox)):
                if not newest.clear(self.inbox, link):
                    self._serve(_Session(self, ledger, link, numbers, newest))

    def _serve(self, session: "_Session") -> None:
        """Serve one connection; without numbers for its words there is nothing to say but that we are not ready."""
        try:
            session.run()
            self.worker.reports.put(Fault("plc", "", active=False))
        except DiskError as error:
            session.give_up()
            self.worker.reports.put(Fault("plc", str(error)))
            self.worker.pause(_RETRY_S)

    @property
    def inbox(self) -> Inbox:
        """Where answers and readiness go."""
        return self.options.inbox


class _Newest:
    """The newest readiness: all that outlives a connection."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready

    def clear(self, inbox: Inbox, link: Link | None = None) -> bool:
        """Forget answers from before the connection: their time is over; keep the newest readiness, and new requests.

        Says whether the new connection was lost in the meantime.
        """
        lost, requests = False, []
        with contextlib.suppress(queue.Empty):
            while True:
                message = inbox.get_nowait()
                if isinstance(message, Ready):
                    self.ready = message
                if isinstance(message, Incoming) and message.link is link:
                    requests.append(message)
                lost |= isinstance(message, ConnectionLost) and message.link is link
        for request in requests:
            inbox.put(request)
        return lost


class _Numbers:
    """Sequence numbers that no word ever had before, also after a crash."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next = self._end = 0

    def take(self) -> int:
        if self._next == self._end:
            self._next = self._ledger.state.reserve_plc_numbers()
            self._end = self._next + 1000
        number = next_seq(self._next)
        self._next += 1
        return number


class _Session:
    def __init__(self, plc: Plc, ledger: Ledger, link: Link, numbers: _Numbers, newest: _Newest) -> None:
        self._plc = plc
        self._ledger = ledger
        self._link = link
        self._numbers = numbers
        self._newest = newest
        self._beat = 0
        self._next_beat_ns = plc.worker.monotonic_ns()

    def run(self) -> None:
        worker = self._plc.worker
        self._say_word(busy_word(self._numbers.take()))
        self._say_state()
        self._say_ready()
        alive = True
        while alive and not worker.stopping():
            worker.tick()
            self._beat_if_due()
            alive = self._hear()
        if alive:
            self._say_word(busy_word(self._numbers.take()))
            self._newest.ready = Ready(ready=False, packml=2)
            self._say_state()
            self._say_ready()

    def give_up(self) -> None:
        """Tell the PLC that nothing will come."""
        self._say("ready", "0")

    def _hear(self) -> bool:
        """Wait for news until the next heartbeat; False when the connection is lost."""
        wait = max(0.0, (self._next_beat_ns - self._plc.worker.monotonic_ns()) / 1e9)
        try:
            message = self._plc.inbox.get(timeout=wait)
        except queue.Empty:
            return True
        match message:
            case ConnectionLost(link=link):
                return link is not self._link
            case Acknowledged(link=link) if link is self._link and (topic := link.refusal(message)):
                self._plc.worker.reports.put(refusal_fault(topic, message.refused))
            case Answered(live=True, result=result):
                self._answer(result)
            case Ready():
                self._become(message)
            case Incoming(link=link) if link is self._link:
                self._hear_wish(message)
            case _:
                pass
        return True

    def _become(self, ready: Ready) -> None:
        before, self._newest.ready = self._newest.ready, ready
        if before.ready and not ready.ready:
            self._say_word(busy_word(self._numbers.take()))
        if before.packml != ready.packml:
            self._say_state()
        if before.ready != ready.ready:
            self._say_ready()

    def _answer(self, result: Result) -> None:
        verdict, _ = self._allowed(result)
        self._say_word(self._word_of(result))
        counters: Counters = self._ledger.counters.since_reset(0.0)
        self._say("verdict", verdict)
        self._say("score", f"{result.score or 0:.3f}")
        self._say("defects", str(len(result.blobs)))
        self._say("total", str(counters.total))
        self._say("ng_total", str(counters.ng))

    def _allowed(self, result: Result) -> tuple[Verdict, int]:
        """Return what a PLC may hear: verdict and reason, no OK where nobody may act on it, nothing in monitor mode."""
        withheld = self._newest.ready.withheld or not result.accept
        if result.monitored or (withheld and result.verdict is Verdict.OK):
            return Verdict.ERROR, Reason.WITHHELD.number
        return result.verdict, result.reason_code

    def _word_of(self, result: Result) -> PlcWord:
        seq, (verdict, code) = self._numbers.take(), self._allowed(result)
        defects = len(result.blobs)
        return answer_word(seq, result.trigger_id, verdict, code, defects, result.score, result.serial)

    def _hear_wish(self, message: Incoming) -> None:
        """Take a request of the PLC's into the audit trail and carry it out, unless it is retained: that one is old."""
        request = message.topic.removeprefix(f"{self._plc.base}/plc/cmd/")
        text = _text_of(message.payload[:_MAX_REQUEST])
        status = "rejected" if message.retained else "accepted"
        try:
            self._ledger.audit.record(f"plc/{request}"[:64], "plc", status, text)
            if message.retained:
                self._report(
                    "retained_command", f"a retained plc/cmd/{request[:64]} was ignored: send it without retain"
                )
            else:
                self._obey(request, text)
            self._plc.worker.reports.put(Fault("plc", "", active=False))
        except DiskError as error:
            self._report("plc", str(error))
            self._refuse(text)

    def _obey(self, request: str, text: str) -> None:
        """Carry a request out; what is no number, or comes at a bad time, gets no image and so no acceptance."""
        match request:
            case "trigger":
                self._trigger(text)
            case "part":
                self._plc.commands.put(AcceptedCommand("part", "plc", {"part": text}))
                self._plc.worker.knock()
            case "reset":
                self._plc.commands.put(AcceptedCommand("reset_alarms", "plc"))
                self._plc.worker.knock()
            case _:
                logger.warning("unknown PLC command %r", request[:64])

    def _trigger(self, text: str) -> None:
        """Answer a trigger with the busy word, or with its answer where it has one; a bad one with an ERROR word."""
        number = int(text) if text.isascii() and text.isdigit() else 0
        if self._plc.triggers is None or not 1 <= number <= TRIGGER_MAX:
            self._refuse(text)
            return
        repeated = self._plc.triggers.repeated(self._ledger, str(number))
        before = self._ledger.results.payload_of(repeated.id) if repeated else None
        if before is not None:
            self._say_word(self._word_of(Result.model_validate_json(before)))
        elif repeated or self._newest.ready.takes_triggers:
            self._plc.triggers.accept(self._ledger, str(number))
            self._say_word(busy_word(self._numbers.take(), str(number)))
        else:
            self._refuse(text)

    def _report(self, code: str, message: str) -> None:
        self._plc.worker.reports.put(Fault(code, message))

    def _refuse(self, text: str) -> None:
        seq = self._numbers.take()
        self._say_word(answer_word(seq, text[:16], Verdict.ERROR, Reason.REFUSED.number, 0, None, ""))

    def _say_word(self, word: PlcWord) -> None:
        self._say("word", word.encode().decode())

    def _say_state(self) -> None:
        self._say("state", str(self._newest.ready.packml))

    def _say_ready(self) -> None:
        self._say("ready", str(int(self._newest.ready.ready and self._link.retains)))

    def _beat_if_due(self) -> None:
        now = self._plc.worker.monotonic_ns()
        if now >= self._next_beat_ns:
            self._beat = (self._beat + 1) % 65536
            self._next_beat_ns = now + _HEARTBEAT_NS
            self._say("heartbeat", str(self._beat))

    def _say(self, leaf: str, text: str) -> None:
        topic = topic_of(f"plc/{leaf}")
        self._link.publish(f"{self._plc.base}/{topic.name}", text, topic.qos, retain=topic.retain)


def _text_of(payload: bytes) -> str:
    """Return a PLC's text without what its strings are filled up with; what is no UTF-8 names no part and no number."""
    try:
        return composed(read_text(payload.rstrip(b"\0")).strip())
    except ValueError:
        return payload.decode("utf-8", "replace").strip()
