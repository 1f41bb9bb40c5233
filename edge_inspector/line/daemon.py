"""The process: checks everything, serves its stations, feeds the watchdog, ends on a signal."""

import contextlib
import ctypes
import fcntl
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from random import Random
from types import FrameType

from edge_inspector.bundle import Bundle, open_inspector, read_bundle, self_test
from edge_inspector.engines.openvino import GraphCache, usable_processors
from edge_inspector.errors import DataError, DiskError, SettingsError
from edge_inspector.line.ledger_file import prepare_ledger
from edge_inspector.line.metrics import News, serve_metrics
from edge_inspector.line.reload import Judging, Reload
from edge_inspector.line.stage import PartLine
from edge_inspector.line.station import Station, World, state_folder
from edge_inspector.line.supervisor import Alive, Restart
from edge_inspector.line.systemd import notify, watchdog_seconds
from edge_inspector.line.trace import trace_of
from edge_inspector.settings import PartSettings, Settings, StationSettings
from edge_inspector.wire.messages import BundleMessage

logger = logging.getLogger(__name__)

_M_ARENA_MAX = -8

LOG = "edge-inspector.log"
"""In the state folder."""
SOFTWARE = 70
"""Exit status when a thread died of a fault of ours; systemd starts the service again."""


def serve(settings: Settings, read_again: Callable[[], Settings]) -> int:
    """Run the daemon until SIGTERM or SIGINT and return its exit status; at SIGHUP take up what `read_again` returns.

    Raises:
        SettingsError: another daemon uses the same state folder.
        DataError: no bundle of a station can be used.
        DiskError: a ledger cannot be opened.
    """
    world = World(time.time_ns, time.monotonic_ns, new_arrival_id, Random())  # noqa: S311 - jitter, not secrets
    stop, crashed = threading.Event(), threading.Event()
    signs: queue.SimpleQueue[Alive | Restart] = queue.SimpleQueue()
    reloads: queue.SimpleQueue[bool] = queue.SimpleQueue()
    with (
        locked(settings.state_dir),
        _log_kept(settings.state_dir),
        ended_by_signals(stop, reloads),
        crash_watch(crashed, stop),
        _metrics(settings) as news,
    ):
        cache = GraphCache(settings.state_dir / "engine-cache", settings.performance)
        judging = {station.name: Judging(*open_parts(settings, station, cache)) for station in settings.station}
        stations = [
            _station(settings, station, judging[station.name], world, stop, signs, news) for station in settings.station
        ]
        _keep_memory_small()
        tell = partial(notify, os.environ)
        reload = Reload(reloads, read_again, partial(open_part, cache=cache), tell, stop.is_set, time.monotonic_ns)
        threads = [threading.Thread(target=station.run, name="station") for station in stations]
        threads.append(
            threading.Thread(target=reload.run, args=(settings, stations, judging), name="reload", daemon=True)
        )
        for thread in threads:
            thread.start()
        notify(os.environ, "READY=1", "STATUS=running")
        logger.warning("READY: %s", ", ".join(station.name for station in settings.station))
        restart = _watch(stop, signs, len(stations))
        stop.set()
        reloads.put(False)
        notify(os.environ, "STOPPING=1")
        for thread in threads:
            thread.join()
    return SOFTWARE if crashed.is_set() or restart else 0


