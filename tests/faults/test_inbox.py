"""Faults of the folder and of the images in it, on the real process."""

import ctypes
import os
import resource
import shutil
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from brokers import Mosquitto, until
from daemons import Heard, Subscriber, drop
from faults.rig import BAD, GOOD, Rig, is_root, pass_time, running
from line.stations import Bench, wait_until_ready
from plc import Plc

from edge_inspector.bundle import Bundle
from edge_inspector.line.sources import listing

Record = Callable[[str, object], None]
FLOOD = 10_000
_MOVES, _OVERFLOW = 0xC0, 0x4000
"""Of inotify(7)."""


@pytest.mark.fault("inbox removed and brought back")
def test_an_inbox_that_goes_away(line: Rig, record_property: Record) -> None:
    """DEGRADED and not ready while it is away; afterwards as before."""
    line.begin("inbox")
    line.send(8)
    until(lambda: line.sent[-1] in line.scada.by_serial(), "the last of the first parts")
    shutil.rmtree(line.inbox)
    until(lambda: line.scada.last("plc/ready") == "0", "not ready")
    line.inbox.mkdir()

    recovery = line.recovered(time.monotonic())
    line.send(8)
    line.account(record_property, recovery)


@pytest.mark.slow
@pytest.mark.fault("inbox moved away with images in it and brought back")
def test_an_inbox_that_is_moved_away(line: Rig, record_property: Record) -> None:
    """What was in it is judged when it is back."""
    line.begin("moved")
    line.send(4)
    away = line.inbox.with_name("away")
    line.inbox.rename(away)
    for _ in range(6):
        serial, content = line.part()
        (away / f"{serial}.png").write_bytes(content)
    until(lambda: line.scada.last("plc/ready") == "0", "not ready")
    away.rename(line.inbox)

    recovery = line.recovered(time.monotonic())
    line.account(record_property, recovery)


