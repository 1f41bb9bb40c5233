"""Faults of the disks, on the real process."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from brokers import until
from daemons import STATION
from faults.rig import Rig, pass_time, running

from edge_inspector.bundle import Bundle

Record = Callable[[str, object], None]


def _mount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.fault("disk full for the inbox")
def test_a_full_inbox(bundle: Bundle, small_disk: Path, tmp_path: Path, record_property: Record) -> None:
    """What is there is judged; a picture that can be neither moved nor claimed waits, and nothing is lost."""
    inbox = small_disk / "inbox"
    inbox.mkdir()
    with running(tmp_path, bundle, inbox=inbox) as line:
        line.begin("fullbox")
        line.send(4)
        filler = small_disk / "filler"
        _fill(filler)
        pass_time(1.0)
        filler.unlink()
        begun = time.monotonic()
        line.send(4)

        line.account(record_property, line.recovered(begun))


@pytest.mark.slow
@pytest.mark.fault("disk full for the database")
def test_a_full_database(bundle: Bundle, small_disk: Path, tmp_path: Path, record_property: Record) -> None:
    """Nothing is judged, the PLC sends no parts, the process lives; with room again no part is missing."""
    with running(tmp_path, bundle, state=small_disk / "state") as line:
        line.begin("fulldb")
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        _fill(small_disk / "filler")
        line.send(20)
        until(lambda: line.scada.last("plc/ready") == "0", "not ready", 30)
        (small_disk / "filler").unlink()

        line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.slow
@pytest.mark.fault("read-only file system for the database, at a start")
def test_a_read_only_database(bundle: Bundle, small_disk: Path, tmp_path: Path, record_property: Record) -> None:
    """The start is refused in words, exit 74; parts wait in the inbox until it can be written again."""
    with running(tmp_path, bundle, state=small_disk / "state") as line:
        line.begin("rodb")
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        line.daemon.kill()
        _mount(small_disk, "ro")
        line.send(4)

        assert line.daemon.launch().wait() == 74

        _mount(small_disk, "rw")
        line.daemon.start()
        line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.slow
@pytest.mark.fault("read-only file system for the inbox")
def test_a_read_only_inbox(bundle: Bundle, small_disk: Path, tmp_path: Path, record_property: Record) -> None:
    """A picture that cannot be claimed is not judged; it waits."""
    inbox = small_disk / "inbox"
    inbox.mkdir()
    with running(tmp_path, bundle, inbox=inbox) as line:
        line.begin("robox")
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        os.kill(line.daemon.pid, signal.SIGSTOP)
        line.send(4)
        _mount(small_disk, "ro")
        os.kill(line.daemon.pid, signal.SIGCONT)
        until(lambda: line.scada.last("plc/ready") == "0", "not ready", 30)
        _mount(small_disk, "rw")

        line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.slow
@pytest.mark.fault("database locked by another process for 13 s")
def test_a_locked_database(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """Longer than SQLite waits: ERROR and not ready, then everything is answered."""
    with running(tmp_path, bundle) as line:
        line.begin("locked")
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        with closing(sqlite3.connect(line.state / STATION / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            line.send(4)
            pass_time(13)
            other.execute("ROLLBACK")

        line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.slow
@pytest.mark.fault("database truncated between two runs")
@pytest.mark.parametrize("keep", [100, 5000])
def test_a_truncated_database(bundle: Bundle, tmp_path: Path, record_property: Record, keep: int) -> None:
    """It is refused in words or set aside; never begun anew in silence with an answer for no part."""
    with running(tmp_path, bundle) as line:
        line.begin("cut")
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        line.daemon.kill()
        folder = line.state / STATION
        with (folder / "ledger.db").open("rb+") as file:
            file.truncate(keep)
        (folder / "ledger.db-wal").unlink(missing_ok=True)
        line.send(4)
        line.daemon.launch()
        status = _status_or_ready(line)
        assert status in (0, 70, 74)
        if status:
            line.daemon.wait()
            assert "ledger" in line.daemon.words()
            for path in folder.glob("ledger.db*"):
                path.rename(path.with_name(f"{path.name}.damaged"))  # as the message says
            line.daemon.start()

        line.account(record_property, line.recovered(time.monotonic()))


def _status_or_ready(line: Rig) -> int:
    """Return the exit status of a daemon that ends within a few seconds, 0 for one that is at work."""
    process = line.daemon._process
    assert process is not None
    until(lambda: process.poll() is not None or "READY=1" in line.daemon.told, "an end or READY", 40)
    with suppress(AssertionError):
        until(lambda: process.poll() is not None, "an end", 3)
    return process.poll() or 0


def _fill(path: Path) -> None:
    """Write until the disk is full to the last byte."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
