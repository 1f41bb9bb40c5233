"""One station: its threads, wired by queues."""

import json
import queue
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import edge_inspector
from edge_inspector.bundle import Bundle
from edge_inspector.inspection.inspector import Evidence
from edge_inspector.inspection.model import Judgement
from edge_inspector.line.archive.archive import Archive, ArchiveFolders
from edge_inspector.line.broker.commands import AcceptedCommand
from edge_inspector.line.broker.legacy import Legacy
from edge_inspector.line.broker.link import ConnectionOptions, Inbox, Will
from edge_inspector.line.broker.peers import Peers
from edge_inspector.line.broker.plc import Plc
from edge_inspector.line.broker.publisher import NewResults, Publisher
from edge_inspector.line.broker.shifts import turn_at
from edge_inspector.line.broker.state import State, StateValue
from edge_inspector.line.collect.collector import Collector
from edge_inspector.line.environment import Environment, Now
from edge_inspector.line.health.control_charts import Charts, make_charts
from edge_inspector.line.health.metrics import Judged, News, Shown
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.line.ledger.ledger_file import Prepared
from edge_inspector.line.ledger.upkeep import Upkeep
from edge_inspector.line.pool.pool import PoolSource
from edge_inspector.line.sources.capture import CameraNews
from edge_inspector.line.sources.judged_images import judged_of
from edge_inspector.line.sources.opening import open_source
from edge_inspector.line.sources.source import Accepted, Last, Source
from edge_inspector.line.sources.triggers import Trigger, TriggerRouter
from edge_inspector.line.sources.views import Assembly
from edge_inspector.line.station.changeover import ActivePart, GoldenCheck
from edge_inspector.line.station.disclose import disclosed
from edge_inspector.line.station.renewal import Refusal, Renewal, Renewals
from edge_inspector.line.station.stage import Answering, Deadlines, Intake, NewParts, PartLine
from edge_inspector.line.station.supervisor import Signs, StationChannels, Supervisor
from edge_inspector.line.ticks import Answered, Fault, Reports, Worker
from edge_inspector.settings import (
    CaptureSettings,
    FolderSettings,
    PoolSettings,
    Settings,
    StationSettings,
)
from edge_inspector.wire.messages import AvailablePart, Health
from edge_inspector.wire.topics import pool_topic, workers_topic

