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
from faults.rig import Rig, running

from edge_inspector.bundle import Bundle

Record = Callable[[str, object], None]


def _mount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.fault("disk full for the inbox")
def test_a_full_inbox(bundle: Bundle, small_disk: Path, tmp_path: Path, record_property: Record) -> None:
    """A picture of which the disk took half is not OK; those that the camera could not write come when it can."""
    inbox = small_disk / "inbox"
    inbox.mkdir()
    with running(tmp_path, bundle, inbox=inbox) as line:
        line.begin("fullbox")
        line.send(4)
        filler = small_disk / "filler"
        _fill(filler, spare=8192)
        cut = [_write_in_place(line) for _ in range(2)]
        line.scada.wait_for_results(serial for serial, _ in cut)
        waiting = [line.part() for _ in range(4)]
        for serial, content in waiting:
            with pytest.raises(OSError, match="No space left"):
                line.put(serial, content)
        filler.unlink()
        begun = time.monotonic()
        for serial, content in waiting:
            line.put(serial, content)

        results = line.account(record_property, line.recovered(begun))
    halves = {result["serial"]: result["verdict"] for result in results}
    assert any(not whole for _, whole in cut)
    assert {halves[serial] for serial, whole in cut if not whole} <= {"INVALID", "ERROR"}


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
        until(lambda: line.scada.last("plc/ready") == "0", "not ready")
        (small_disk / "filler").unlink()

        line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.slow
@pytest.mark.fault("disk full for the archive (no bytes, then no names left)")
def test_a_full_archive(bundle: Bundle, small_disk: Path, tmp_path: Path, record_property: Record) -> None:
    """It costs pictures and never a verdict: ready all the time, an alarm while it lasts, and kept again after it."""
    keys = f'[archive]\noverlays = "all"\nmin_free_mb = 1\npath = "{small_disk}"'
    with running(tmp_path, bundle, keys=keys) as line:
        line.begin("archive")
        line.send(4)
        until(lambda: list(small_disk.rglob("*-overlay.jpg")), "pictures are kept")
        filler = small_disk / "filler"
        _fill(filler)
        line.send(8)
        until(lambda: "archive" in line.scada.last("alarms")["active"], "the alarm")
        line.scada.wait_for_results(line.sent)
        filler.unlink()
        _until_kept_again(line)

        _mount(small_disk, "nr_inodes=200")
        names = _use_up_names(small_disk)
        line.send(8)
        until(lambda: "archive" in line.scada.last("alarms")["active"], "the alarm again")
        line.scada.wait_for_results(line.sent)
        for name in names:
            name.unlink()
        took = _until_kept_again(line)

        results = line.account(record_property, took)
        assert not any(result["replayed"] for result in results)
        assert line.scada.payloads("plc/ready")[line.scada.payloads("plc/ready").index(b"1") :] == [b"1"]
        assert line.scada.last("health")["archive"]["dropped"] > 0


def _until_kept_again(line: Rig) -> float:
    """Return the seconds until a picture is kept again: only that ends the alarm."""
    begun = time.monotonic()

    def is_kept() -> bool:
        serial, content = line.part(bad=False)
        line.put(serial, content)
        line.scada.wait_for_results([serial])
        return "archive" not in line.scada.last("alarms")["active"]

    until(is_kept, "pictures are kept again")
    return time.monotonic() - begun


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
        until(lambda: line.scada.last("plc/ready") == "0", "not ready")
        _mount(small_disk, "rw")

        line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.slow
@pytest.mark.fault("database locked by another process until we are not ready")
def test_a_locked_database(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """Longer than SQLite waits: not ready while it lasts, then everything is answered."""
    with running(tmp_path, bundle) as line:
        line.begin("locked")
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        with closing(sqlite3.connect(line.state / STATION / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            line.send(4)
            until(lambda: line.scada.last("plc/ready") == "0", "not ready")
            other.execute("ROLLBACK")

        line.account(record_property, line.recovered(time.monotonic()))


def _fill(path: Path, spare: int = 0) -> None:
    """Write until the disk is full but for some bytes."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - spare)


def _use_up_names(folder: Path) -> list[Path]:
    """Make files until the file system has room for no other, and return them."""
    made = []
    with suppress(OSError):
        while True:
            path = folder / f"name-{len(made)}"
            path.touch()
            made.append(path)
    return made


def _write_in_place(line: Rig) -> tuple[str, bool]:
    """Have a camera without manners write a good part's picture; return its serial, and whether all of it is there."""
    serial, content = line.part(bad=False)
    try:
        with (line.inbox / f"{serial}.png").open("wb", buffering=0) as file:
            for at in range(0, len(content), 1024):
                file.write(content[at : at + 1024])
    except OSError:
        line.bad.add(serial)  # whoever says OK to half a picture is wrong
        return serial, False
    return serial, True