@pytest.mark.slow
@pytest.mark.fault("files growing slowly")
def test_files_that_grow_slowly(line: Rig, record_property: Record) -> None:
    """An image is taken when it is whole, not when it appears."""
    line.begin("growing")
    for _ in range(3):
        serial, content = line.part()
        with (line.inbox / f"{serial}.png").open("wb", buffering=0) as file:
            for at in range(0, len(content), len(content) // 4 + 1):
                file.write(content[at : at + len(content) // 4 + 1])
                pass_time(0.12)

    line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.fault("same name again, with equal and with other content")
def test_the_same_name_again(line: Rig, record_property: Record) -> None:
    """Identity is arrival: each is a part of its own with an answer of its own, and the PLC acts on that one."""
    line.begin("again")
    contents = (GOOD[0], GOOD[0], BAD[0], BAD[0], GOOD[1], GOOD[0])
    accepted = []
    for number, content in enumerate(contents):
        with line.news:
            line.plc.expect(time.monotonic(), serial="again")
        drop(line.inbox, "again.png", content)
        until(lambda count=number + 1: len(_of(line, "again")) == count, "its answer")
        pass_time(0.2)  # the PLC has its word
        accepted.append(line.plc.accepted.count("again") - sum(accepted))
    found = _of(line, "again").values()
    wrong = [one for one, content in zip(found, contents, strict=True) if (one["verdict"] == "OK") != (content in GOOD)]
    _record(
        record_property,
        parts_in=len(contents),
        results=[one for one in line.scada.results if one["serial"] == "again"],
        wrong=len(wrong),
        wrong_accepts=sum(1 for count, content in zip(accepted, contents, strict=True) if count and content in BAD),
        recovery_s=line.recovered(time.monotonic()),
    )

    assert wrong == []
    assert [count for count, content in zip(accepted, contents, strict=True) if content in BAD] == [0, 0]
    assert max(accepted) <= 1


@pytest.mark.fault("`image.jpg` overwritten in place while being read")
def test_an_image_that_is_overwritten(line: Rig, record_property: Record) -> None:
    """A half image is INVALID, never OK by luck; the last one that was written is judged."""
    count, before = 40, line.in_ledger()
    with line.news:
        line.plc.expect(time.monotonic(), serial="image")
    accepted = line.plc.accepted.count("image")
    for number in range(count):
        _overwrite(line, GOOD[number % len(GOOD)] if number < count - 1 else BAD[0])
    until(lambda: not (line.inbox / "image.png").exists(), "the last one is taken")
    until(lambda: not list((line.inbox / ".claimed").iterdir()), "and answered")
    until(lambda: len(_of(line, "image")) == line.in_ledger() - before, "and delivered")
    results = _of(line, "image")
    last = max(results.values(), key=lambda result: result["seq"])
    wrong = [one for one in results.values() if one["verdict"] not in ("OK", "NG", "INVALID")]
    _record(
        record_property,
        parts_in=f"{count} writes",
        results=[one for one in line.scada.results if one["serial"] == "image"],
        wrong=len(wrong),
        wrong_accepts=max(0, line.plc.accepted.count("image") - accepted - 1),
        recovery_s=line.recovered(time.monotonic()),
    )

    assert last["verdict"] in ("NG", "INVALID")
    assert wrong == []


@pytest.mark.fault("poison file: a time, a name and a content that nothing can show")
def test_a_poison_file(line: Rig, record_property: Record) -> None:
    """It is answered like any other, and the process lives; at its next start, too."""
    line.begin("poison")
    pid = line.daemon.pid
    line.send(2)
    beside = line.inbox / ".poison.part"
    for serial, name, seconds in (
        ("year", b"year.png", 2**33),
        ("before", b"before.png", -(2**33)),
        ("b_d", b"b\xffd.png", 0),
    ):
        beside.write_bytes(GOOD[0])
        os.utime(beside, (seconds, seconds))
        os.rename(os.fsencode(beside), os.fsencode(line.inbox) + b"/" + name)  # noqa: PTH104
        until(lambda serial=serial: serial in line.scada.by_serial(), f"the answer of {serial}")
    line.send(2)

    line.account(record_property, line.recovered(time.monotonic()))
    assert line.daemon.pid == pid


@pytest.mark.fault("odd things in the inbox: socket, pipe, loop of links, day folder")
def test_odd_things_in_the_inbox(line: Rig, record_property: Record) -> None:
    """An alarm names them, what lies beside is judged; the alarm ends with them."""
    line.begin("odd")
    odd = line.inbox / "2026-01-31"
    odd.mkdir()
    (odd / "a.png").write_bytes(GOOD[0])
    os.mkfifo(line.inbox / "pipe")
    (line.inbox / "loop").symlink_to("loop")
    line.send(4)
    until(lambda: "passed_over" in line.scada.last("alarms")["active"], "the alarm")
    shutil.rmtree(odd)
    (line.inbox / "pipe").unlink()
    (line.inbox / "loop").unlink()
    begun = time.monotonic()
    until(lambda: "passed_over" not in line.scada.last("alarms")["active"], "the end of the alarm")

    line.account(record_property, line.recovered(begun))


def _of(line: Rig, serial: str) -> dict[str, dict[str, Any]]:
    """Return the results of a serial by id, oldest first."""
    return {one["id"]: one for one in line.scada.results if one["serial"] == serial}


def _record(
    record: Record,
    *,
    parts_in: object,
    results: list[dict[str, Any]],
    wrong: int,
    wrong_accepts: int,
    recovery_s: float,
) -> None:
    """Write a row whose parts have no serials of their own."""
    first = {one["id"]: one for one in results}
    record("parts in", parts_in)
    record("results out", len(first))
    record("duplicates", len(results) - len(first))
    record("wrong verdicts", wrong)
    record("errors", sum(one["verdict"] == "ERROR" for one in first.values()))
    record("wrong accepts", wrong_accepts)
    record("recovery s", f"{recovery_s:.1f}")


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
    """Events are hints: more of them than the kernel keeps, and the scan finds the parts."""
    line.begin("overflow")
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    a, b = line.inbox / "noise.a", line.inbox / "noise.b"
    a.write_bytes(b"")
    os.kill(line.daemon.pid, signal.SIGSTOP)
    with _unread_events(line.inbox) as overflowed:
        try:
            for _ in range(most // 4 + 100):  # two events each
                a.rename(b)
                b.rename(a)
            line.send(10, every_s=0)
        finally:
            os.kill(line.daemon.pid, signal.SIGCONT)
        begun = time.monotonic()
        a.unlink()
        assert overflowed()  # and so did the daemon's queue: it slept, too

    line.account(record_property, line.recovered(begun))


@contextmanager
def _unread_events(folder: Path) -> Iterator[Callable[[], bool]]:
    """Watch a folder as the daemon does and read nothing; gives what says whether events were lost."""
    c = ctypes.CDLL(None, use_errno=True)
    queue = c.inotify_init1(os.O_NONBLOCK)
    assert queue >= 0
    try:
        assert c.inotify_add_watch(queue, os.fsencode(folder), _MOVES) >= 0

        def overflowed() -> bool:
            while content := os.read(queue, 1 << 20):
                at = 0
                while at < len(content):
                    _, mask, _, length = struct.unpack_from("iIII", content, at)
                    if mask & _OVERFLOW:
                        return True
                    at += 16 + length
            return False

        yield overflowed
    finally:
        os.close(queue)


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
    until(lambda: len(line.scada.heard) and wanted <= line.scada.by_serial().keys(), "and their delivery")

    line.account(record_property, time.monotonic() - begun)


@pytest.mark.slow
@pytest.mark.fault("inbox unreadable")
def test_an_inbox_that_may_not_be_read(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """Not ready until it may be read again; root, who may read everything, runs the daemon without that right."""
    rights = "--bounding-set=-dac_override,-dac_read_search"
    prefix = ("setpriv", rights, "--inh-caps=-dac_override,-dac_read_search") if is_root() else ()
    with running(tmp_path, bundle, prefix=prefix) as line:
        line.begin("unreadable")
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        waiting = [line.part() for _ in range(4)]
        line.inbox.chmod(0)
        if is_root():
            for serial, content in waiting:
                line.put(serial, content)
        until(lambda: line.scada.last("plc/ready") == "0", "not ready")
        line.inbox.chmod(0o755)
        begun = time.monotonic()
        if not is_root():
            for serial, content in waiting:
                line.put(serial, content)

        line.account(record_property, line.recovered(begun))


@pytest.mark.slow
@pytest.mark.fault("share that hangs (file operations held up in this process)")
def test_a_share_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record) -> None:
    """A listing that does not return: the intake stops ticking, the station says so and is not ready, until it does."""
    comes_back, look = threading.Event(), os.scandir
    comes_back.set()

    def scandir(path: Path) -> object:
        assert comes_back.wait(120)
        return look(path)

    monkeypatch.setattr(listing, "os", SimpleNamespace(**{**vars(os), "scandir": scandir}))
    plc, news = Plc(), threading.Lock()

    def hear(said: Heard) -> None:
        with news:
            plc.hear(said.topic, said.payload, said.at)

    def send(bench: Bench, serial: str) -> None:
        with news:
            plc.expect(time.monotonic(), serial=serial)
        bench.send(serial)

    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker.port) as heard,
        Subscriber(broker.port, only="plc/#", hear=hear),
        Bench(tmp_path, broker.port) as bench,
    ):
        wait_until_ready(heard)
        send(bench, "before")
        heard.wait_for_results(["before"])
        comes_back.clear()
        until(lambda: heard.last("plc/ready") == "0", "not ready")
        until(lambda: "stuck" in heard.last("alarms")["active"], "the alarm")
        send(bench, "meanwhile")
        begun = time.monotonic()
        comes_back.set()
        heard.wait_for_results(["before", "meanwhile"])
        until(lambda: heard.last("plc/ready") == "1", "ready again")
        took = time.monotonic() - begun
    _record(
        record_property,
        parts_in=2,
        results=heard.results,
        wrong=sum(one["verdict"] != "OK" for one in heard.results),
        wrong_accepts=sum(not heard.by_serial()[serial]["accept"] for serial in plc.accepted),
        recovery_s=took,
    )

    assert len(heard.results) == 2
    assert {result["verdict"] for result in heard.results} == {"OK"}
