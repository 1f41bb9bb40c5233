"""Everything that `run` would need, looked at before commissioning."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge_inspector.atomic import move
from edge_inspector.bundle import open_inspector, read_bundle
from edge_inspector.engines.openvino import usable_processors
from edge_inspector.errors import DataError, DiskError
from edge_inspector.inspection.model import Image, Reason
from edge_inspector.line.broker.link import files_read
from edge_inspector.line.broker.probe import is_spoken_for, probe
from edge_inspector.line.environment import Now
from edge_inspector.line.ledger.ledger import open_ledger
from edge_inspector.line.sources.camera import (
    Damaged,
    asks_for_raw,
    described,
    open_camera,
    retrieved,
    what_is_wrong_with,
    why_unchecked,
)
from edge_inspector.line.sources.claims import CLAIMED, DONE, read_sidecar
from edge_inspector.line.sources.listing import Listing, in_words
from edge_inspector.line.sources.naming import Names, printable, read_names
from edge_inspector.line.sources.snapshot import NoSnapshotError, fetch
from edge_inspector.line.station.clock import describe_clock, read_clock_error_us
from edge_inspector.line.station.station import state_folder
from edge_inspector.settings import (
    CaptureSettings,
    FolderSettings,
    PoolSettings,
    Settings,
    StationSettings,
    variables_in_use,
)
from edge_inspector.wire.plcword import next_seq
from edge_inspector.wire.topics import TOPICS

_LEAST_FREE_MB = 500
_EXAMPLES = 3
_MOST = 100_000
"""Entries of sub-folders that are looked at for images in a wrong place."""


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
    if variables := variables_in_use():
        yield Finding("environment", good=True, detail=f"wins over the settings file: {', '.join(variables)}")
    for name, fault in files_read(settings.mqtt):
        yield Finding(name, good=not fault, detail=fault or "can be read and is what it should be")
    for station in settings.station:
        yield from _check_parts(station, clock_ns)
        yield from _check_source(station, clock_ns)
        yield from _check_done(station)
        yield from _check_names(station, clock_ns)
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


def _check_source(station: StationSettings, clock_ns: Now) -> Iterator[Finding]:
    what = f"station {station.name}, source"
    match station.source:
        case FolderSettings() as folder:
            if folder.after == "keep":
                readable = folder.path.is_dir() and os.access(folder.path, os.R_OK | os.X_OK)
                yield Finding(what, readable, f"{folder.path} is {'readable' if readable else 'no readable folder'}")
            else:
                yield _check_writable(what, folder.path)
        case CaptureSettings(mode="snapshot") as capture:
            yield _check_snapshot(what, capture, clock_ns)
        case CaptureSettings() as capture:
            yield from _check_camera(what, capture)
        case PoolSettings(pool=pool):
            yield Finding(what, good=True, detail=f"what cameras send to pool {pool}, over the broker")


def _check_done(station: StationSettings) -> Iterator[Finding]:
    """Move a file to where judged images go, as a station does: first claimed, then put away."""
    folder = station.source
    if not isinstance(folder, FolderSettings) or folder.after != "move" or folder.done is None:
        return
    what = f"station {station.name}, done"
    trial = f".edge-inspector-check-{os.getpid()}"
    claimed, put_away = folder.path / CLAIMED / trial, folder.done / trial
    try:
        claimed.parent.mkdir(exist_ok=True)
        folder.done.mkdir(parents=True, exist_ok=True)
        claimed.write_bytes(b"trial")
        move(claimed, put_away)
        elsewhere = os.stat(claimed.parent).st_dev != os.stat(folder.done).st_dev  # noqa: PTH116
    except OSError as error:
        yield Finding(what, good=False, detail=f"{folder.done}: {error.strerror}: judged images would stay claimed")
        return
    finally:
        for left in (claimed, put_away):
            with suppress(OSError):
                left.unlink(missing_ok=True)
    how = "is another file system: judged images are copied there, then removed" if elsewhere else "takes them"
    yield Finding(what, good=True, detail=f"{folder.done} {how}")


def _check_snapshot(what: str, settings: CaptureSettings, clock_ns: Now) -> Finding:
    try:
        image = fetch(settings, clock_ns)
    except NoSnapshotError as error:
        return Finding(what, good=False, detail=f"{settings.shown} gives no image: {error}")
    if isinstance(image, Damaged):
        return Finding(what, good=False, detail=f"{settings.shown} gives a damaged image: {image.detail}")
    return Finding(what, good=True, detail=f"{settings.shown}: a snapshot of {image.shape[1]}x{image.shape[0]}")


def _check_camera(what: str, settings: CaptureSettings) -> Iterator[Finding]:
    camera = cv2.VideoCapture()
    try:
        why = open_camera(camera, settings)
        is_raw = not why and asks_for_raw(camera)
        frame = Damaged(Reason.NO_IMAGE, why) if why else _first_frame(camera, settings, is_raw=is_raw)
        if isinstance(frame, Damaged):
            yield Finding(what, good=False, detail=f"{settings.shown} gives no image: {frame.detail}")
            return
        yield Finding(what, good=True, detail=f"{described(camera, settings)}, frames of {frame.shape}")
        if not is_raw and (warning := why_unchecked(camera, settings)):
            yield Finding(f"{what}, damage", good=False, detail=warning, needed=False)
    finally:
        camera.release()


def _first_frame(camera: cv2.VideoCapture, settings: CaptureSettings, *, is_raw: bool) -> Image | Damaged:
    if not camera.grab():
        return Damaged(Reason.NO_IMAGE, "the first frame did not come")
    frame = retrieved(camera, is_raw=is_raw)
    if isinstance(frame, Damaged):
        return frame
    fault = what_is_wrong_with(frame, settings.region)
    return Damaged(Reason.WRONG_FORMAT, fault) if frame is None or fault else frame


def _check_names(station: StationSettings, clock_ns: Now) -> Iterator[Finding]:
    """Show how the images that lie in the folder now would be named: one put there for a test will do."""
    folder = station.source
    if not isinstance(folder, FolderSettings):
        return
    listing = Listing(folder, folder.done or folder.path / DONE, clock_ns)
    try:
        names = tuple(found.name for found in listing.images()[:_EXAMPLES])
    except OSError:
        names = ()  # that the folder cannot be read has been said
    odd = listing.passed_over(patience=False, most=_MOST)
    if odd:
        count = f"{len(odd)} image(s) or odd file(s) in {folder.path} that nobody would answer"
        detail = f"{count}: {in_words(odd)}"
        yield Finding(f"station {station.name}, names", good=False, detail=detail, needed=False)
    elif not names:
        detail = f"no image lies in {folder.path}; put one there to see how it is read"
        yield Finding(f"station {station.name}, names", good=True, detail=detail)
    for name in names:
        sidecar = read_sidecar(folder.path / name) if folder.sidecar_ms else None
        yield _check_name(station, name, read_names(name, sidecar, folder))


def _check_name(station: StationSettings, name: str, names: Names) -> Finding:
    what = f"station {station.name}, image {printable(name)}"
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
    found = "; ".join(dict.fromkeys(f"{refusal.what}: {refusal.why}" for refusal in refused))
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
        return next_seq(ledger.state.reserve_plc_numbers())
