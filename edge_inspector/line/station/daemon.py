"""The process: checks everything, serves its stations, feeds the watchdog, ends on a signal."""

import contextlib
import ctypes
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from random import Random

from edge_inspector.bundle import Bundle, open_inspector, read_bundle, self_test
from edge_inspector.engines.openvino import GraphCache, usable_processors
from edge_inspector.errors import DataError, DiskError
from edge_inspector.line.archive.trace import trace_of
from edge_inspector.line.environment import Environment
from edge_inspector.line.health.metrics import News, serve_metrics
from edge_inspector.line.ledger.ledger_file import prepare_ledger
from edge_inspector.line.process import SOFTWARE, crash_watch, ended_by_signals, locked, new_arrival_id
from edge_inspector.line.station.crew import Crew, MakeStation
from edge_inspector.line.station.reload import JudgingSetup, Opening, Reload
from edge_inspector.line.station.signs import Come, Gone, Heartbeat, Restart, Signs
from edge_inspector.line.station.stage import PartLine
from edge_inspector.line.station.station import Station, state_folder
from edge_inspector.line.station.systemd import notify, watchdog_seconds
from edge_inspector.settings import PartSettings, Settings, StationSettings
from edge_inspector.wire.messages import BundleMessage

logger = logging.getLogger(__name__)

_M_ARENA_MAX = -8
_UNUSABLE = (OSError, RuntimeError, ValueError, MemoryError)
"""What opening a bundle can fail with, besides DataError."""

LOG = "edge-inspector.log"
"""In the state folder."""


def serve(settings: Settings, read_again: Callable[[], Settings]) -> int:
    """Run the daemon until SIGTERM or SIGINT and return its exit status; at SIGHUP take up what `read_again` returns.

    Raises:
        SettingsError: another daemon uses the same state folder.
        DataError: no bundle of any station can be used.
        DiskError: a ledger cannot be opened.
    """
    environment = Environment(time.time_ns, time.monotonic_ns, new_arrival_id, Random())  # noqa: S311 - jitter, not secrets
    stop, crashed = threading.Event(), threading.Event()
    signs: Signs = queue.SimpleQueue()
    reloads: queue.SimpleQueue[bool] = queue.SimpleQueue()
    with (
        locked(settings.state_dir),
        _log_kept(settings.state_dir),
        ended_by_signals(stop, reloads),
        crash_watch(crashed, stop),
        _metrics(settings) as news,
    ):
        cache = GraphCache(settings.state_dir / "engine-cache", settings.performance)
        judging = {station.name: JudgingSetup(*open_parts(settings, station, cache)) for station in settings.station}
        able = _able(judging)
        make = partial(_station, environment=environment, signs=signs, news=news)
        made = {station.name: make(settings, station, judging[station.name]) for station in settings.station}
        _keep_memory_small()
        crew = Crew(signs, stop.is_set, environment.monotonic_ns)
        crew.start(made)
        tell = partial(notify, os.environ)
        opening = Opening(partial(open_part, cache=cache), make)
        reload = Reload(reloads, read_again, opening, tell, stop.is_set, time.monotonic_ns)
        thread = threading.Thread(target=reload.run, args=(settings, crew, judging), name="reload", daemon=True)
        thread.start()
        tell("READY=1", "STATUS=running")
        logger.warning("READY: %s", ", ".join(able))
        restart = _watch(stop, signs)
        stop.set()
        reloads.put(False)
        tell("STOPPING=1")
        thread.join()
        crew.stop()
    return SOFTWARE if crashed.is_set() or restart else 0


def _watch(stop: threading.Event, signs: Signs) -> bool:
    """Feed the watchdog as long as every station shows that all its stages turn; says whether one wants a new start.

    At the end all stations that were heard of are told to end, whatever a reload is waiting for.
    """
    period = (watchdog_seconds(os.environ) or 10.0) / 4
    served = _Served()
    while not served.restart and not stop.wait(min(1.0, period)):
        now = time.monotonic()
        status = served.hear(signs, now)
        if served.all_since(now - 2 * period):
            notify(os.environ, "WATCHDOG=1", *(f"STATUS={', '.join(status)}" for _ in status[:1]))
    stop.set()
    served.hear(signs, time.monotonic())
    served.end()
    return served.restart


class _Served:
    """Which stations there are, and when each was last heard of; belongs to the main thread."""

    def __init__(self) -> None:
        self._stops: dict[str, threading.Event] = {}
        self._last: dict[str, float] = {}
        self.restart = False

    def hear(self, signs: Signs, now: float) -> list[str]:
        """Take in what stations said, and return how they are."""
        status = set()
        while not signs.empty():
            match signs.get():
                case Come(station=name, stop=stop):
                    self._stops[name], self._last[name] = stop, now
                case Gone(station=name):
                    del self._stops[name], self._last[name]
                case Heartbeat(station=name, status=said):
                    if name in self._last:
                        self._last[name] = now
                        status.add(said)
                case Restart(station=name, why=why):
                    logger.error("station %s: %s", name, why)
                    self.restart = True
        return sorted(status)

    def all_since(self, earliest: float) -> bool:
        """Say whether every station was heard of since."""
        return all(at >= earliest for at in self._last.values())

    def end(self) -> None:
        """Tell all stations to end."""
        for stop in self._stops.values():
            stop.set()


