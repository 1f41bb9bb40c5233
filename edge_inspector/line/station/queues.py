"""What the threads of a station share: queues and events, and nothing else."""

import queue
import threading
from dataclasses import dataclass, field

from edge_inspector.line.broker.commands import AcceptedCommand
from edge_inspector.line.broker.link import Inbox
from edge_inspector.line.environment import Now
from edge_inspector.line.sources.capture import CameraNews
from edge_inspector.line.sources.source import Accepted, Last
from edge_inspector.line.sources.triggers import Trigger
from edge_inspector.line.station.golden_checks import GoldenCheck
from edge_inspector.line.station.renewal import Renewals
from edge_inspector.line.station.stage import NewParts
from edge_inspector.line.ticks import Reports, Worker


@dataclass(frozen=True, slots=True)
class StationQueues:
    """The queues and events of one station."""

    arrivals: "queue.Queue[Accepted | Last]"
    """Bounded: images that wait to be judged."""
    deadlines: "queue.SimpleQueue[Accepted | Trigger]" = field(default_factory=queue.SimpleQueue)
    camera: "queue.SimpleQueue[CameraNews]" = field(default_factory=queue.SimpleQueue)
    """Triggers for the camera."""
    checks: "queue.SimpleQueue[GoldenCheck]" = field(default_factory=queue.SimpleQueue)
    new_parts: "queue.SimpleQueue[NewParts]" = field(default_factory=queue.SimpleQueue)
    """Where the judging thread hears of a reload."""
    reports: Reports = field(default_factory=queue.SimpleQueue)
    """To the supervisor, from every stage."""
    commands: "queue.SimpleQueue[AcceptedCommand]" = field(default_factory=queue.SimpleQueue)
    """To the supervisor, from the connections."""
    renewals: Renewals = field(default_factory=queue.SimpleQueue)
    """To the supervisor, from the reloading thread."""
    for_results: Inbox = field(default_factory=queue.SimpleQueue)
    for_state: Inbox = field(default_factory=queue.SimpleQueue)
    for_plc: Inbox = field(default_factory=queue.SimpleQueue)
    paused: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the station alone is to end, once all that it took in is answered."""
    emptied: threading.Event = field(default_factory=threading.Event)
    """Set when it is."""

    def worker(self, name: str, stop: threading.Event, monotonic_ns: Now) -> Worker:
        """Return what a stage's thread holds: its reports go to the supervisor."""
        return Worker(name, stop, self.reports, monotonic_ns)
