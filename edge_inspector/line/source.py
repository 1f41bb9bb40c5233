"""Where pictures come from: the seam behind which folders and cameras are alike."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from edge_inspector.inspection.model import Arrival

Now: TypeAlias = Callable[[], int]
"""Nanoseconds."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An arrival that the station must answer."""

    arrival: Arrival
    accepted_ns: int
    """Monotonic; the deadline runs from here."""


@dataclass(frozen=True, slots=True)
class Last:
    """Nothing comes after this: the station is being closed."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing came; the source is alive."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Pictures cannot come now; the source goes on trying."""

    detail: str


@dataclass(frozen=True, slots=True)
class Opened:
    """Pictures can come."""

    detail: str


SourceEvent: TypeAlias = Accepted | Idle | Trouble | Opened


class Source(Protocol):
    """Yields what happens, for ever; never raises for what the surroundings do."""

    @property
    def can_wait(self) -> bool:
        """Whether a picture may wait where it is while the queue is full."""
        ...

    def events(self, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield arrivals and changes of state, at least one event a second; takes no picture while not `wanted()`."""
        ...

    def done(self, arrival_id: str) -> None:
        """Let go of an arrival; called only after its result is committed, from another thread."""
        ...
