"""One station: its threads, wired by queues."""

import queue
import threading
from collections.abc import Mapping
from pathlib import Path

from edge_inspector.bundle import Bundle
from edge_inspector.inspection.inspector import Evidence
from edge_inspector.inspection.model import Judgement
from edge_inspector.line.broker.publisher import NewResults
from edge_inspector.line.broker.shifts import turn_at
from edge_inspector.line.broker.state import StateValue
from edge_inspector.line.collect.collector import Collector
from edge_inspector.line.environment import Environment
from edge_inspector.line.health.metrics import Judged, News, Shown
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.line.ledger.ledger_file import Prepared
from edge_inspector.line.station.changeover import ActivePart
from edge_inspector.line.station.connections import Connections, legacy_of
from edge_inspector.line.station.judging import WAITING_IMAGES, Judging
from edge_inspector.line.station.queues import StationQueues
from edge_inspector.line.station.renewal import Refusal, Renewal, parts_of
from edge_inspector.line.station.signs import Signs
from edge_inspector.line.station.stage import PartLine
from edge_inspector.line.station.supervisor import StationChannels, Supervisor
from edge_inspector.line.ticks import Answered, Fault
from edge_inspector.settings import Settings, StationSettings
from edge_inspector.wire.messages import Health

_JOIN_S = 5.0