@contextmanager
def _metrics(settings: Settings) -> Iterator["News | None"]:
    """Serve figures while the daemon runs, and yield where stations bring them; None where nobody asks for them."""
    if settings.metrics is None:
        yield None
        return
    news: News = queue.SimpleQueue()
    with serve_metrics(settings.metrics, news):
        yield news


def _station(
    settings: Settings,
    station: StationSettings,
    judging: JudgingSetup,
    *,
    environment: Environment,
    signs: Signs,
    news: "News | None",
) -> MakeStation:
    """Have the station's ledger ready, and return what makes the station of it.

    Raises:
        DiskError: there can be no ledger.
    """
    folder = state_folder(settings, station)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"{folder}: {error.strerror}; expected a folder, or room for one") from error
    ledger = prepare_ledger(folder / "ledger.db", environment.new_id, environment.now_ns)
    parts = judging.bundles, judging.lines
    return lambda stop: Station(
        settings, station, *parts, environment=environment, stop=stop, signs=signs, prepared=ledger, news=news
    )


def open_parts(
    settings: Settings, station: StationSettings, cache: GraphCache
) -> tuple[Mapping[str, Bundle], Mapping[str, PartLine]]:
    """Return a station's bundles and what judges each part; a bundle that fails makes its part alone not ready."""
    bundles: dict[str, Bundle] = {}
    lines: dict[str, PartLine] = {}
    for part in station.part:
        try:
            bundles[part.name], lines[part.name] = open_part(part, settings, station, cache)
        except DataError as error:
            logger.warning("station %s, part %s cannot be judged: %s", station.name, part.name, error)
            lines[part.name] = PartLine(None, None, str(error))
    return bundles, lines


def _able(judging: Mapping[str, JudgingSetup]) -> tuple[str, ...]:
    """Return the stations that can judge a part at least; the others are served too, so that each says what it lacks.

    Raises:
        DataError: there is none.
    """
    able = tuple(station for station, found in judging.items() if found.bundles)
    if not able:
        raise DataError("; ".join(line.why_not for found in judging.values() for line in found.lines.values()))
    return able


def open_part(
    part: PartSettings, settings: Settings, station: StationSettings, cache: GraphCache
) -> tuple[Bundle, PartLine]:
    """Return a part's bundle and what judges it, its views included.

    Raises:
        DataError: one of its bundles cannot be used.
    """
    try:
        bundle, line = _open_line(part.bundle, part, settings, station, cache)
        views = {
            view.name: _open_line(view.bundle, part, settings, station, cache)[1] for view in part.view if view.bundle
        }
    except _UNUSABLE as error:
        raise DataError(f"{part.bundle}: {error}") from error
    if not views:
        return bundle, line
    return bundle, replace(line, golden=partial(_golden_of_all, {"": line, **views}), views=views)


def _open_line(
    path: Path, part: PartSettings, settings: Settings, station: StationSettings, cache: GraphCache
) -> tuple[Bundle, PartLine]:
    bundle = read_bundle(path.resolve())  # a link that moves on later must not change what is running
    if bundle.litter:
        logger.warning("%s: %s", path, bundle.litter_in_words())
    inspector = open_inspector(
        bundle,
        threads=station.threads or usable_processors(),
        clock_ns=time.perf_counter_ns,
        cache=cache,
        quality_off=part.quality_off,
    )
    trace, golden = trace_of(bundle.recipe, settings), partial(self_test, bundle, inspector.detector)
    return bundle, PartLine(inspector, BundleMessage.model_validate(bundle), trace=trace, golden=golden)


def _golden_of_all(lines: Mapping[str, PartLine]) -> tuple[str, ...]:
    """Judge the golden images of a part's bundle and of those of its views."""
    found = ((view, problem) for view, line in lines.items() for problem in line.golden())
    return tuple(f"view {view}: {problem}" if view else problem for view, problem in found)


def _keep_memory_small() -> None:
    """Give back what compiling the graphs left over, and have glibc share two heaps among all threads."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def _log_kept(folder: Path) -> Iterator[None]:
    """Keep the newest log lines in a file too, at most two megabytes: `diagnose` takes them."""
    try:
        kept = RotatingFileHandler(folder / LOG, maxBytes=1_000_000, backupCount=1, encoding="utf-8")
    except OSError as error:
        raise DiskError(f"{folder / LOG}: {error.strerror}") from error
    kept.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(kept)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(kept)
        kept.close()
