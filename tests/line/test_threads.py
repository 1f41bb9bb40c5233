"""No thread of the daemon ends unseen: whichever it is, the process says why, is not ready, and starts again."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto, free_port, until
from daemons import STATION, Daemon, Subscriber, drop, write_settings
from factories import a_part, png

from edge_inspector.bundle import Bundle
from edge_inspector.line.daemon import SOFTWARE, crash_watch

PLANT = '''
import os, threading
from edge_inspector.line import camera, hints, link, metrics, reload, supervisor, ticks

def breaks(owner, name):
    """Let a function fail in the thread that is to end, once it is time."""
    whole = getattr(owner, name)
    def broken(*words, **named):
        own, ends = threading.current_thread().name, os.environ["ENDS"]
        if (own == ends or own.startswith(ends) and ends.endswith("-")) and os.path.exists(os.environ["WHEN"]):
            raise LookupError("a fault that nobody thought of")
        return whole(*words, **named)
    setattr(owner, name, broken)

for owner, name in (
    (ticks.Worker, "tick"),
    (supervisor.Supervisor, "_hear"),
    (reload, "check_changeable"),
    (metrics._Server, "handle_request"),
    (camera.Reader, "run"),
    (hints._Hints, "dispatch"),
    (link, "Incoming"),
):
    breaks(owner, name)
'''
"""Python runs this before the daemon; the faults are at the seams that every thread of its kind passes."""
STAGES = ("intake", "inspect", "deadline", "upkeep", "archive", "collect", "results", "state", "plc")
OTHERS = (f"{STATION} camera", STATION, "reload", "metrics", "paho-mqtt-client-", "Thread-")
"""The last one is watchdog's."""
THREADS = (*(f"{STATION} {stage}" for stage in STAGES), *OTHERS)
CAMERA = 'kind = "capture"\ndevice = "/dev/no-camera"'


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker."""
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.mark.parametrize("ends", THREADS)
def test_whichever_thread_ends_the_process_ends(bundle: Bundle, broker: Mosquitto, tmp_path: Path, ends: str) -> None:
    """Exit status 70 for systemd, the fault in the log, and nobody is told that the station is there or ready."""
    (tmp_path / "plant").mkdir()
    (tmp_path / "plant" / "sitecustomize.py").write_text(PLANT)
    environment = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "plant"), os.environ.get("PYTHONPATH", "")]),
        "ENDS": ends,
        "WHEN": str(tmp_path / "now"),
    }
    source = {"source": CAMERA} if ends.endswith(" camera") else {}
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port, **source)
    config.write_text(config.read_text() + f"[metrics]\nport = {free_port()}\n")
    with Subscriber(broker.port) as heard, Daemon(config, environment) as daemon:
        daemon.start()
        until(lambda: heard.last("availability") == "online", "the station is there")
        until(lambda: source or heard.last("plc/ready") == "1", "and ready")
        (tmp_path / "now").touch()
        os.kill(daemon.pid, signal.SIGHUP)  # for the thread that reloads
        drop(tmp_path / "inbox", "one.png", png(a_part(1)))  # for the one that watches the folder
        heard.send("cmd/self_check", "{}")  # for the one that hears the broker
        status = daemon.wait()
        until(lambda: heard.last("plc/ready") == "0", "not ready")
        until(lambda: heard.last("availability") == "offline", "offline")

    assert status == SOFTWARE
    assert "a fault that nobody thought of" in daemon.words()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_is_seen_to_end_though_nothing_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory even the traceback may fail."""

    def fail(_args: threading.ExceptHookArgs) -> None:
        raise MemoryError

    crashed, stop = threading.Event(), threading.Event()
    monkeypatch.setattr(threading, "excepthook", fail)
    with crash_watch(crashed, stop):
        thread = threading.Thread(target=lambda: int("x"))
        thread.start()
        thread.join()

    assert crashed.is_set()
    assert stop.is_set()
