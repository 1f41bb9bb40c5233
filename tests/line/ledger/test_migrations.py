"""A ledger that an older program wrote goes on under this one, with every result that it holds."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from factories import a_result_builder

from edge_inspector.errors import DiskError
from edge_inspector.line.ledger import migrations
from edge_inspector.line.ledger.history import verify
from edge_inspector.line.ledger.ledger import open_ledger


def an_old_ledger(path: Path, parts: int) -> None:
    """Write a ledger of version 1, as that program did."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        migrations._first(db)
        values: dict[str, object] = {"schema": 1, "ledger": "ledger-1", "seq": parts, "cursor": 2, "plc_seq": 1000}
        values |= {"counters_since": 5, "active_part": "washer", "shift_ns": 5}
        db.executemany("INSERT INTO meta VALUES(?, ?)", [(key, str(value)) for key, value in values.items()])
        for seq in range(1, parts + 1):
            result = a_result_builder(id=f"a{seq}", serial=f"SN{seq}", lot="L7")("ledger-1", seq, seq)
            row = (seq, result.id, result.verdict, seq, result.encode().decode())
            db.execute(
                "INSERT INTO entry(topic, seq, id, verdict, recorded_ns, payload) VALUES('result', ?, ?, ?, ?, ?)", row
            )
        db.execute("INSERT INTO audit VALUES(7, 'pause', 'anna', 'done', '{}')")
        db.execute("INSERT INTO attempt VALUES('a9')")
        db.execute("COMMIT")


def test_an_older_ledger_is_brought_forward(tmp_path: Path) -> None:
    """Nothing is lost: results, numbers, cursor, audit trail; they can be found and are chained."""
    an_old_ledger(tmp_path / "ledger.db", 5)

    with open_ledger(tmp_path / "ledger.db", lambda: "other", time.time_ns) as ledger:
        recorded = ledger.results.record(a_result_builder(id="b"), None)
        found = ledger._db.execute("SELECT id FROM entry WHERE serial = 'SN3' AND lot = 'L7'").fetchall()
        audited = ledger._db.execute("SELECT command, by FROM audit").fetchall()
        attempts, cursor, name = ledger.attempts.begun(), ledger.outbox.cursor(), ledger.id

    assert recorded is not None
    assert (recorded.seq, cursor, name) == (6, 2, "ledger-1")
    assert found == [("a3",)]
    assert audited == [("pause", "anna")]
    assert attempts == {"a9"}
    assert verify(tmp_path / "ledger.db").problem == ""


def test_a_migration_happens_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle, the ledger is as the older program left it."""
    an_old_ledger(tmp_path / "ledger.db", 3)

    def break_down(db: sqlite3.Connection) -> None:
        db.execute("ALTER TABLE entry ADD COLUMN part TEXT")
        db.execute("INSERT INTO nowhere VALUES(1)")

    monkeypatch.setattr(migrations, "_STEPS", (migrations._first, break_down))
    with pytest.raises(DiskError, match="cannot be opened: no such table"):
        open_ledger(tmp_path / "ledger.db", lambda: "other", time.time_ns)
    monkeypatch.undo()

    with open_ledger(tmp_path / "ledger.db", lambda: "other", time.time_ns) as ledger:
        assert ledger.results.between(1, 3)
        assert ledger.id == "ledger-1"
