"""What a station tells its process: that it is served, lives, wants a new start, or is being closed."""

import queue
import threading
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A station's sign of life: every stage of it turns."""

    station: str
    status: str


@dataclass(frozen=True, slots=True)
class Restart:
    """A station asks for a new start: what is wrong with the process may be cured by it."""

    station: str
    why: str


@dataclass(frozen=True, slots=True)
class Come:
    """A station is served from now on; whoever hears this ends it with the process."""

    station: str
    stop: threading.Event = field(repr=False)


@dataclass(frozen=True, slots=True)
class Gone:
    """A station is being closed: no sign of life is to be expected."""

    station: str


Sign: TypeAlias = Heartbeat | Restart | Come | Gone
Signs: TypeAlias = "queue.SimpleQueue[Sign]"