_JOIN_S = 5.0
_IMAGES_WAITING = 8
"""Parts whose images may wait for the archive, and as many to be collected: they are large."""


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
        self._parts = parts
        self._environment = environment
        self._stop = stop
        self._signs = signs
        self._news = news
        self._base = f"{settings.mqtt.root}/{station.name}"
        self._folder = state_folder(settings, station)
        self._reports: Reports = queue.SimpleQueue()
        self._prepared = prepared or Prepared(looked_over=True)
        if self._prepared.set_aside:
            self._reports.put(Fault("ledger_new", self._prepared.set_aside))
        self._commands: queue.SimpleQueue[AcceptedCommand] = queue.SimpleQueue()
        self._paused = threading.Event()
        self._closing, self._emptied = threading.Event(), threading.Event()
        self.ended = threading.Event()
        """Set when all its threads have."""
        self._inboxes: dict[str, Inbox] = {name: queue.SimpleQueue() for name in ("results", "state", "plc")}
        self._arrivals: queue.Queue[Accepted | Last] = queue.Queue(station.queue)
        self._deadlines: queue.SimpleQueue[Accepted | Trigger] = queue.SimpleQueue()
        self._camera: queue.SimpleQueue[CameraNews] = queue.SimpleQueue()
        self._checks: queue.SimpleQueue[GoldenCheck] = queue.SimpleQueue()
        with self._open_ledger() as ledger:
            kept = ledger.state.active_part()
        self._active_part = kept if kept in parts else station.part[0].name
        self._for_intake, self._for_state, self._for_plc, self._for_reload = (
            ActivePart(self._active_part) for _ in range(4)
        )
        self._collector = Collector(
            self._folder / "collected",
            settings.archive.min_free_mb,
            self._worker("collect", stop),
            self._say_collection,
            queue.Queue(_IMAGES_WAITING),
        )
        self._renewals: Renewals = queue.SimpleQueue()
        self._new_parts: queue.SimpleQueue[NewParts] = queue.SimpleQueue()
        self._legacy = _legacy(settings, bundles)

    def run(self) -> None:
        """Serve until stopped. Answers stop first, so that what they say last still goes out."""
        stop_talking = threading.Event()
        judging = self._judging(self._stop)
        talking = self._talking(stop_talking)
        threads = {
            name: threading.Thread(target=stage, name=f"{self._station.name} {name}", daemon=True)
            for name, stage in {**judging, **talking}.items()
        }
        for thread in threads.values():
            thread.start()
        with self._open_ledger() as ledger:
            supervisor = Supervisor(self._channels(ledger), tuple(threads))
            supervisor.run()
            self._stop.set()
            for name in judging:
                threads[name].join(_JOIN_S)
            supervisor.say_stopping()
        stop_talking.set()
        for name in talking:
            self._inboxes[name].put(None)
            threads[name].join(_JOIN_S)
        if not any(thread.is_alive() for thread in threads.values()):
            self.ended.set()

    def pause(self) -> None:
        """Begin paused."""
        self._paused.set()

    def is_paused(self) -> bool:
        """Say whether an operator has paused it."""
        return self._paused.is_set()

    def close(self) -> None:
        """Have it end by itself: not ready at once, nothing more is taken in, and what was is answered first."""
        self._closing.set()

    def _channels(self, ledger: Ledger) -> StationChannels:
        return StationChannels(
            station=self._station,
            active_part=self._active_part,
            listeners=(self._for_intake, self._for_state, self._for_plc, self._for_reload),
            why_not={name: line.why_not for name, line in self._parts.items()},
            checks=self._checks,
            available=_available(self._bundles),
            configuration=_configuration(self._settings, self._bundles),
            ledger=ledger,
            folder=self._folder,
            reports=self._reports,
            commands=self._commands,
            inboxes=self._inboxes,
            paused=self._paused,
            queue_full=self._arrivals.full,
            charts=_charts(self._station, self._bundles),
            stop=self._stop,
            closing=self._closing,
            emptied=self._emptied,
            signs=self._signs,
            show=self._show,
            collect=self._collector.take_order,
            is_collecting=self._collector.busy.is_set,
            renewals=self._renewals,
            new_parts=self._new_parts,
            now_ns=self._environment.now_ns,
            monotonic_ns=self._environment.monotonic_ns,
        )

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
        available, configuration = _available(bundles), _configuration(settings, bundles)
        new = NewParts(parts, taken)
        self._renewals.put(Renewal(station, new, available, configuration, _charts(station, bundles)))

    def refuse(self, why: str) -> None:
        """Go on as before, and tell everybody why."""
        self._renewals.put(Refusal(why))

    def _judging(self, stop: threading.Event) -> dict[str, Callable[[], None]]:
        assembly = _assembly(self._station, self._environment.monotonic_ns)
        source = self._open_source(assembly)
        deadline_ns = self._station.deadline_ms * 1_000_000
        intake = Intake(
            source,
            self._arrivals,
            self._deadlines,
            self._worker("intake", stop),
            self._open_ledger,
            self._announce,
            self._paused,
            assembly,
            self._station.name,
            _challenge_serials(self._station),
            self._closing,
        )
        archive = Archive(
            ArchiveFolders(archive_folder(self._settings, self._station)),
            self._settings.archive,
            self._worker("archive", stop),
            self._environment.now_ns,
            queue.Queue(_IMAGES_WAITING),
            judged=judged_of(self._station.source) if isinstance(self._station.source, FolderSettings) else None,
        )
        answering = Answering(
            dict(self._parts),
            self._arrivals,
            self._worker("inspect", stop),
            self._open_ledger,
            self._announce,
            source.done,
            deadline_ns,
            self._station.thumbs,
            self._settings.mqtt.thumb_bytes,
            self._checks,
            self._legacy.show if self._legacy else _nothing,
            archive.keep,
            self._new_parts,
            self._collector.offer,
            self._emptied,
        )
        watching = Deadlines(
            self._deadlines,
            self._worker("deadline", stop),
            self._open_ledger,
            self._announce,
            deadline_ns,
            self._station.name,
        )
        upkeep = Upkeep(
            self._folder,
            self._settings.ledger,
            self._worker("upkeep", stop),
            self._open_ledger,
            self._environment.now_ns,
            self._prepared.looked_over,
        )
        return {
            "intake": intake.run,
            "inspect": answering.run,
            "deadline": watching.run,
            "upkeep": upkeep.run,
            "archive": archive.run,
            "collect": self._collector.run,
        }

    def _open_source(self, assembly: Assembly) -> Source:
        if isinstance(self._station.source, PoolSettings):
            return PoolSource(
                self._station.source,
                self._station.name,
                self._for_intake.now,
                mqtt=self._settings.mqtt,
                new_id=self._environment.new_id,
                open_ledger=self._open_ledger,
                now_ns=self._environment.now_ns,
                monotonic_ns=self._environment.monotonic_ns,
                rng=self._environment.rng,
                say_again=self._inboxes["results"].put,
            )
        return open_source(
            self._station.source,
            self._station.name,
            self._for_intake.now,
            environment=self._environment,
            open_ledger=self._open_ledger,
            wait=self._wait,
            joins=assembly.joins,
            news=self._camera,
        )

    def _talking(self, stop: threading.Event) -> dict[str, Callable[[], None]]:
        will = Will(f"{self._base}/availability", "offline")
        publisher = Publisher(
            self._base,
            self._dial("results"),
            self._worker("results", stop),
            self._open_ledger,
            self._environment.rng,
            self._settings.ledger.thumb_mb * 1_000_000,
            self._settings.ledger.undelivered_rows,
            _senders(self._settings, self._station),
        )
        state = State(
            self._base,
            self._dial("state", will=will, subscribe=f"{self._base}/cmd/#"),
            self._worker("state", stop),
            self._open_ledger,
            self._environment.rng,
            self._environment.now_ns,
            self._commands,
            self._inboxes["results"],
            self._trigger_desk(self._for_state),
            self._station.shift,
            self._legacy,
            _peers(self._settings, self._station),
        )
        plc = Plc(
            self._base,
            self._dial(
                "plc",
                will=Will(f"{self._base}/plc/ready", "0"),
                subscribe=f"{self._base}/plc/cmd/#",
                keepalive_s=5,
            ),
            self._worker("plc", stop),
            self._open_ledger,
            self._environment.rng,
            self._commands,
            self._trigger_desk(self._for_plc),
        )
        return {"results": publisher.run, "state": state.run, "plc": plc.run}

    def _wait(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _trigger_desk(self, part: ActivePart) -> TriggerRouter | None:
        """Return where one thread brings its triggers; None where images come by themselves."""
        source = self._station.source
        if not isinstance(source, CaptureSettings) or source.trigger != "mqtt":
            return None
        environment = self._environment
        return TriggerRouter(
            part.now,
            environment.new_id,
            environment.monotonic_ns,
            environment.now_ns,
            self._camera.put,
            self._deadlines,
        )

    def _worker(self, name: str, stop: threading.Event) -> Worker:
        return Worker(name, stop, self._reports, self._environment.monotonic_ns)

    def _dial(
        self, name: str, *, will: Will | None = None, subscribe: str = "", keepalive_s: int = 15
    ) -> ConnectionOptions:
        client_id = f"{self._station.name}-{name}"
        return ConnectionOptions(self._settings.mqtt, client_id, self._inboxes[name], will, subscribe, keepalive_s)

    def _open_ledger(self) -> Ledger:
        return open_ledger(
            self._folder / "ledger.db", self._environment.new_id, self._environment.now_ns, self._shift_ns
        )

    def _shift_ns(self, now_ns: int) -> int:
        return turn_at(now_ns, self._station.shift, None).start_ns

    def _announce(self, answered: Answered) -> None:
        """Tell everyone of a committed answer, the PLC first: it waits."""
        self._inboxes["plc"].put(answered)
        self._inboxes["results"].put(NewResults())
        self._inboxes["state"].put(answered)
        self._reports.put(answered)
        result = answered.result
        if self._news is not None and result.of_production:
            seconds = result.timing_ms.get("total", 0.0) / 1000
            self._news.put(Judged(self._station.name, result.part, result.verdict, seconds))

    def _say_collection(self, payload: bytes) -> None:
        self._inboxes["state"].put(StateValue("collection", payload))

    def _show(self, health: Health) -> None:
        if self._news is not None:
            self._news.put(Shown(self._station.name, health))


def _senders(settings: Settings, station: StationSettings) -> str:
    """Return the topic below which the cameras of a station's pool hear what became of their images."""
    source = station.source
    return pool_topic(settings.mqtt.root, source.pool) if isinstance(source, PoolSettings) else ""


def _peers(settings: Settings, station: StationSettings) -> Peers | None:
    """Return the other workers of a station's pool, where it has one."""
    source = station.source
    return (
        Peers(workers_topic(settings.mqtt.root, source.pool), station.name)
        if isinstance(source, PoolSettings)
        else None
    )


def state_folder(settings: Settings, station: StationSettings) -> Path:
    """Return where a station keeps its ledger."""
    return settings.state_dir / station.name


def _challenge_serials(station: StationSettings) -> Callable[[str], bool]:
    pattern = re.compile(station.challenge_serial)
    return lambda serial: bool(station.challenge_serial and pattern.fullmatch(serial))


def _assembly(station: StationSettings, monotonic_ns: Now) -> Assembly:
    views = {part.name: tuple(view.name for view in part.view) for part in station.part if part.view}
    return Assembly(views, station.views_ms * 1_000_000, monotonic_ns)


def archive_folder(settings: Settings, station: StationSettings) -> Path:
    """Return where a station keeps its images."""
    path = settings.archive.path
    return state_folder(settings, station) / "archive" if path is None else path / station.name


def _legacy(settings: Settings, bundles: Mapping[str, Bundle]) -> Legacy | None:
    if not settings.mqtt.legacy:
        return None
    return Legacy({name: bundle.recipe.decision.threshold for name, bundle in bundles.items()})


def _available(bundles: Mapping[str, Bundle]) -> tuple[AvailablePart, ...]:
    return tuple(
        AvailablePart(part=name, bundle=bundle.id, threshold=bundle.recipe.decision.threshold)
        for name, bundle in bundles.items()
    )


def _configuration(settings: Settings, bundles: Mapping[str, Bundle]) -> str:
    """Return what a run begins or goes on with: settings, and the bundle and threshold of each part."""
    parts = {
        name: {"bundle": bundle.id, "threshold": bundle.recipe.decision.threshold} for name, bundle in bundles.items()
    }
    said = {"parts": parts, "software": edge_inspector.__version__, "settings": disclosed(settings)}
    return json.dumps(said, ensure_ascii=False, sort_keys=True)


def _charts(station: StationSettings, bundles: Mapping[str, Bundle]) -> Mapping[str, Charts]:
    if not station.parts_per_hour:
        return {}
    return {
        name: make_charts(
            bundle.recipe, bundle.manifest.calibration.levels, station.parts_per_hour, np.random.default_rng(0)
        )
        for name, bundle in bundles.items()
    }


def _nothing(_evidence: Evidence, _judgement: Judgement) -> tuple[bytes, ...]:
    return ()
