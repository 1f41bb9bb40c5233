"""A station's three connections to the broker, each with a thread and an inbox of its own."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edge_inspector.bundle import Bundle
from edge_inspector.line.broker.legacy import Legacy
from edge_inspector.line.broker.link import ConnectionOptions, Inbox, Will
from edge_inspector.line.broker.peers import Peers
from edge_inspector.line.broker.plc import Plc
from edge_inspector.line.broker.publisher import Publisher
from edge_inspector.line.broker.state import State
from edge_inspector.line.environment import Environment
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.sources.triggers import TriggerRouter
from edge_inspector.line.station.changeover import ActivePart
from edge_inspector.line.station.queues import StationQueues
from edge_inspector.line.ticks import Worker
from edge_inspector.settings import CaptureSettings, PoolSettings, Settings, StationSettings
from edge_inspector.wire.topics import pool_topic, workers_topic

_PLC_KEEPALIVE_S = 5
"""The broker says sooner that nobody is there: a PLC waits for it."""


@dataclass(frozen=True, slots=True)
class Connections:
    """Makes what publishes results, publishes state and answers commands, and serves the PLC."""

    settings: Settings
    station: StationSettings
    queues: StationQueues = field(repr=False)
    environment: Environment
    open_ledger: Callable[[], Ledger] = field(repr=False)
    stop: threading.Event = field(repr=False)
    """Set after the station's own: what is said last still goes out."""
    part_for_state: ActivePart = field(repr=False)
    part_for_plc: ActivePart = field(repr=False)
    legacy: Legacy | None = field(repr=False)

    def threads(self) -> dict[str, Callable[[], None]]:
        """Return what each thread runs, by the thread's name."""
        return {"results": self._results().run, "state": self._state().run, "plc": self._plc().run}

    def wake(self) -> None:
        """Have all of them look whether they shall end."""
        for inbox in self._inboxes().values():
            inbox.put(None)

    def _results(self) -> Publisher:
        ledger = self.settings.ledger
        return Publisher(
            self._base,
            self._options("results"),
            self._worker("results"),
            self.open_ledger,
            self.environment.rng,
            ledger.thumb_mb * 1_000_000,
            ledger.undelivered_rows,
            self._senders(),
        )

    def _state(self) -> State:
        will = Will(f"{self._base}/availability", "offline")
        return State(
            self._base,
            self._options("state", will=will, subscribe=f"{self._base}/cmd/#"),
            self._worker("state"),
            self.open_ledger,
            self.environment.rng,
            self.environment.now_ns,
            self.queues.commands,
            self.queues.for_results,
            self._trigger_router(self.part_for_state),
            self.station.shift,
            self.legacy,
            self._peers(),
        )

    def _plc(self) -> Plc:
        will = Will(f"{self._base}/plc/ready", "0")
        return Plc(
            self._base,
            self._options("plc", will=will, subscribe=f"{self._base}/plc/cmd/#", keepalive_s=_PLC_KEEPALIVE_S),
            self._worker("plc"),
            self.open_ledger,
            self.environment.rng,
            self.queues.commands,
            self._trigger_router(self.part_for_plc),
        )

    @property
    def _base(self) -> str:
        return f"{self.settings.mqtt.root}/{self.station.name}"

    def _inboxes(self) -> Mapping[str, Inbox]:
        return {"results": self.queues.for_results, "state": self.queues.for_state, "plc": self.queues.for_plc}

    def _options(
        self, name: str, *, will: Will | None = None, subscribe: str = "", keepalive_s: int = 15
    ) -> ConnectionOptions:
        client_id, inbox = f"{self.station.name}-{name}", self._inboxes()[name]
        return ConnectionOptions(self.settings.mqtt, client_id, inbox, will, subscribe, keepalive_s)

    def _trigger_router(self, part: ActivePart) -> TriggerRouter | None:
        """Return where one thread brings its triggers; None where images come by themselves."""
        source = self.station.source
        if not isinstance(source, CaptureSettings) or source.trigger != "mqtt":
            return None
        environment = self.environment
        return TriggerRouter(
            part.now,
            environment.new_id,
            environment.monotonic_ns,
            environment.now_ns,
            self.queues.camera.put,
            self.queues.deadlines,
        )

    def _worker(self, name: str) -> Worker:
        return self.queues.worker(name, self.stop, self.environment.monotonic_ns)

    def _senders(self) -> str:
        """Return the topic below which the cameras of the station's pool hear what became of their images."""
        source = self.station.source
        return pool_topic(self.settings.mqtt.root, source.pool) if isinstance(source, PoolSettings) else ""

    def _peers(self) -> Peers | None:
        """Return the other workers of the station's pool, where it has one."""
        source = self.station.source
        if not isinstance(source, PoolSettings):
            return None
        return Peers(workers_topic(self.settings.mqtt.root, source.pool), self.station.name)


def legacy_of(settings: Settings, bundles: Mapping[str, Bundle]) -> Legacy | None:
    """Return the prior system's topics with each part's limit, where they are wanted."""
    if not settings.mqtt.legacy:
        return None
    return Legacy({name: bundle.recipe.decision.threshold for name, bundle in bundles.items()})
