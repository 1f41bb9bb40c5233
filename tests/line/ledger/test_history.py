"""The quality engineer asks in six months; the answer comes at once, and a hand that changed a line is seen."""

import csv
import itertools
import json
import sqlite3
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from factories import a_result_builder
from typer.testing import CliRunner

from edge_inspector.cli import app
from edge_inspector.errors import DataError
from edge_inspector.inspection.model import Reason
from edge_inspector.line.ledger.history import Wanted, audit_trail, find, find_one, verify
from edge_inspector.line.ledger.ledger import open_ledger
from edge_inspector.wire.messages import utc

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a ledger with ten parts of two lots, a second apart, every third NG, and an audit trail."""
    folder = tmp_path / "state" / "st1"
    folder.mkdir(parents=True)
    clock = itertools.count()
    with open_ledger(folder / "ledger.db", lambda: "ledger-1", lambda: NOW + next(clock) * SECOND) as ledger:
        for number in range(10):
            reason = Reason.WITHIN_LIMIT if number % 3 else Reason.DEFECT
            serial = "=1+1" if number == 9 else f"SN{number}"
            values = {"id": f"a{number}", "serial": serial, "lot": f"L{number // 5}"}
            ledger.results.record(a_result_builder(**values, reason=reason), None)
        ledger.results.record_event(b'{"code": "source"}')
        ledger.audit.record("pause", "anna", "done", '{"by": "anna"}')
        ledger.audit.record("changeover", "ben", "done", '{"to": "nut"}')
        ledger.outbox.move_cursor(4)
    return folder / "ledger.db"


@pytest.mark.parametrize(
    ("wanted", "serials"),
    [
        (Wanted(serial="SN3"), ["SN3"]),
        (Wanted(lot="L0"), ["SN4", "SN3", "SN2", "SN1", "SN0"]),
        (Wanted(verdict="NG"), ["=1+1", "SN6", "SN3", "SN0"]),
        (Wanted(verdict="NG", lot="L0"), ["SN3", "SN0"]),
        (Wanted(part="nut"), []),
        (Wanted(since_ns=NOW + 3 * SECOND, until_ns=NOW + 5 * SECOND), ["SN3", "SN2"]),
        (Wanted(since_ns=NOW + 3 * SECOND, until_ns=NOW + 5 * SECOND, verdict="NG"), ["SN3"]),
    ],
)
def test_results_are_found_newest_first(path: Path, wanted: Wanted, serials: list[str]) -> None:
    """By serial, lot, part, verdict and time, and by all of them together."""
    assert [found.result.serial for found in find(path, wanted)] == serials


def test_when_the_broker_had_it_is_known(path: Path) -> None:
    """What was not acknowledged yet has no such time."""
    times = {found.result.id: found.published_at for found in find(path, Wanted())}

    assert times["a3"] > utc(NOW)
    assert times["a4"] == ""


def test_an_id_that_is_not_there_is_a_data_fault(path: Path, tmp_path: Path) -> None:
    """The message says what to do; so it does for a station that never ran."""
    assert find_one(path, "a2").result.serial == "SN2"
    with pytest.raises(DataError, match="no result 'a99'"):
        find_one(path, "a99")
    with pytest.raises(DataError, match="there is no ledger"):
        find_one(tmp_path / "none.db", "a2")


def test_the_audit_trail_says_who_and_when(path: Path) -> None:
    """Newest first."""
    found = [(line.command, line.by, line.status) for line in audit_trail(path, Wanted())]

    assert found == [("changeover", "ben", "done"), ("pause", "anna", "done")]


def test_an_untouched_ledger_is_unbroken(path: Path) -> None:
    """Results, events and audit trail."""
    assert verify(path).problem == ""
    assert verify(path).records == 13


@pytest.mark.parametrize(
    ("tampering", "problem"),
    [
        ("UPDATE entry SET payload = replace(payload, '\"NG\"', '\"OK\"') WHERE n = 4", "entry 4 was changed"),
        ("UPDATE entry SET recorded_ns = recorded_ns + 1 WHERE n = 4", "entry 4 was changed"),
        ("UPDATE entry SET verdict = 'OK' WHERE n = 4", "entry 4 is filed under other names"),
        ("UPDATE entry SET serial = 'SN8' WHERE n = 4", "entry 4 is filed under other names"),
        ("UPDATE entry SET id = 'b3' WHERE n = 4", "entry 4 was changed"),
        ("DELETE FROM entry WHERE n = 4", "entry 5 was changed, or one before it is gone"),
        ("DELETE FROM entry WHERE n = 1", "entry 2 was changed, or one before it is gone"),
        ("DELETE FROM entry WHERE n = 11", "entry: the newest are gone"),
        ("DELETE FROM entry WHERE n = 11; DELETE FROM audit WHERE n = 2", "entry: the newest are gone; audit: the"),
        ("UPDATE audit SET by = 'ben' WHERE n = 1", "audit 1 was changed"),
        ("DELETE FROM anchor; DELETE FROM audit", "audit: the newest are gone"),
    ],
)
def test_a_changed_record_is_seen(path: Path, tampering: str, problem: str) -> None:
    """Changed, filed elsewhere, taken out of the middle or off either end."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(tampering)

    assert verify(path).problem.startswith(problem)


