"""Faults of the folder and of the pictures in it, on the real process."""

import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from brokers import Mosquitto, until
from daemons import Subscriber, drop
from faults.rig import BAD, GOOD, Rig, is_root, pass_time
from line.stations import Bench, wait_until_ready

from edge_inspector.line import folder

Record = Callable[[str, object], None]
FLOOD = 10_000


@pytest.mark.fault("inbox removed and brought back")
def test_an_inbox_that_goes_away(line: Rig, record_property: Record) -> None:
    """DEGRADED and not ready while it is away; afterwards as before."""
    line.begin("inbox")
    line.send(8)
    until(lambda: line.sent[-1] in line.scada.by_serial(), "the last of the first parts")
    shutil.rmtree(line.inbox)
    until(lambda: line.scada.last("plc/ready") == "0", "not ready", 20)
    line.inbox.mkdir()

    recovery = line.recovered(time.monotonic())
    line.send(8)
    line.account(record_property, recovery)


@pytest.mark.slow
@pytest.mark.fault("inbox moved away with pictures in it and brought back")
def test_an_inbox_that_is_moved_away(line: Rig, record_property: Record) -> None:
    """What was in it is judged when it is back."""
    line.begin("moved")
    line.send(4)
    away = line.inbox.with_name("away")
    line.inbox.rename(away)
    for _ in range(6):
        serial, content = line.part()
        (away / f"{serial}.png").write_bytes(content)
    until(lambda: line.scada.last("plc/ready") == "0", "not ready", 20)
    away.rename(line.inbox)

    recovery = line.recovered(time.monotonic())
    line.account(record_property, recovery)


