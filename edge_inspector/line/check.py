"""Everything that `run` would need, looked at before commissioning."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2

from edge_inspector.bundle import open_inspector, read_bundle
from edge_inspector.engines.openvino import usable_processors
from edge_inspector.errors import DataError, DiskError
from edge_inspector.image_names import is_image
from edge_inspector.line.camera import described, open_camera, what_is_wrong_with
from edge_inspector.line.claims import read_sidecar
from edge_inspector.line.clock import describe_clock, read_clock_error_us
from edge_inspector.line.folder import is_subfolder
from edge_inspector.line.ledger import open_ledger
from edge_inspector.line.naming import Names, printable, read_names
from edge_inspector.line.probe import is_spoken_for, probe
from edge_inspector.line.source import Now
from edge_inspector.line.station import state_folder
from edge_inspector.settings import CaptureSettings, FolderSettings, PoolSettings, Settings, StationSettings
from edge_inspector.wire.plcword import next_seq
from edge_inspector.wire.topics import TOPICS

_LEAST_FREE_MB = 500
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    detail: str
    needed: bool = True
    """Whether `run` cannot do without."""


def check(settings: Settings, clock_ns: Now) -> Iterator[Finding]:
    """Yield what is as it must be and what is not; changes nothing but files of its own."""
    yield _check_writable("state_dir", settings.state_dir)
    right, words = describe_clock(read_clock_error_us())
    yield Finding("clock", right, words, needed=False)
    for station in settings.station:
        yield from _check_parts(station, clock_ns)
        yield _check_source(station)
        yield from _check_names(station)
        yield _check_broker(settings, station, clock_ns)


def _check_parts(station: StationSettings, clock_ns: Now) -> Iterator[Finding]:
    wanted = [(part.name, part.bundle) for part in station.part]
    wanted += [
        (f"{part.name}, view {view.name}", view.bundle) for part in station.part for view in part.view if view.bundle
    ]
    for name, path in wanted:
        what = f"station {station.name}, part {name}"
        try:
            bundle = read_bundle(path)
            open_inspector(bundle, threads=usable_processors(), clock_ns=clock_ns)
        except (DataError, OSError, RuntimeError, ValueError, MemoryError) as error:
            yield Finding(what, good=False, detail=str(error))
        else:
            card = bundle.manifest.calibration
            detail = " ".join((f"bundle {bundle.id} passed its golden check.", card.in_words(), *card.notes))
            yield Finding(what, good=True, detail=detail)
            if bundle.litter:
                yield Finding(what, good=False, detail=f"{path}: {bundle.litter_in_words()}", needed=False)


def _check_source(station: StationSettings) -> Finding:
    what = f"station {station.name}, source"
    match station.source:
        case FolderSettings() as folder:
            if folder.after == "keep":
                readable = folder.path.is_dir() and os.access(folder.path, os.R_OK | os.X_OK)
                return Finding(what, readable, f"{folder.path} is {'readable' if readable else 'no readable folder'}")
            return _check_writable(what, folder.path)
        case CaptureSettings() as capture:
            return _check_camera(what, capture)
        case PoolSettings(pool=pool):
            return Finding(what, good=True, detail=f"what cameras send to pool {pool}, over the broker")


def _check_camera(what: str, settings: CaptureSettings) -> Finding:
    camera = cv2.VideoCapture()
    try:
        why = open_camera(camera, settings)
        if why:
            return Finding(what, good=False, detail=f"{settings.shown} gives no picture: {why}")
        good, image = camera.read()
        why = what_is_wrong_with(image, settings.region) if good else "the first frame did not come"
        if why:
            return Finding(what, good=False, detail=f"{settings.shown} gives no picture: {why}")
        return Finding(what, good=True, detail=f"{described(camera, settings)}, frames of {image.shape}")
    finally:
        camera.release()


def _check_names(station: StationSettings) -> Iterator[Finding]:
    """Show how the pictures that lie in the folder now would be named: one put there for a test will do."""
    folder = station.source
    if not isinstance(folder, FolderSettings):
        return
    names = tuple(islice(_pictures_in(folder.path, len(folder.subfolders)), _EXAMPLES))
    if not names:
        detail = f"no picture lies in {folder.path}; put one there to see how it is read"
        yield Finding(f"station {station.name}, names", good=True, detail=detail)
    for name in names:
        sidecar = read_sidecar(folder.path / name) if folder.sidecar_ms else None
        yield _check_name(station, name, read_names(name, sidecar, folder))


def _check_name(station: StationSettings, name: str, names: Names) -> Finding:
    what = f"station {station.name}, picture {printable(name)}"
    part = {part.name: part for part in station.part}.get(names.part or station.part[0].name)
    views = () if part is None else tuple(view.name for view in part.view)
    if names.fault:
        return Finding(what, good=False, detail=names.fault)
    if part is None:
        return Finding(what, good=False, detail=f"{names.in_words()}: no bundle for that part")
    if views and (names.view not in views or not names.serial):
        expected = f"expected a serial and a view out of {', '.join(views)}"
        return Finding(what, good=False, detail=f"{names.in_words()}: {expected}")
    return Finding(what, good=True, detail=names.in_words())


def _pictures_in(folder: Path, depth: int, below: str = "") -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
    except OSError:
        return  # that the folder cannot be read has been said
    for entry in entries:
        name = os.path.join(below, entry.name)  # noqa: PTH118 - the name may hold bytes that are no text
        if is_image(entry.name):
            yield name
        elif depth and is_subfolder(entry):
            yield from _pictures_in(folder, depth - 1, name)


def _check_writable(what: str, folder: Path) -> Finding:
    try:
        if what == "state_dir":
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".edge-inspector-check-"):
            free_mb = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize // 1_000_000
    except OSError as error:
        return Finding(what, good=False, detail=f"{folder}: {error.strerror}")
    enough = free_mb >= _LEAST_FREE_MB
    return Finding(what, enough, f"{folder} is writable, {free_mb} MB free{'' if enough else ', too little'}")


def _check_broker(settings: Settings, station: StationSettings, clock_ns: Now) -> Finding:
    """Connect as the daemon would, and see a message come back on every topic; not while a daemon runs."""
    mqtt = settings.mqtt
    what = f"station {station.name}, broker {mqtt.host}:{mqtt.port}"
    try:
        if _is_locked(settings.state_dir) or is_spoken_for(mqtt, station.name):
            detail = "connected; topics were not tried, a daemon is at work with them: stop it first"
            return Finding(what, good=True, detail=detail)
        refused = tuple(probe(mqtt, station.name, _plc_seq(settings, station), clock_ns))
    except (ConnectionError, DiskError) as error:
        return Finding(what, good=False, detail=str(error))
    found = "; ".join(f"{refusal.what}: {refusal.why}" for refusal in refused)
    return Finding(what, not refused, found or f"connected, {len(TOPICS)} topics came back")


def _is_locked(folder: Path) -> bool:
    """Whether a daemon holds the state folder."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _plc_seq(settings: Settings, station: StationSettings) -> int:
    """Return a number for a PLC word that no word has used or will use."""
    path = state_folder(settings, station) / "ledger.db"
    if not path.exists():
        return 1
    with open_ledger(path, str, lambda: 0) as ledger:
        return next_seq(ledger.reserve_plc_numbers())
