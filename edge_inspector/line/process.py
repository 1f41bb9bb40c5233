"""One process: its lock, its signals, its end when a thread dies, and the ids that it gives."""

import fcntl
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from edge_inspector.errors import DiskError, SettingsError

SOFTWARE = 70
"""Exit status when a thread died of a fault of ours; systemd starts the service again."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the state folder: two daemons would answer each part twice."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise DiskError(f"state_dir {folder}: {error.filename}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"another daemon uses state_dir {folder}: stop it or give this one its own") from error
        yield


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
        try:
            previous(args)
        finally:  # without memory not even a traceback may come out
            crashed.set()
            stop.set()

    threading.excepthook = end
    try:
        yield
    finally:
        threading.excepthook = previous


def new_arrival_id() -> str:
    """Return an id that sorts by time and that no other arrival has."""
    return f"{time.time_ns():016x}{os.urandom(8).hex()}"
