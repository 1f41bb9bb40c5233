"""Requests for an image: committed before the exposure, answered exactly once, the same id never exposed twice."""

import queue
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_inspector.inspection.model import Identity
from edge_inspector.line.environment import Now
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.sources.source import Accepted

SAME_REQUEST_NS = 60_000_000_000
"""A trigger id that comes again within this time is the same request."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """An accepted request for an image."""

    id: str
    """The arrival's."""
    trigger_id: str
    part: str
    accepted_ns: int
    """Monotonic; the deadline runs from here."""
    captured_ns: int
    """Unix time."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """The request was made before."""

    id: str
    """The arrival that answers, or answered, it."""


@dataclass(frozen=True, slots=True)
class TriggerRouter:
    """Takes requests from the state and PLC threads and hands them to the camera's and the deadline's."""

    part: Callable[[], str]
    new_id: Callable[[], str] = field(repr=False)
    monotonic_ns: Now = field(repr=False)
    now_ns: Now = field(repr=False)
    camera: Callable[[Trigger], None] = field(repr=False)
    """Asks for the image."""
    deadlines: "queue.SimpleQueue[Accepted | Trigger]" = field(repr=False)
    recent: dict[str, tuple[str, int]] = field(default_factory=dict, repr=False)
    """By trigger id: its arrival, and when on the monotonic clock. The ledger knows them by a clock that may be set
    between a request and its repetition; it is asked for those of an earlier run."""

    def repeated(self, ledger: Ledger, trigger_id: str) -> Repeated | None:
        """Return the request that this one repeats; None when it is a new one."""
        known, at_ns = self.recent.get(trigger_id, (None, 0))
        fresh = known is not None and self.monotonic_ns() - at_ns < SAME_REQUEST_NS
        before = known if fresh else ledger.triggers.recent(trigger_id, SAME_REQUEST_NS)
        return None if before is None else Repeated(before)

    def accept(self, ledger: Ledger, trigger_id: str) -> Trigger | Repeated:
        """Commit a request and ask for its image, unless the same request was made before.

        Raises:
            DiskError: nothing was committed, no image is taken: the request is rejected.
        """
        repeated = self.repeated(ledger, trigger_id)
        if repeated is not None:
            return repeated
        trigger = Trigger(self.new_id(), trigger_id, self.part(), self.monotonic_ns(), self.now_ns())
        ledger.triggers.accept(trigger.id, trigger.trigger_id, trigger.part)
        self._remember(trigger)
        self.camera(trigger)
        self.deadlines.put(trigger)
        return trigger

    def _remember(self, trigger: Trigger) -> None:
        old = [key for key, (_, at) in self.recent.items() if trigger.accepted_ns - at >= SAME_REQUEST_NS]
        for key in old:
            del self.recent[key]
        self.recent[trigger.trigger_id] = (trigger.id, trigger.accepted_ns)


def identity_of(trigger: Trigger, station: str, *, replayed: bool = False) -> Identity:
    """Return the identity of the part that a trigger asked about."""
    return Identity(
        id=trigger.id,
        station=station,
        part=trigger.part,
        captured_ns=trigger.captured_ns,
        captured_source="trigger",
        trigger_id=trigger.trigger_id,
        replayed=replayed,
    )
