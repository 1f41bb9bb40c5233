"""The ledger's tables, version by version: an older ledger is brought forward in one transaction."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping

from edge_inspector.errors import DiskError
from edge_inspector.line.ledger.hash_chain import START, chained

_FIRST = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE entry(
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    seq INTEGER UNIQUE,
    id TEXT UNIQUE,
    verdict TEXT,
    recorded_ns INTEGER NOT NULL,
    payload TEXT NOT NULL
) STRICT;
CREATE TABLE thumb(n INTEGER PRIMARY KEY REFERENCES entry(n), id TEXT NOT NULL, jpeg BLOB NOT NULL) STRICT;
CREATE TABLE tally(part TEXT NOT NULL, verdict TEXT NOT NULL, replayed INTEGER NOT NULL, parts INTEGER NOT NULL,
    PRIMARY KEY(part, verdict, replayed)) STRICT;
CREATE TABLE shift_tally(shift_ns INTEGER NOT NULL, part TEXT NOT NULL, verdict TEXT NOT NULL,
    replayed INTEGER NOT NULL, parts INTEGER NOT NULL, PRIMARY KEY(shift_ns, part, verdict, replayed)) STRICT;
CREATE TABLE accepted_trigger(id TEXT PRIMARY KEY, trigger_id TEXT NOT NULL, part TEXT NOT NULL,
    accepted_ns INTEGER NOT NULL) STRICT;
CREATE INDEX trigger_by_id ON accepted_trigger(trigger_id, accepted_ns);
CREATE TABLE feedback(id TEXT NOT NULL, agree INTEGER NOT NULL, comment TEXT NOT NULL, by TEXT NOT NULL,
    recorded_ns INTEGER NOT NULL) STRICT;
CREATE TABLE attempt(id TEXT PRIMARY KEY) STRICT;
CREATE TABLE late(id TEXT NOT NULL, recorded_ns INTEGER NOT NULL, payload TEXT NOT NULL) STRICT;
CREATE TABLE dead(n INTEGER NOT NULL, topic TEXT NOT NULL, recorded_ns INTEGER NOT NULL, reason TEXT NOT NULL) STRICT;
CREATE TABLE audit(recorded_ns INTEGER NOT NULL, command TEXT NOT NULL, by TEXT NOT NULL, status TEXT NOT NULL,
    payload TEXT NOT NULL) STRICT;
"""

_SECOND = """
ALTER TABLE entry ADD COLUMN part TEXT NOT NULL DEFAULT '';
ALTER TABLE entry ADD COLUMN serial TEXT NOT NULL DEFAULT '';
ALTER TABLE entry ADD COLUMN lot TEXT NOT NULL DEFAULT '';
ALTER TABLE entry ADD COLUMN chain TEXT NOT NULL DEFAULT '';
UPDATE entry SET part = json_extract(payload, '$.part'), serial = json_extract(payload, '$.serial'),
    lot = json_extract(payload, '$.lot') WHERE topic = 'result';
CREATE INDEX entry_by_serial ON entry(serial);
CREATE INDEX entry_by_lot ON entry(lot);
CREATE INDEX entry_by_part ON entry(part);
CREATE INDEX entry_by_verdict ON entry(verdict);
CREATE INDEX entry_by_time ON entry(recorded_ns);
CREATE TABLE trail(n INTEGER PRIMARY KEY AUTOINCREMENT, recorded_ns INTEGER NOT NULL, command TEXT NOT NULL,
    by TEXT NOT NULL, status TEXT NOT NULL, payload TEXT NOT NULL, chain TEXT NOT NULL DEFAULT '') STRICT;
INSERT INTO trail(recorded_ns, command, by, status, payload)
    SELECT recorded_ns, command, by, status, payload FROM audit ORDER BY rowid;
DROP TABLE audit;
ALTER TABLE trail RENAME TO audit;
ALTER TABLE attempt ADD COLUMN begun INTEGER NOT NULL DEFAULT 1;
ALTER TABLE attempt ADD COLUMN identity TEXT NOT NULL DEFAULT '';
CREATE TABLE anchor(records TEXT NOT NULL, n INTEGER NOT NULL, chain TEXT NOT NULL, recorded_ns INTEGER NOT NULL,
    PRIMARY KEY(records, n)) STRICT;
CREATE TABLE delivered(n INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES('passed_over', '0'), ('entry_chain', ''), ('audit_chain', '');
"""

_THIRD = """
CREATE TABLE challenge(id TEXT PRIMARY KEY) STRICT;
CREATE TABLE challenged(part TEXT PRIMARY KEY, passed_ns INTEGER NOT NULL, failed TEXT NOT NULL) STRICT;
INSERT INTO meta VALUES('challenge_announced', ''), ('monitor', '');
"""

CHAINED: Mapping[str, str] = {
    "entry": "topic, seq, id, recorded_ns, payload",
    "audit": "recorded_ns, command, by, status, payload",
}
"""The records that are chained, and the columns that count."""


def _first(db: sqlite3.Connection) -> None:
    _run(db, _FIRST)


def _second(db: sqlite3.Connection) -> None:
    _run(db, _SECOND)
    for records, columns in CHAINED.items():
        chain = START
        for n, *values in db.execute(f"SELECT n, {columns} FROM {records} ORDER BY n"):  # noqa: S608 - constants
            chain = chained(chain, *values)
            db.execute(f"UPDATE {records} SET chain = ? WHERE n = ?", (chain, n))  # noqa: S608
        db.execute("UPDATE meta SET value = ? WHERE key = ?", (chain, f"{records}_chain"))


def _third(db: sqlite3.Connection) -> None:
    _run(db, _THIRD)


_STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _second, _third)
VERSION = len(_STEPS)


def migrate(db: sqlite3.Connection, begin: Callable[[], Mapping[str, object]]) -> None:
    """Bring a ledger to this program's version, all steps or none; an empty file becomes a new ledger.

    Args:
        db: in autocommit mode.
        begin: the values that a new ledger starts with, by key.

    Raises:
        DiskError: of a newer version, or of none.
        sqlite3.Error: damaged, or the disk refused.
    """
    if _version(db) == VERSION:
        return
    db.execute("BEGIN EXCLUSIVE")
    try:
        found = _version(db)
        for step in _STEPS[found:]:
            step(db)
        values = begin() if found == 0 else {}
        rows: Iterable[tuple[str, str]] = ((key, str(value)) for key, value in values.items())
        db.executemany("INSERT OR REPLACE INTO meta VALUES(?, ?)", rows)
        db.execute("INSERT OR REPLACE INTO meta VALUES('schema', ?)", (str(VERSION),))
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _version(db: sqlite3.Connection) -> int:
    if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        return 0
    row = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    found = row[0] if row else "none"
    if not (found.isdecimal() and 1 <= int(found) <= VERSION):
        raise DiskError(f"has version {found}, this program writes {VERSION}; upgrade it")
    return int(found)


def _run(db: sqlite3.Connection, script: str) -> None:
    for statement in filter(str.strip, script.split(";")):
        db.execute(statement)