def _watch(stop: threading.Event, signs: "queue.SimpleQueue[Alive | Restart]", stations: int) -> bool:
    """Feed the watchdog as long as every station shows that all its stages turn; says whether one wants a new start."""
    period = (watchdog_seconds(os.environ) or 10.0) / 4
    last: dict[str, float] = {}
    while not stop.wait(min(1.0, period)):
        now = time.monotonic()
        status = []
        while not signs.empty():
            sign = signs.get()
            if isinstance(sign, Restart):
                logger.error("station %s: %s", sign.station, sign.why)
                return True
            last[sign.station] = now
            status.append(sign.status)
        if len(last) == stations and all(now - at <= 2 * period for at in last.values()):
            notify(os.environ, "WATCHDOG=1", *(f"STATUS={', '.join(sorted(set(status)))}" for _ in status[:1]))
    return False


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
    judging: Judging,
    world: World,
    stop: threading.Event,
    signs: "queue.SimpleQueue[Alive | Restart]",
    news: "News | None",
) -> Station:
    folder = state_folder(settings, station)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"{folder}: {error.strerror}") from error
    ledger = prepare_ledger(folder / "ledger.db", world.new_id, world.now_ns)
    bundles, lines = judging.bundles, judging.lines
    return Station(settings, station, bundles, lines, world=world, stop=stop, signs=signs, prepared=ledger, news=news)


def open_parts(
    settings: Settings, station: StationSettings, cache: GraphCache
) -> tuple[Mapping[str, Bundle], Mapping[str, PartLine]]:
    """Return a station's bundles and what judges each part; a bundle that differs makes its part alone not ready.

    Raises:
        DataError: none of them can be used.
    """
    bundles: dict[str, Bundle] = {}
    lines: dict[str, PartLine] = {}
    for part in station.part:
        try:
            bundles[part.name], lines[part.name] = open_part(part, settings, station, cache)
        except DataError as error:
            logger.warning("station %s, part %s: %s", station.name, part.name, error)
            lines[part.name] = PartLine(None, None, str(error))
    if not bundles:
        raise DataError("; ".join(line.why_not for line in lines.values()))
    return bundles, lines


def open_part(
    part: PartSettings, settings: Settings, station: StationSettings, cache: GraphCache
) -> tuple[Bundle, PartLine]:
    """Return a part's bundle and what judges it, its views included.

    Raises:
        DataError: one of its bundles cannot be used.
    """
    bundle, line = _open_line(part.bundle, part, settings, station, cache)
    views = {view.name: _open_line(view.bundle, part, settings, station, cache)[1] for view in part.view if view.bundle}
    if not views:
        return bundle, line
    return bundle, replace(line, golden=partial(_golden_of_all, {"": line, **views}), views=views)


def _open_line(
    path: Path, part: PartSettings, settings: Settings, station: StationSettings, cache: GraphCache
) -> tuple[Bundle, PartLine]:
    bundle = read_bundle(path.resolve())  # a link that moves on later must not change what is running
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
    """Judge the golden pictures of a part's bundle and of those of its views."""
    found = ((view, problem) for view, line in lines.items() for problem in line.golden())
    return tuple(f"view {view}: {problem}" if view else problem for view, problem in found)


def _keep_memory_small() -> None:
    """Give back what compiling the graphs left over, and have glibc share two heaps among all threads."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
        ctypes.CDLL(None).malloc_trim(0)


def new_arrival_id() -> str:
    """Return an id that sorts by time and that no other arrival has."""
    return f"{time.time_ns():016x}{os.urandom(8).hex()}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the state folder: two daemons would answer each part twice."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise DiskError(f"state_dir {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"another daemon uses state_dir {folder}: stop it or give this one its own") from error
        yield


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


@contextmanager
def ended_by_signals(stop: threading.Event, reloads: "queue.SimpleQueue[bool]") -> Iterator[None]:
    """Set `stop` at SIGTERM and SIGINT, and put something into `reloads` at SIGHUP, while the block runs."""

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    def renew(_number: int, _frame: FrameType | None) -> None:
        reloads.put(True)

    handlers = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: renew}
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def crash_watch(crashed: threading.Event, stop: threading.Event) -> Iterator[None]:
    """End the daemon when a thread dies: a station that has lost a stage must not look alive."""
    previous = threading.excepthook

    def end(args: threading.ExceptHookArgs) -> None:
        previous(args)
        crashed.set()
        stop.set()

    threading.excepthook = end
    try:
        yield
    finally:
        threading.excepthook = previous