class Station:
    """Everything of one camera position. `run` returns when it is stopped, or closed, and its threads have ended."""

    def __init__(
        self,
        settings: Settings,
        station: StationSettings,
        bundles: Mapping[str, Bundle],
        parts: Mapping[str, PartLine],
        *,
        environment: Environment,
        stop: threading.Event,
        signs: Signs,
        prepared: Prepared | None = None,
        news: "News | None" = None,
    ) -> None:
        self._settings = settings
        self._station = station
        self._bundles = bundles
        self._lines = parts
        self._environment = environment
        self._stop = stop
        self._signs = signs
        self._news = news
        self._folder = state_folder(settings, station)
        self._queues = StationQueues(queue.Queue(station.queue))
        self._looked_over = prepared is None or prepared.looked_over
        if prepared is not None and prepared.set_aside:
            self._queues.reports.put(Fault("ledger_new", prepared.set_aside))
        self.ended = threading.Event()
        """Set when all its threads have."""
        with self._open_ledger() as ledger:
            kept = ledger.state.active_part()
        self._active_part = kept if kept in parts else station.part[0].name
        self._for_intake, self._for_state, self._for_plc, self._for_reload = (
            ActivePart(self._active_part) for _ in range(4)
        )
        self._collector = Collector(
            self._folder / "collected",
            settings.archive.min_free_mb,
            self._queues.worker("collect", stop, environment.monotonic_ns),
            self._say_collection,
            queue.Queue(WAITING_IMAGES),
        )
        self._legacy = legacy_of(settings, bundles)

    def run(self) -> None:
        """Serve until stopped. Answers stop first, so that what they say last still goes out."""
        stop_talking = threading.Event()
        connections = self._connections(stop_talking)
        judging, talking = self._judging().threads(), connections.threads()
        threads = {
            name: threading.Thread(target=stage, name=f"{self._station.name} {name}", daemon=True)
            for name, stage in {**judging, **talking}.items()
        }
        for thread in threads.values():
            thread.start()
        with self._open_ledger() as ledger:
            parts = parts_of(self._settings, self._station, self._bundles, self._lines)
            supervisor = Supervisor(self._channels(ledger), parts, tuple(threads))
            supervisor.run()
            self._stop.set()
            for name in judging:
                threads[name].join(_JOIN_S)
            supervisor.say_stopping()
        stop_talking.set()
        connections.wake()
        for name in talking:
            threads[name].join(_JOIN_S)
        if not any(thread.is_alive() for thread in threads.values()):
            self.ended.set()

    def pause(self) -> None:
        """Begin paused."""
        self._queues.paused.set()

    def is_paused(self) -> bool:
        """Say whether an operator has paused it."""
        return self._queues.paused.is_set()

    def close(self) -> None:
        """Have it end by itself: not ready at once, nothing more is taken in, and what was is answered first."""
        self._queues.closing.set()

    def active_part(self) -> str:
        """Return the part that is inspected now; for the reloading thread alone."""
        return self._for_reload.now()

    def renew(
        self,
        settings: Settings,
        station: StationSettings,
        bundles: Mapping[str, Bundle],
        parts: Mapping[str, PartLine],
        taken: "queue.SimpleQueue[None]",
    ) -> None:
        """Go on with other parts and bundles, which have passed their checks; `taken` hears when they judge."""
        self._queues.renewals.put(Renewal(parts_of(settings, station, bundles, parts), taken))

    def refuse(self, why: str) -> None:
        """Go on as before, and tell everybody why."""
        self._queues.renewals.put(Refusal(why))

    def _channels(self, ledger: Ledger) -> StationChannels:
        return StationChannels(
            queues=self._queues,
            ledger=ledger,
            folder=self._folder,
            active_part=self._active_part,
            listeners=(self._for_intake, self._for_state, self._for_plc, self._for_reload),
            stop=self._stop,
            signs=self._signs,
            show=self._show,
            collect=self._collector.accept,
            is_collecting=self._collector.busy.is_set,
            now_ns=self._environment.now_ns,
            monotonic_ns=self._environment.monotonic_ns,
        )

    def _judging(self) -> Judging:
        return Judging(
            settings=self._settings,
            station=self._station,
            lines=self._lines,
            queues=self._queues,
            environment=self._environment,
            folder=self._folder,
            archive_folder=archive_folder(self._settings, self._station),
            open_ledger=self._open_ledger,
            stop=self._stop,
            announce=self._announce,
            part=self._for_intake,
            show=self._legacy.show if self._legacy else _nothing,
            collector=self._collector,
            looked_over=self._looked_over,
        )

    def _connections(self, stop: threading.Event) -> Connections:
        return Connections(
            settings=self._settings,
            station=self._station,
            queues=self._queues,
            environment=self._environment,
            open_ledger=self._open_ledger,
            stop=stop,
            part_for_state=self._for_state,
            part_for_plc=self._for_plc,
            legacy=self._legacy,
        )

    def _open_ledger(self) -> Ledger:
        return open_ledger(
            self._folder / "ledger.db", self._environment.new_id, self._environment.now_ns, self._shift_ns
        )

    def _shift_ns(self, now_ns: int) -> int:
        return turn_at(now_ns, self._station.shift, None).start_ns

    def _announce(self, answered: Answered) -> None:
        """Tell everyone of a committed answer, the PLC first: it waits."""
        self._queues.for_plc.put(answered)
        self._queues.for_results.put(NewResults())
        self._queues.for_state.put(answered)
        self._queues.reports.put(answered)
        result = answered.result
        if self._news is not None and result.of_production:
            seconds = result.timing_ms.get("total", 0.0) / 1000
            self._news.put(Judged(self._station.name, result.part, result.verdict, seconds))

    def _say_collection(self, payload: bytes) -> None:
        self._queues.for_state.put(StateValue("collection", payload))

    def _show(self, health: Health) -> None:
        if self._news is not None:
            self._news.put(Shown(self._station.name, health))


def state_folder(settings: Settings, station: StationSettings) -> Path:
    """Return where a station keeps its ledger."""
    return settings.state_dir / station.name


def archive_folder(settings: Settings, station: StationSettings) -> Path:
    """Return where a station keeps its images."""
    path = settings.archive.path
    return state_folder(settings, station) / "archive" if path is None else path / station.name


def _nothing(_evidence: Evidence, _judgement: Judgement) -> tuple[bytes, ...]:
    return ()
