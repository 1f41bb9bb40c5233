"""Nothing fills up: what is too old or too much goes, space is held back, and a low disk is an alarm."""

import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import until
from factories import a_result_builder

from edge_inspector.errors import DiskError
from edge_inspector.line.ledger.history import verify
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.line.ledger.reserve import Reserve
from edge_inspector.line.ledger.upkeep import Upkeep
from edge_inspector.line.ticks import Fault, Worker
from edge_inspector.settings import LedgerSettings

DAY = 86_400_000_000_000
NOW = 1_700_000_000_000_000_000


def fill(ledger: Ledger, parts: int, first: int = 0) -> None:
    """Record so many results, all delivered."""
    for number in range(first, first + parts):
        ledger.results.record(a_result_builder(id=f"a{number}"), bytes(20_000))
    ledger.outbox.move_cursor(ledger.outbox.newest())


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a ledger whose clock stands."""
    with open_ledger(tmp_path / "ledger.db", lambda: "ledger-1", lambda: NOW) as opened:
        yield opened


def test_what_is_too_much_goes_oldest_first(ledger: Ledger, tmp_path: Path) -> None:
    """At most so many results stay; the chain of those that stay is unbroken."""
    fill(ledger, 50)

    while ledger.outbox.retire(0, 20, most=7):
        pass

    kept = [entry.id for entry in ledger.outbox.entries_after(0, 100)]
    assert kept == [f"a{number}" for number in range(30, 50)]
    assert verify(tmp_path / "ledger.db").problem == ""
    assert verify(tmp_path / "ledger.db").records == 20
    assert ledger.counters.since_reset(0).total == 50


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """By the time at which it was recorded."""
    with open_ledger(tmp_path / "ledger.db", lambda: "ledger-1", lambda: NOW - 10 * DAY) as early:
        fill(early, 5)
        early.audit.record("pause", "anna", "done", "{}")
    with open_ledger(tmp_path / "ledger.db", lambda: "ledger-1", lambda: NOW) as ledger:
        fill(ledger, 5, first=5)
        ledger.audit.record("resume", "anna", "done", "{}")

        removed = ledger.outbox.retire(NOW - 9 * DAY, 1000), ledger.audit.retire(NOW - 9 * DAY, 1000)

        assert removed == (5, 1)
        assert [entry.id for entry in ledger.outbox.entries_after(0, 100)] == [f"a{number}" for number in range(5, 10)]
        assert ledger._db.execute("SELECT command FROM audit").fetchall() == [("resume",)]
    assert verify(tmp_path / "ledger.db").problem == ""


def test_what_waits_for_the_broker_stays(ledger: Ledger) -> None:
    """However old, however much: it goes only after it was delivered or passed over."""
    for number in range(10):
        ledger.results.record(a_result_builder(id=f"a{number}"), None)
    ledger.outbox.move_cursor(4)

    removed = ledger.outbox.retire(NOW + DAY, 1)

    assert removed == 4
    assert ledger.outbox.backlog().count == 6


def test_a_trigger_goes_with_its_result(ledger: Ledger) -> None:
    """An accepted trigger without a result counts as unanswered and would be answered a second time."""
    ledger.triggers.accept("a0", "7", "washer")
    ledger.triggers.accept("a99", "8", "washer")
    fill(ledger, 3)

    ledger.outbox.retire(NOW + DAY, 1)

    assert [row[0] for row in ledger.triggers.unanswered()] == ["a99"]
    assert ledger.triggers.retire(NOW + DAY) == 0


def test_answered_triggers_are_forgotten_after_a_day(ledger: Ledger) -> None:
    """A PLC numbers its parts for years; only what is not answered must be remembered."""
    ledger.triggers.accept("a0", "7", "washer")
    ledger.triggers.accept("a99", "8", "washer")
    fill(ledger, 1)

    assert ledger.triggers.retire(NOW + DAY) == 1
    assert [row[0] for row in ledger.triggers.unanswered()] == ["a99"]


class Bench:
    """Upkeep of a folder, with a wall clock that a test turns."""

    def __init__(self, folder: Path, **settings: Any) -> None:  # noqa: ANN401 - a test factory
        self.reports: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.upkeep = Upkeep(
            folder,
            LedgerSettings(**{"reserve_mb": 1, "alarm_free_mb": 1, **settings}),
            Worker("upkeep", self.stop, self.reports, time.monotonic_ns),
            lambda: open_ledger(folder / "ledger.db", lambda: "ledger-1", lambda: NOW),
            lambda: NOW,
        )

    def faults(self) -> dict[str, Fault]:
        """Return the newest of each fault."""
        found: dict[str, Fault] = {}
        while not self.reports.empty():
            report = self.reports.get()
            if isinstance(report, Fault):
                found[report.code] = report
        return found


def test_space_is_held_back(tmp_path: Path) -> None:
    """As much as the setting says, and really allocated."""
    bench = Bench(tmp_path)

    bench.upkeep._mind_the_disk()

    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 1_000_000
    assert not any(fault.active for fault in bench.faults().values())


def test_a_low_disk_is_an_alarm(tmp_path: Path) -> None:
    """It says how much is free, where, and what the limit is."""
    bench = Bench(tmp_path, alarm_free_mb=10_000_000)

    bench.upkeep._mind_the_disk()
    low = bench.faults()["disk_low"]

    assert low.active
    assert str(tmp_path) in low.message


def test_rows_are_kept_at_their_limit_while_it_runs(tmp_path: Path) -> None:
    """The loop itself does it, and a clock that just began is not trusted with removing what is old."""
    with open_ledger(tmp_path / "ledger.db", lambda: "ledger-1", lambda: NOW - 900 * DAY) as ledger:
        ledger._db.execute("PRAGMA synchronous=OFF")  # the test's own haste
        fill(ledger, 1200)
        bench = Bench(tmp_path, keep_rows=1000, undelivered_rows=1000)
        thread = threading.Thread(target=bench.upkeep.run)
        thread.start()
        try:
            until(lambda: len(ledger.outbox.entries_after(0, 2000)) == 1000, "the ledger has 1000 lines")
        finally:
            bench.stop.set()
            thread.join()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 6 MB; needs root."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system needs root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_takes_the_reserve_first(small_disk: Path) -> None:
    """Whoever fills the disk, the next verdict is committed all the same, without a retry by who asked."""
    assert Reserve(small_disk / "reserve").hold(2_000_000)
    with open_ledger(small_disk / "ledger.db", lambda: "ledger-1", lambda: NOW) as ledger:
        ledger.results.record(a_result_builder(id="first"), None)
        free = shutil.disk_usage(small_disk).free
        (small_disk / "fill").write_bytes(bytes(free))
        count = 0
        while (small_disk / "reserve").exists():
            count += 1
            assert ledger.results.record(a_result_builder(id=f"a{count}"), bytes(20_000)) is not None
        after = [ledger.results.record(a_result_builder(id=f"b{number}"), None) for number in range(10)]
        with pytest.raises(DiskError, match="full"):
            fill(ledger, 10_000, first=1000)
        (small_disk / "fill").unlink()
        recovered = ledger.results.record(a_result_builder(id="last"), None)

    assert all(after)
    assert recovered is not None
    assert verify(small_disk / "ledger.db").problem == ""


def test_the_log_beside_the_ledger_stays_small(ledger: Ledger, tmp_path: Path) -> None:
    """The write-ahead log is written back, and shortened after a large commit."""
    ledger.results.record(a_result_builder(id="large"), bytes(30_000_000))
    before = (tmp_path / "ledger.db-wal").stat().st_size
    for number in range(3):
        ledger.results.record(a_result_builder(id=f"b{number}"), None)

    assert before > 30_000_000
    assert (tmp_path / "ledger.db-wal").stat().st_size <= 16_000_000
