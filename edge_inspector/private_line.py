"""A broker and a daemon of our own on 127.0.0.1, each a real process that ends with the block: for demo and bench."""

import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

from edge_inspector.bundle import Bundle
from edge_inspector.errors import DataError
from edge_inspector.line.broker.link import ConnectionOptions, Incoming, Link, links
from edge_inspector.line.ticks import Worker
from edge_inspector.settings import MqttSettings
from edge_inspector.toml import to_toml
from edge_inspector.wire.topics import DEFAULT_ROOT

Source: TypeAlias = Mapping[str, str | int]
"""A station's source as its settings say it."""

_HERE = "127.0.0.1"
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class RunningDaemon:
    """A daemon that said READY."""

    process: int
    """Its id."""
    ready_s: float
    """From start to READY."""


@contextmanager
def private_broker(folder: Path) -> Iterator[MqttSettings]:
    """Run a broker of our own on 127.0.0.1: mosquitto where it is installed, else the one in the iotcore wheel."""
    port = free_port()
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        from iotcore import Broker  # noqa: PLC0415 - an extra, needed only here

        with Broker(port=port, listen="127.0.0.1"):
            yield MqttSettings(port=port, version=4)
        return
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence false", "set_tcp_nodelay true"]
    if os.geteuid() == 0:
        lines.append("user root")
    configuration = folder / "mosquitto.conf"
    configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with running([program, "-c", str(configuration)], folder / "mosquitto.log", {}) as process:
        _wait(lambda: _answers(port), process, "mosquitto")
        yield MqttSettings(port=port)


def watching(inbox: Path) -> Source:
    """Return the source of a station that watches a folder, which is made."""
    inbox.mkdir()
    return {"kind": "folder", "path": str(inbox)}


@dataclass(frozen=True, slots=True)
class PrivateStation:
    """What a station inspects."""

    source: Source
    bundles: Mapping[str, Bundle]
    """By the part's name."""


def write_settings(folder: Path, stations: Mapping[str, PrivateStation], mqtt: MqttSettings) -> Path:
    """Write the settings of stations, by name; return the file.

    Paths in it are whole: what is relative there would be relative to the file.
    """
    config = folder / "edge-inspector.toml"
    tables = [
        {
            "name": name,
            "deadline_ms": 5000,
            "source": one.source,
            "part": [{"name": part, "bundle": str(bundle.path.resolve())} for part, bundle in one.bundles.items()],
        }
        for name, one in stations.items()
    ]
    table = {
        "state_dir": str(folder / "state"),
        "mqtt": {"port": mqtt.port, "version": mqtt.version},
        "station": tables,
    }
    config.write_text(to_toml(table), encoding="utf-8")
    return config


@contextmanager
def private_daemon(config: Path, log: Path) -> Iterator[RunningDaemon]:
    """Run the real daemon and wait for its READY, as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        address = config.parent / "notify"
        address.unlink(missing_ok=True)  # of an earlier run
        channel.bind(str(address))
        channel.settimeout(0.2)
        started = time.monotonic()
        command = [sys.executable, "-m", "edge_inspector.cli", "run", "--config", str(config)]
        with running(command, log, {"NOTIFY_SOCKET": str(address)}) as process:
            _wait(lambda: _heard_ready(channel), process, f"the daemon (see {log})")
            yield RunningDaemon(process.pid, time.monotonic() - started)


def _heard_ready(channel: socket.socket) -> bool:
    try:
        return b"READY=1" in channel.recv(4096)
    except TimeoutError:
        return False


@contextmanager
def running(command: Sequence[str], log: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program while the block runs, its words in `log`; it is ended by its id whatever happens."""
    with log.open("ab") as words:
        process = subprocess.Popen(  # noqa: S603 - programs of ours
            command, stdout=words, stderr=words, stdin=subprocess.DEVNULL, env={**os.environ, **environment}
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def results_of(mqtt: MqttSettings, station: str) -> Iterator["queue.SimpleQueue[Incoming]"]:
    """Listen to a station's results, as SCADA would; nothing else comes as long as the broker lives."""
    with listening(mqtt, station, "result") as (_, inbox):
        yield inbox


@contextmanager
def listening(mqtt: MqttSettings, station: str, topic: str) -> Iterator[tuple[Link, "queue.SimpleQueue[Incoming]"]]:
    """Listen to a topic below a station's base; what is published over the link is acknowledged in the queue, too."""
    worker = Worker(station, threading.Event(), queue.SimpleQueue(), time.monotonic_ns)
    inbox: queue.SimpleQueue[Incoming] = queue.SimpleQueue()
    dial = ConnectionOptions(mqtt, f"{station}-subscriber", inbox, subscribe=f"{DEFAULT_ROOT}/{station}/{topic}")
    connected = links(dial, worker, Random(0), lambda: None)  # noqa: S311 - jitter
    link = next(connected)
    inbox.get(timeout=_PATIENCE_S)  # the broker's word that the subscription stands
    try:
        yield link, inbox
    finally:
        worker.stop.set()
        connected.close()


def _wait(happened: Callable[[], bool], process: "subprocess.Popen[bytes]", what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not happened():
        if process.poll() is not None or time.monotonic() > deadline:
            raise DataError(f"{what} did not start")
        time.sleep(0.02)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((_HERE, port)) == 0


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((_HERE, 0))
        return int(probe.getsockname()[1])
