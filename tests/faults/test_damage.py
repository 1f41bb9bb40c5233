"""A ledger whose file was spoiled, on the real process."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from brokers import comes, until
from daemons import STATION
from faults.rig import Rig, running

from edge_inspector.bundle import Bundle

Record = Callable[[str, object], None]


@pytest.mark.slow
@pytest.mark.fault("database truncated between two runs")
@pytest.mark.parametrize("keep", [100, 5000])
def test_a_truncated_database(bundle: Bundle, tmp_path: Path, record_property: Record, keep: int) -> None:
    """It is set aside with an alarm; never begun anew in silence, and no part is without an answer."""
    with running(tmp_path, bundle) as line:
        _fill(line, "cut")
        line.daemon.kill()
        with _ledger(line).open("rb+") as file:
            file.truncate(keep)
        _log(line).unlink(missing_ok=True)
        line.send(4)

        _is_set_aside(line, record_property)


@pytest.mark.slow
@pytest.mark.fault("database bit-flipped between two runs: one bit in the head of each page")
def test_a_database_with_flipped_bits(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """It is found at the start, set aside with an alarm, and a new one begun."""
    with running(tmp_path, bundle) as line:
        _fill(line, "flip")
        line.daemon.kill()
        _write_back(line)
        _flip_heads(line)
        line.send(4)

        _is_set_aside(line, record_property)


@pytest.mark.slow
@pytest.mark.fault("database bit-flipped while running: one bit in the head of each page")
def test_bits_that_flip_while_running(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """The first page that is read wrong ends the process; the next start sets the ledger aside."""
    with running(tmp_path, bundle) as line:
        _fill(line, "live")
        _write_back(line)
        _flip_heads(line)
        line.send(4)
        assert line.daemon.wait() != 0  # systemd starts it again

        _is_set_aside(line, record_property)


@pytest.mark.slow
@pytest.mark.fault("database bit-flipped between two runs: one bit of a result")
def test_a_flipped_bit_in_a_result(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """SQLite cannot see it; the line goes on, and the chain tells that this record was changed."""
    with running(tmp_path, bundle) as line:
        _fill(line, "text")
        line.daemon.kill()
        _write_back(line)
        content = bytearray(_ledger(line).read_bytes())
        at = content.index(b'"serial":"text-0002"') + len('"serial":"text-000')
        content[at] ^= 1
        _ledger(line).write_bytes(content)
        line.send(4)
        line.daemon.start()

        line.account(record_property, line.recovered(time.monotonic()))
        said = _verify(line)
        assert said.returncode == 1
        assert json.loads(said.stdout)["problem"]


@pytest.mark.slow
@pytest.mark.fault("write-ahead log bit-flipped between two runs")
@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_in_the_log(bundle: Bundle, tmp_path: Path, record_property: Record, seed: int) -> None:
    """SQLite reads the log up to there and no further: what was answered and delivered stays answered once."""
    with running(tmp_path, bundle) as line:
        _fill(line, f"log{seed}")
        line.daemon.kill()
        content = bytearray(_log(line).read_bytes())
        bit = Random(seed).randrange(8 * len(content))  # noqa: S311 - where
        content[bit // 8] ^= 1 << bit % 8
        _log(line).write_bytes(content)
        line.send(4)
        status = _launch(line)
        if status:
            line.daemon.wait()
            line.daemon.start()

        line.account(record_property, line.recovered(time.monotonic()))


def _fill(line: Rig, row: str) -> None:
    line.begin(row)
    line.send(8)
    line.scada.wait_for_results(line.sent)
    until(lambda: line.scada.last("health")["undelivered"]["count"] == 0, "everything is acknowledged")


def _ledger(line: Rig) -> Path:
    return line.state / STATION / "ledger.db"


def _log(line: Rig) -> Path:
    return line.state / STATION / "ledger.db-wal"


def _write_back(line: Rig) -> None:
    """Have all of the log written into the database, where the bits are flipped."""
    with closing(sqlite3.connect(_ledger(line), isolation_level=None)) as ledger:
        until(lambda: ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "nobody reads the log")


def _flip_heads(line: Rig) -> None:
    """Flip a bit in the cell count of each page behind the first."""
    content = bytearray(_ledger(line).read_bytes())
    size = int.from_bytes(content[16:18], "big")
    assert len(content) > 4 * size
    for at in range(size, len(content), size):
        content[at + 3] ^= 0x40
    with _ledger(line).open("rb+") as file:
        file.write(content)


def _is_set_aside(line: Rig, record: Record) -> None:
    """Start, see the alarm and the old ledger kept, and account for every part."""
    begun = time.monotonic()
    line.daemon.start()
    line.account(record, line.recovered(begun))
    until(lambda: "ledger_new" in line.scada.last("alarms")["active"], "the alarm")
    assert list(_ledger(line).parent.glob("ledger.db.damaged-*"))


def _launch(line: Rig) -> int:
    """Return the exit status of a daemon that ends within a few seconds, 0 for one that is at work."""
    line.daemon.launch()
    process = line.daemon._process
    assert process is not None
    until(lambda: process.poll() is not None or "READY=1" in line.daemon.told, "an end or READY")
    comes(lambda: process.poll() is not None, 3)
    return process.poll() or 0


def _verify(line: Rig) -> "subprocess.CompletedProcess[str]":
    words = ("history", "--config", str(line.daemon.config), "--verify", "--json")
    command = [sys.executable, "-m", "edge_inspector.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)
