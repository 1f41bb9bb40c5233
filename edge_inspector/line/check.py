"""Everything that `run` would need, looked at before commissioning."""

import os
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import cv2

from edge_inspector.bundle import open_inspector, read_bundle
from edge_inspector.engines.openvino import usable_processors
from edge_inspector.errors import DataError, SettingsError
from edge_inspector.line.link import Dial, Inbox, Incoming, links
from edge_inspector.line.ticks import Worker
from edge_inspector.settings import CaptureSettings, FolderSettings, MqttSettings, Settings, StationSettings
from edge_inspector.wire.messages import Ack

_PATIENCE_S = 8.0
_LEAST_FREE_MB = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    detail: str


def check(settings: Settings) -> Iterator[Finding]:
    """Yield what is as it must be and what is not; changes nothing but files of its own."""
    yield _check_writable("state_dir", settings.state_dir)
    for station in settings.station:
        yield from _check_parts(station)
        yield _check_source(station)
    yield _check_broker(settings.mqtt, settings.station[0])


def _check_parts(station: StationSettings) -> Iterator[Finding]:
    for part in station.part:
        what = f"station {station.name}, part {part.name}"
        try:
            bundle = read_bundle(part.bundle)
            open_inspector(bundle, threads=usable_processors(), clock_ns=time.perf_counter_ns)
        except DataError as error:
            yield Finding(what, good=False, detail=str(error))
        else:
            card = bundle.manifest.calibration
            detail = " ".join((f"bundle {bundle.id} passed its golden check.", card.in_words(), *card.notes))
            yield Finding(what, good=True, detail=detail)


def _check_source(station: StationSettings) -> Finding:
    what = f"station {station.name}, source"
    match station.source:
        case FolderSettings() as folder:
            if folder.after == "keep":
                readable = folder.path.is_dir() and os.access(folder.path, os.R_OK | os.X_OK)
                return Finding(what, readable, f"{folder.path} is {'readable' if readable else 'no readable folder'}")
            return _check_writable(what, folder.path)
        case CaptureSettings() as capture:
            device = int(capture.device) if capture.device.isdecimal() else capture.device
            camera = cv2.VideoCapture(device)
            good, image = camera.read()
            camera.release()
            if not good:
                return Finding(what, good=False, detail=f"{capture.device} gives no picture")
            return Finding(what, good=True, detail=f"{capture.device} gives {image.shape[1]}x{image.shape[0]} pixels")


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


def _check_broker(mqtt: MqttSettings, station: StationSettings) -> Finding:
    """Connect as the daemon would, and see a message of our own come back."""
    where = f"{mqtt.host}:{mqtt.port}"
    topic = f"{mqtt.root}/{station.name}/ack"
    probe = Ack(command="check", correlation_id="check", status="done", reason="a probe before commissioning")
    inbox: Inbox = queue.SimpleQueue()
    stop = threading.Event()
    worker = Worker("check", stop, queue.SimpleQueue(), time.monotonic_ns)
    giving_up = threading.Timer(_PATIENCE_S, stop.set)
    giving_up.start()
    try:
        dial = Dial(mqtt, f"{station.name}-check", inbox, subscribe=topic)
        for link in links(dial, worker, Random(0), lambda: None):  # noqa: S311 - jitter
            link.publish(topic, probe.encode(), 1, retain=False)
            heard = _hear(inbox)
            return Finding(
                "broker", heard, f"{where}: connected, {'heard' if heard else 'did not hear'} its own message"
            )
    except SettingsError as error:
        return Finding("broker", good=False, detail=str(error))
    finally:
        giving_up.cancel()
        stop.set()
    return Finding("broker", good=False, detail=f"{where}: no connection within {_PATIENCE_S:.0f} s")


def _hear(inbox: Inbox) -> bool:
    deadline = time.monotonic() + _PATIENCE_S / 2
    while (left := deadline - time.monotonic()) > 0:
        try:
            if isinstance(inbox.get(timeout=left), Incoming):
                return True
        except queue.Empty:
            break
    return False
