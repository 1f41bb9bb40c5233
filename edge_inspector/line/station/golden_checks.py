"""Golden images judged on request, one check at a time: the judging thread does it, the supervisor asks."""

import queue
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from edge_inspector.line.broker.commands import AcceptedCommand, Answer
from edge_inspector.line.station.changeover import CurrentPart

SHIFT = "shift change"
"""Who asks for the golden check that begins a shift."""
RELOAD = "reload"
"""Who changes parts and bundles, in the audit trail, and asks for the golden check after it."""


@dataclass(frozen=True, slots=True)
class GoldenOutcome:
    """What came of a golden check."""

    part: str
    problems: tuple[str, ...]
    """Empty is good."""


Reply: TypeAlias = "queue.SimpleQueue[GoldenOutcome]"


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """Asks the judging thread to judge a part's golden images now."""

    part: str
    reply: Reply = field(repr=False)


@dataclass(frozen=True, slots=True)
class FinishedCheck:
    """A golden check that has come to its end, with the command that it belongs to."""

    asked: AcceptedCommand
    part: str
    problem: str
    """Empty is good."""


class GoldenChecks:
    """One golden check at a time, of the active part or of the next one; belongs to the supervising thread alone."""

    def __init__(self, current: CurrentPart, checks: "queue.SimpleQueue[GoldenCheck]") -> None:
        self._current = current
        self._checks = checks
        self._replies: Reply = queue.SimpleQueue()
        self._pending: AcceptedCommand | None = None
        self._waiting: AcceptedCommand | None = None
        """What waits for a golden check of our own to end: nobody shall be turned away for that."""

    @property
    def is_idle(self) -> bool:
        """Whether no check is going on."""
        return self._pending is None

    @property
    def is_changing(self) -> bool:
        """Whether a changeover is under way: the PLC waits until the new part has passed its golden check."""
        return self._pending is not None and self._pending.name == "part"

    def begin(self, asked: AcceptedCommand) -> Answer:
        """Have the golden images judged: of the active part, or of the one to change over to."""
        part = self._current.meant_by(asked)
        if part not in self._current.known:
            return "rejected", f"unknown part {part[:64]!r}; known are {', '.join(self._current.known)}"
        if self._pending is not None and is_our_own(self._pending) and self._waiting is None:
            self._waiting = asked
            return "accepted", ""
        if self._pending is not None:
            return "rejected", f"{self._pending.name} is still going on"
        self._pending = asked
        self._checks.put(GoldenCheck(part, self._replies))
        return "accepted", ""

    def finished(self) -> Iterator[FinishedCheck]:
        """Yield each check that has ended; the one that waits for it begins when the caller comes back for more."""
        while not self._replies.empty():
            outcome = self._replies.get()
            asked, self._pending = self._pending, None
            if asked is not None:
                yield FinishedCheck(asked, outcome.part, "; ".join(outcome.problems[:3]))
            if self._waiting is not None:
                waiting, self._waiting = self._waiting, None
                self.begin(waiting)


def is_our_own(asked: AcceptedCommand) -> bool:
    """Say whether nobody waits for the answer."""
    return asked.by in (SHIFT, RELOAD) and not asked.correlation_id