@pytest.mark.slow
@pytest.mark.fault("files growing slowly")
def test_files_that_grow_slowly(line: Rig, record_property: Record) -> None:
    """A picture is taken when it is whole, not when it appears."""
    line.begin("growing")
    for _ in range(3):
        serial, content = line.part()
        with (line.inbox / f"{serial}.png").open("wb", buffering=0) as file:
            for at in range(0, len(content), len(content) // 4 + 1):
                file.write(content[at : at + len(content) // 4 + 1])
                pass_time(0.12)

    line.account(record_property, None)


@pytest.mark.fault("same name again, equal and other content")
def test_the_same_name_again(line: Rig, record_property: Record) -> None:
    """Identity is arrival: each is a part of its own with an answer of its own."""
    line.begin("again")
    before = line.in_ledger()
    for content in (GOOD[0], GOOD[0], GOOD[1]):
        count = line.in_ledger()
        drop(line.inbox, "again-0000.png", content)
        until(lambda was=count: line.in_ledger() == was + 1, "its answer")
    mine = until(lambda: [r for r in line.scada.results if r["serial"] == "again-0000"][2:] and line.scada.results, "3")
    ids = {result["id"] for result in mine if result["serial"] == "again-0000"}
    for column, value in (("parts in", 3), ("results out", len(ids)), ("duplicates", 0), ("wrong verdicts", 0)):
        record_property(column, value)

    assert len(ids) == line.in_ledger() - before == 3
    assert {result["verdict"] for result in mine if result["serial"] == "again-0000"} == {"OK"}


@pytest.mark.fault("`image.jpg` overwritten in place while being read")
def test_a_picture_that_is_overwritten(line: Rig, record_property: Record) -> None:
    """A half picture is INVALID, never OK by luck; the last one that was written is judged."""
    count = 40
    for number in range(count):
        _overwrite(line, GOOD[number % len(GOOD)] if number < count - 1 else BAD[0])
    until(lambda: not (line.inbox / "image.png").exists(), "the last one is taken")
    until(lambda: not list((line.inbox / ".claimed").iterdir()), "and answered", 30)
    results = {r["id"]: r for r in line.scada.results if r["serial"] == "image"}
    last = max(results.values(), key=lambda result: result["seq"])
    wrong = [r for r in results.values() if r["verdict"] not in ("OK", "NG", "INVALID")]
    for column, value in (
        ("parts in", f"{count} writes"),
        ("results out", len(results)),
        ("wrong verdicts", len(wrong)),
    ):
        record_property(column, value)

    assert last["verdict"] in ("NG", "INVALID")
    assert wrong == []


def _overwrite(line: Rig, content: bytes) -> None:
    with (line.inbox / "image.png").open("wb", buffering=0) as file:
        half = len(content) // 2
        file.write(content[:half])
        pass_time(0.004)
        file.write(content[half:])
    pass_time(0.01)


@pytest.mark.slow
@pytest.mark.fault("inotify queue overflow")
def test_events_that_are_lost(line: Rig, record_property: Record) -> None:
    """Events are hints: 20,000 of them overflow the queue, and the scan finds the parts."""
    line.begin("overflow")
    a, b = line.inbox / "noise.a", line.inbox / "noise.b"
    a.write_bytes(b"")
    os.kill(line.daemon.pid, signal.SIGSTOP)
    try:
        for _ in range(10_000):
            a.rename(b)
            b.rename(a)
        line.send(10, every_s=0)
    finally:
        os.kill(line.daemon.pid, signal.SIGCONT)
    begun = time.monotonic()
    a.unlink()

    line.account(record_property, line.recovered(begun))


@pytest.mark.slow
@pytest.mark.fault("out of file descriptors")
def test_no_descriptors_left(line: Rig, record_property: Record) -> None:
    """What cannot be opened is ERROR or waits; the process lives, and goes on when there are descriptors again."""
    line.begin("descriptors")
    line.send(4)
    pid = line.daemon.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    line.send(8)
    pass_time(1.0)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    line.account(record_property, line.recovered(time.monotonic()))
    assert line.daemon.pid == pid


@pytest.mark.slow
@pytest.mark.fault("10,000 files at once")
def test_ten_thousand_files(line: Rig, record_property: Record) -> None:
    """They are judged one after the other, each once; the newest part waits for them, and is for the record."""
    line.begin("flood")
    before = line.in_ledger()
    for number in range(FLOOD):
        serial = f"flood-{number:05d}"
        line.sent.append(serial)
        path = line.inbox.with_name("flood.part")
        path.write_bytes(GOOD[number % len(GOOD)])
        path.rename(line.inbox / f"{serial}.png")
    begun = time.monotonic()
    wanted = set(line.sent)
    until(lambda: line.in_ledger() - before >= FLOOD, "all answers", 580)
    until(lambda: len(line.scada.heard) and wanted <= line.scada.by_serial().keys(), "and their delivery", 60)

    line.account(record_property, time.monotonic() - begun)


@pytest.mark.fault("inbox unreadable")
@pytest.mark.skipif(is_root(), reason="root may read everything; removed and read-only inboxes stand for it")
def test_an_inbox_that_may_not_be_read(line: Rig, record_property: Record) -> None:
    """Not ready until it may be read again."""
    line.begin("unreadable")
    line.send(4)
    line.inbox.chmod(0)
    until(lambda: line.scada.last("plc/ready") == "0", "not ready", 20)
    line.inbox.chmod(0o755)

    line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.slow
@pytest.mark.fault("share that hangs (file operations held up in this process)")
def test_a_share_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record) -> None:
    """A listing that does not return: the intake stops ticking, the station says so and is not ready, until it does."""
    comes_back, listing = threading.Event(), os.scandir
    comes_back.set()

    def scandir(path: Path) -> object:
        assert comes_back.wait(120)
        return listing(path)

    monkeypatch.setattr(folder, "os", SimpleNamespace(**{**vars(os), "scandir": scandir}))
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker.port) as heard,
        Bench(tmp_path, broker.port) as bench,
    ):
        wait_until_ready(heard)
        bench.send("before")
        heard.wait_for_results(["before"])
        comes_back.clear()
        until(lambda: heard.last("plc/ready") == "0", "not ready", 40)
        until(lambda: "stuck" in heard.last("alarms")["active"], "the alarm")
        bench.send("meanwhile")
        begun = time.monotonic()
        comes_back.set()
        heard.wait_for_results(["before", "meanwhile"])
        until(lambda: heard.last("plc/ready") == "1", "ready again", 20)
        took = time.monotonic() - begun
    for column, value in (("parts in", 2), ("results out", len(heard.by_serial())), ("recovery s", f"{took:.1f}")):
        record_property(column, value)
    for column in ("duplicates", "wrong verdicts", "errors"):
        record_property(column, len(heard.results) - 2 if column == "duplicates" else 0)

    assert len(heard.results) == 2
    assert {result["verdict"] for result in heard.results} == {"OK"}
