"""Looks into a ledger from outside, while a daemon writes it or not: what was judged, who asked for what."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_inspector.errors import DataError, DiskError
from edge_inspector.line.ledger.hash_chain import START, chained
from edge_inspector.line.ledger.migrations import CHAINED, VERSION
from edge_inspector.wire.messages import Result, utc

_PAGE = 500
_SELECT = (
    "SELECT n, recorded_ns, payload, (SELECT at_ns FROM delivered WHERE delivered.n >= entry.n ORDER BY n LIMIT 1) "
    "FROM entry "
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which results; what is empty does not matter."""

    serial: str = ""
    lot: str = ""
    part: str = ""
    verdict: str = ""
    since_ns: int = 0
    until_ns: int = 2**63 - 1
    """Unix time, exclusive."""


@dataclass(frozen=True, slots=True)
class Found:
    """A result and what became of it."""

    result: Result
    published_at: str
    """When the broker had it; empty when it has not yet, or was passed over."""


@dataclass(frozen=True, slots=True)
class Audited:
    """One line of the audit trail."""

    at: str
    command: str
    by: str
    status: str
    payload: str


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether the records are as they were written."""

    records: int
    problem: str
    """Empty is good."""


def find(path: Path, wanted: Wanted) -> Iterator[Found]:
    """Yield results, newest first, a page at a time: the daemon's log is not held back meanwhile.

    Raises:
        DataError: there is no ledger, or one of another version.
        DiskError: it cannot be read.
    """
    with _opened(path) as db:
        last = (wanted.until_ns, -1 if _by_time(wanted) else 2**63 - 1)
        while page := db.execute(*_query(wanted, last)).fetchall():
            for n, recorded_ns, payload, at_ns in page:
                yield Found(Result.model_validate_json(payload), utc(at_ns) if at_ns else "")
                last = (recorded_ns, n)


def find_one(path: Path, arrival_id: str) -> Found:
    """Return the result with an id.

    Raises:
        DataError: there is none; it may have been too old to keep.
        DiskError: the ledger cannot be read.
    """
    with _opened(path) as db:
        row = db.execute(f"{_SELECT} WHERE id = ?", (arrival_id,)).fetchone()
    if row is None:
        raise DataError(f"{path} has no result {arrival_id!r}: see `edge-inspector history`; old ones are removed")
    return Found(Result.model_validate_json(row[2]), utc(row[3]) if row[3] else "")


def audit_trail(path: Path, wanted: Wanted) -> Iterator[Audited]:
    """Yield who asked for what, newest first, between two times.

    Raises:
        DataError: there is no ledger, or one of another version.
        DiskError: it cannot be read.
    """
    query = (
        "SELECT n, recorded_ns, command, by, status, payload FROM audit "
        "WHERE n < ? AND recorded_ns >= ? AND recorded_ns < ? ORDER BY n DESC LIMIT ?"
    )
    with _opened(path) as db:
        last = 2**63 - 1
        while page := db.execute(query, (last, wanted.since_ns, wanted.until_ns, _PAGE)).fetchall():
            for n, at_ns, *words in page:
                yield Audited(utc(at_ns), *words)
                last = n


def verify(path: Path) -> Verified:
    """Follow both chains from their anchors to their heads.

    Whoever can write the file and knows this program can forge the whole chain: it shows damage and a hand that
    changes a line, not a forger. Copies elsewhere (what subscribers heard) prove more.

    Raises:
        DataError: there is no ledger, or one of another version.
        DiskError: it cannot be read.
    """
    with _opened(path) as db:
        db.execute("BEGIN")
        found = tuple(_follow(db, records) for records in CHAINED)
        db.execute("ROLLBACK")
    problems = "; ".join(one.problem for one in found if one.problem)
    return Verified(sum(one.records for one in found), problems)


def _follow(db: sqlite3.Connection, records: str) -> Verified:
    anchor = db.execute("SELECT n, chain FROM anchor WHERE records = ? ORDER BY n DESC", (records,)).fetchone()
    first, chain = anchor or (0, START)
    count = 0
    query = f"SELECT n, chain, {CHAINED[records]} FROM {records} WHERE n > ? ORDER BY n"  # noqa: S608 - constants
    for n, written, *values in db.execute(query, (first,)):
        chain = chained(chain, *values)
        if chain != written:
            return Verified(count, f"{records} {n} was changed, or one before it is gone")
        if records == "entry" and not _agree(db, n):
            return Verified(count, f"entry {n} is filed under other names than its own")
        count += 1
    (head,) = db.execute("SELECT value FROM meta WHERE key = ?", (f"{records}_chain",)).fetchone()
    return Verified(count, "" if head == chain else f"{records}: the newest are gone")


def _agree(db: sqlite3.Connection, n: int) -> bool:
    """Whether the columns that queries use say what the result itself says."""
    topic, verdict, part, serial, lot, payload = db.execute(
        "SELECT topic, verdict, part, serial, lot, payload FROM entry WHERE n = ?", (n,)
    ).fetchone()
    if topic != "result":
        return True
    said = json.loads(payload)
    return (verdict, part, serial, lot) == tuple(said[key] for key in ("verdict", "part", "serial", "lot"))


def _by_time(wanted: Wanted) -> bool:
    """Whether the time narrows the search more than the names do."""
    return (wanted.since_ns, wanted.until_ns) != (0, 2**63 - 1) and not (wanted.serial or wanted.lot)


def _query(wanted: Wanted, last: tuple[int, int]) -> tuple[str, tuple[object, ...]]:
    """Return the next page's query: by the time where only a time was asked for, else by the line's number."""
    names = {"serial": wanted.serial, "lot": wanted.lot, "part": wanted.part, "verdict": wanted.verdict}
    asked = {name: value for name, value in names.items() if value}
    equal = "".join(f" AND {name} = ?" for name in asked)
    if _by_time(wanted):
        where = f"INDEXED BY entry_by_time WHERE (recorded_ns, n) < (?, ?) AND recorded_ns >= ?{equal}"
        order, values = "recorded_ns DESC, n DESC", (*last, wanted.since_ns, *asked.values())
    else:
        where = f"WHERE n < ? AND recorded_ns >= ? AND recorded_ns < ?{equal}"
        order, values = "n DESC", (last[1], wanted.since_ns, wanted.until_ns, *asked.values())
    return f"{_SELECT}{where} AND topic = 'result' ORDER BY {order} LIMIT {_PAGE}", values


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise DataError(f"there is no ledger {path}: has the station ever run with these settings?")
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as db:
            db.execute("PRAGMA query_only=ON")
            row = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
            if row != (str(VERSION),):
                found = row[0] if row else "none"
                raise DataError(f"{path} has version {found}, this program reads {VERSION}: start the daemon once")
            yield db
    except sqlite3.Error as error:
        raise DiskError(f"{path} cannot be read: {error}") from error
