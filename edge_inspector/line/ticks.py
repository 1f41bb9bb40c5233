"""How a thread shows that it turns, and learns that it shall stop."""

import os
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from edge_inspector.errors import DamagedError, DiskError
from edge_inspector.line.environment import Now
from edge_inspector.wire.messages import Result

_NICE = 10


@dataclass(frozen=True, slots=True)
class Tick:
    """A stage's loop turned."""

    stage: str
    at_ns: int
    """Monotonic."""


@dataclass(frozen=True, slots=True)
class StageReported:
    """A stage has news for the health report."""

    stage: str
    what: str


@dataclass(frozen=True, slots=True)
class SourceState:
    """Whether images can come."""

    open: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something failed that an operator must know."""

    code: str
    message: str
    active: bool = True


@dataclass(frozen=True, slots=True)
class Answered:
    """A part has its verdict, committed."""

    result: Result
    thumb: bytes | None = field(repr=False)
    live: bool
    """Whether a PLC may act on it."""
    shown: tuple[bytes, ...] = field(default=(), repr=False)
    """Images for the prior system's topics, where they are wanted."""


@dataclass(frozen=True, slots=True)
class Archived:
    """How the archive is."""

    size: int
    """Bytes."""
    dropped: int
    """Images not kept since the start."""


@dataclass(frozen=True, slots=True)
class CommandWaiting:
    """A command, or the answer to a check, waits for the supervisor in a queue of its own."""


def refusal_fault(topic: str, why: str) -> Fault:
    """Return what an operator must know when the broker takes our login but not a message."""
    return Fault("refused", f"the broker refuses {topic} ({why}): see its ACL; `edge-inspector check` tries all topics")


def ledger_fault(error: DiskError) -> Fault:
    """Return what an operator must know when the ledger fails; a damaged one needs a new start."""
    return Fault("ledger_damaged" if isinstance(error, DamagedError) else "ledger", str(error))


Report: TypeAlias = Tick | StageReported | SourceState | Fault | Answered | Archived | CommandWaiting
Reports: TypeAlias = "queue.SimpleQueue[Report]"


@dataclass(frozen=True, slots=True)
class Worker:
    """What every stage's thread holds: its name, the stop signal, and where its reports go."""

    name: str
    stop: threading.Event = field(repr=False)
    reports: Reports = field(repr=False)
    monotonic_ns: Now = field(repr=False)

    def tick(self) -> None:
        """Show that the loop turns."""
        self.reports.put(Tick(self.name, self.monotonic_ns()))

    def knock(self) -> None:
        """Have the supervisor look at its other queues now."""
        self.reports.put(CommandWaiting())

    def say(self, what: str) -> None:
        """Report news."""
        self.reports.put(StageReported(self.name, what))

    def step_back(self) -> None:
        """Let the other threads go first, verdicts above all; for the thread that calls it alone."""
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)

    def stopping(self) -> bool:
        """Whether the daemon is ending."""
        return self.stop.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, turning at least once a second, until the time is over or the daemon ends."""
        end = self.monotonic_ns() + int(seconds * 1e9)
        while not self.stopping() and (left := end - self.monotonic_ns()) > 0:
            self.tick()
            self.stop.wait(min(1.0, left / 1e9))