def test_retention_does_not_break_the_chain(path: Path) -> None:
    """An anchor takes the place of what was removed; without it the chain is broken."""
    with open_ledger(path, lambda: "", lambda: NOW + 90 * SECOND) as ledger:
        assert ledger.outbox.retire(0, 9) == 2
        assert ledger.audit.retire(NOW + 80 * SECOND, 1000) == 2
        ledger.results.record(a_result_builder(id="new"), None)
    whole = verify(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE anchor SET n = 1 WHERE records = 'entry'")
        db.execute("DELETE FROM entry WHERE n = 3")
        db.commit()

    assert whole.problem == ""
    assert whole.records == 10
    assert "entry 4" in verify(path).problem


def fill(path: Path, count: int) -> None:
    """Write results as the ledger does, only faster: one commit, one payload with other names."""
    payload = a_result_builder(id="#")("ledger-1", 1, NOW).encode().decode()
    with open_ledger(path, lambda: "ledger-1", lambda: NOW) as ledger:
        rows = (
            (f"b{n}", "OK" if n % 50 else "NG", NOW + n * SECOND, payload, "washer", f"SERIAL{n}", f"L{n // 1000}")
            for n in range(count)
        )
        ledger._db.execute("BEGIN")
        ledger._db._connection.executemany(
            "INSERT INTO entry(topic, id, verdict, recorded_ns, payload, part, serial, lot, chain) "
            "VALUES('result', ?, ?, ?, ?, ?, ?, ?, '')",
            rows,
        )
        ledger._db.execute("COMMIT")


@pytest.mark.parametrize("count", [100_000, pytest.param(2_000_000, marks=pytest.mark.slow)])
def test_a_serial_is_found_at_once_among_very_many(tmp_path: Path, count: int) -> None:
    """Under 50 ms, and so are a lot, a rare verdict and a minute long ago."""
    path = tmp_path / "ledger.db"
    fill(path, count)
    middle = NOW + count // 2 * SECOND
    for wanted, expected in (
        (Wanted(serial=f"SERIAL{count // 2}"), 1),
        (Wanted(lot="L7"), 50),
        (Wanted(verdict="NG"), 50),
        (Wanted(part="washer"), 50),
        (Wanted(since_ns=middle, until_ns=middle + 60 * SECOND), 50),
        (Wanted(since_ns=middle, until_ns=middle + 6000 * SECOND, verdict="NG"), 50),
    ):
        times = []
        for _ in range(5):
            begin = time.thread_time()  # other work on this machine does not count
            found = list(islice(find(path, wanted), 50))
            times.append(time.thread_time() - begin)

        assert len(found) == expected, wanted
        assert min(times) < 0.05, (wanted, times)


@pytest.fixture
def config(path: Path) -> Path:
    """Give settings whose station has that ledger."""
    file = path.parents[2] / "settings.toml"
    file.write_text(
        'state_dir = "state"\n[[station]]\nname = "st1"\n[station.source]\nkind = "folder"\npath = "in"\n'
        '[[station.part]]\nname = "washer"\nbundle = "b"\n'
    )
    return file


def test_the_command_writes_csv_that_a_spreadsheet_may_open(config: Path) -> None:
    """All columns, and a serial from outside that looks like a formula is none."""
    done = CliRunner().invoke(app, ["history", "--config", str(config), "--csv", "--verdict", "ng"])
    rows = list(csv.DictReader(done.stdout.splitlines()))

    assert done.exit_code == 0
    assert [row["serial"] for row in rows] == ["'=1+1", "SN6", "SN3", "SN0"]
    assert {"published_at", "frame", "recipe", "settings", "software", "captured_at", "decided_at"} <= rows[0].keys()


def test_the_command_shows_lines_json_audit_and_the_check(config: Path, path: Path) -> None:
    """Exit 1 when the chain is broken, 64 for what it cannot look for."""

    def ask(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["history", "--config", str(config), *words])
        return done.exit_code, done.stdout

    assert ask("--serial", "SN3")[1].count("\n") == 1
    assert [one["id"] for one in json.loads(ask("--json", "--limit", "2")[1])] == ["a9", "a8"]
    assert "ben  changeover  done" in ask("--audit")[1]
    assert ask("--verify") == (0, "13 records, unbroken\n")
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM entry WHERE n = 2")
        db.commit()
    assert ask("--verify")[0] == 1


@pytest.mark.parametrize("words", [("--verdict", "BAD"), ("--since", "yesterday"), ("--station", "st9")])
def test_what_cannot_be_looked_for_is_refused(config: Path, words: tuple[str, ...]) -> None:
    """With what was expected."""
    done = CliRunner().invoke(app, ["history", "--config", str(config), *words])

    assert done.exception is not None
    assert getattr(done.exception, "exit_status", 0) == 64
