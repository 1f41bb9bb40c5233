"""The PLC connection: live answers only, one atomic line each, and silence means reject."""

import contextlib
import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from edge_inspector.line.ledger import Ledger
from edge_inspector.line.link import Dial, Inbox, Link, Lost, links
from edge_inspector.line.ticks import Answered, Worker
from edge_inspector.wire.messages import Counters, Result
from edge_inspector.wire.plcword import PlcWord, answer_word, busy_word, next_seq
from edge_inspector.wire.topics import topic_of

_HEARTBEAT_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether the PLC may send parts, and the station's PackML state."""

    ready: bool
    packml: int
    because: str = ""


@dataclass(frozen=True, slots=True)
class Plc:
    """Publishes word, ready, heartbeat and the display values; nothing is ever replayed."""

    base: str
    dial: Dial
    worker: Worker
    open_ledger: Callable[[], Ledger] = field(repr=False)
    rng: Random = field(repr=False)

    def run(self) -> None:
        """Serve the PLC until stopped, over any number of connections."""
        with self.open_ledger() as ledger:
            numbers = _Numbers(ledger)
            newest = _Newest(Ready(ready=False, packml=3))
            for link in links(self.dial, self.worker, self.rng, lambda: newest.clear(self.inbox)):
                newest.clear(self.inbox)
                _Session(self, ledger, link, numbers, newest).run()

    @property
    def inbox(self) -> Inbox:
        """Where answers and readiness go."""
        return self.dial.inbox


class _Newest:
    """The newest readiness: all that outlives a connection."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready

    def clear(self, inbox: Inbox) -> None:
        """Forget answers from before the connection: their time is over; keep the newest readiness."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = inbox.get_nowait()
                if isinstance(message, Ready):
                    self.ready = message


class _Numbers:
    """Sequence numbers that no word ever had before, also after a crash."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next = self._end = 0

    def take(self) -> int:
        if self._next == self._end:
            self._next = self._ledger.reserve_plc_numbers()
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
        self._say_ready()
        alive = True
        while alive and not worker.stopping():
            worker.tick()
            self._beat_if_due()
            alive = self._hear()
        if alive:
            self._say_word(busy_word(self._numbers.take()))
            self._newest.ready = Ready(ready=False, packml=2)
            self._say_ready()

    def _hear(self) -> bool:
        """Wait for news until the next heartbeat; False when the connection is lost."""
        wait = max(0.0, (self._next_beat_ns - self._plc.worker.monotonic_ns()) / 1e9)
        try:
            message = self._plc.inbox.get(timeout=wait)
        except queue.Empty:
            return True
        match message:
            case Lost(link=link):
                return link is not self._link
            case Answered(live=True, result=result):
                self._answer(result)
            case Ready():
                self._become(message)
            case _:
                pass
        return True

    def _become(self, ready: Ready) -> None:
        before, self._newest.ready = self._newest.ready, ready
        if before.ready and not ready.ready:
            self._say_word(busy_word(self._numbers.take()))
        if before != ready:
            self._say_ready()

    def _answer(self, result: Result) -> None:
        self._say_word(
            answer_word(
                self._numbers.take(),
                result.trigger_id,
                result.verdict,
                result.reason_code,
                len(result.blobs),
                result.score,
                result.serial,
            )
        )
        counters: Counters = self._ledger.counters(0.0)
        self._say("verdict", result.verdict)
        self._say("score", f"{result.score or 0:.3f}")
        self._say("defects", str(len(result.blobs)))
        self._say("total", str(counters.total))
        self._say("ng_total", str(counters.ng))

    def _say_word(self, word: PlcWord) -> None:
        self._say("word", word.encode().decode())

    def _say_ready(self) -> None:
        self._say("state", str(self._newest.ready.packml))
        self._say("ready", str(int(self._newest.ready.ready)))

    def _beat_if_due(self) -> None:
        now = self._plc.worker.monotonic_ns()
        if now >= self._next_beat_ns:
            self._beat = (self._beat + 1) % 65536
            self._next_beat_ns = now + _HEARTBEAT_NS
            self._say("heartbeat", str(self._beat))

    def _say(self, leaf: str, text: str) -> None:
        topic = topic_of(f"plc/{leaf}")
        self._link.publish(f"{self._plc.base}/{topic.name}", text, topic.qos, retain=topic.retain)
