"""The store: a result, its thumbnail and its counters are one commit, and the broker reads it through a cursor."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from edge_inspector.errors import DiskError
from edge_inspector.inspection.model import Verdict
from edge_inspector.wire.messages import Counters, Result, utc

SCHEMA_VERSION = 1
_PLC_BLOCK = 1000
"""PLC sequence numbers reserved at once: one commit in a thousand words, and never the same number twice."""
_SCHEMA = """
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger as the broker gets it."""

    n: int
    topic: str
    """Below the station's base."""
    payload: bytes
    id: str
    thumb: bytes | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the broker has not acknowledged."""

    count: int
    oldest_ns: int | None
    refused: int = 0
    """Given up, because the broker does not allow them."""


class Ledger:
    """One thread's connection to a station's ledger; every thread opens its own."""

    def __init__(
        self, connection: sqlite3.Connection, now_ns: Callable[[], int], shift_ns: Callable[[int], int]
    ) -> None:
        self._db = connection
        self._now_ns = now_ns
        self._shift_ns = shift_ns
        self.id = self._meta("ledger")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def record(self, build: Callable[[str, int, int], Result], thumb: bytes | None) -> Result | None:
        """Commit the answer to a part; None when it has one already: the first answer stands.

        Args:
            build: makes the result from ledger id, sequence number and time.
            thumb: to be published with it.

        Raises:
            DiskError: nothing was committed; the part has no answer yet.
        """
        now = self._now_ns()
        with self._commit():
            seq = int(self._meta("seq")) + 1
            result = build(self.id, seq, now)
            payload = result.encode().decode()
            if self._one("SELECT 1 FROM entry WHERE id = ?", result.id):
                self._db.execute("INSERT INTO late VALUES(?, ?, ?)", (result.id, now, payload))
                return None
            inserted = self._db.execute(
                "INSERT INTO entry(topic, seq, id, verdict, recorded_ns, payload) VALUES('result', ?, ?, ?, ?, ?)",
                (seq, result.id, result.verdict, now, payload),
            )
            if thumb is not None:
                self._db.execute("INSERT INTO thumb VALUES(?, ?, ?)", (inserted.lastrowid, result.id, thumb))
            self._db.execute(
                "INSERT INTO tally VALUES(?, ?, ?, 1) ON CONFLICT DO UPDATE SET parts = parts + 1",
                (result.part, result.verdict, result.replayed),
            )
            self._db.execute(
                "INSERT INTO shift_tally VALUES(?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET parts = parts + 1",
                (self._shift_ns(now), result.part, result.verdict, result.replayed),
            )
            self._db.execute("DELETE FROM attempt WHERE id = ?", (result.id,))
            self._set("seq", str(seq))
        return result

    def record_event(self, payload: bytes) -> None:
        """Commit an event; it is published like a result."""
        with self._commit():
            self._db.execute(
                "INSERT INTO entry(topic, recorded_ns, payload) VALUES('event', ?, ?)",
                (self._now_ns(), payload.decode()),
            )

    def record_command(self, command: str, by: str, status: str, payload: str) -> None:
        """Commit who asked for what, and what became of it."""
        with self._commit():
            row = (self._now_ns(), command, by, status, payload)
            self._db.execute("INSERT INTO audit VALUES(?, ?, ?, ?, ?)", row)

    def begin_attempt(self, arrival_id: str) -> None:
        """Note that a part is about to be judged: if the process dies now, the next start knows which picture it was.

        Not synced: it must outlive the process, not the power, and after a power cut the picture is judged again.
        """
        self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            with self._commit():
                self._db.execute("INSERT OR REPLACE INTO attempt VALUES(?)", (arrival_id,))
        finally:
            self._db.execute("PRAGMA synchronous=FULL")

    def open_attempts(self) -> frozenset[str]:
        """Return the parts that were being judged when the process ended."""
        return frozenset(row[0] for row in self._rows("SELECT id FROM attempt"))

    def is_answered(self, arrival_id: str) -> bool:
        """Say whether a part has its verdict."""
        return self._one("SELECT 1 FROM entry WHERE id = ?", arrival_id) is not None

    def payload_of(self, arrival_id: str) -> str | None:
        """Return a part's result as it was published."""
        row = self._one("SELECT payload FROM entry WHERE id = ?", arrival_id)
        return None if row is None else str(row[0])

    def entries_after(self, n: int, most: int) -> tuple[Entry, ...]:
        """Return the next lines for the broker, oldest first."""
        rows = self._rows(
            "SELECT entry.n, topic, payload, coalesce(entry.id, ''), jpeg FROM entry LEFT JOIN thumb USING(n) "
            "WHERE entry.n > ? ORDER BY entry.n LIMIT ?",
            n,
            most,
        )
        return tuple(Entry(row[0], row[1], row[2].encode(), row[3], row[4]) for row in rows)

    def cursor(self) -> int:
        """Return the last line that the broker acknowledged, with all before it."""
        return int(self._meta("cursor"))

    def move_cursor(self, n: int) -> None:
        """Commit that the broker acknowledged line `n` and all before it; their thumbnails are no longer needed."""
        with self._commit():
            self._set("cursor", str(n))
            self._db.execute("DELETE FROM thumb WHERE n <= ?", (n,))

    def bury(self, n: int, topic: str, reason: str) -> None:
        """Commit that the broker refused a message; it is not sent again."""
        with self._commit():
            self._db.execute("INSERT INTO dead VALUES(?, ?, ?, ?)", (n, topic, self._now_ns(), reason))

    def backlog(self) -> Backlog:
        """Return how much the broker has not acknowledged."""
        row = self._one("SELECT count(*), min(recorded_ns) FROM entry WHERE n > ?", self.cursor())
        dead = self._one("SELECT count(*), 0 FROM dead")
        return Backlog(row[0], row[1], dead[0]) if row and dead else Backlog(0, None)

    def trim_thumbs(self, max_bytes: int) -> None:
        """Drop the oldest waiting thumbnails beyond `max_bytes`."""
        size = self._one("SELECT coalesce(sum(length(jpeg)), 0) FROM thumb")
        if size is None or size[0] <= max_bytes:
            return
        with self._commit():
            half = "SELECT n FROM thumb ORDER BY n LIMIT (SELECT count(*) / 2 + 1 FROM thumb)"
            self._db.execute(f"DELETE FROM thumb WHERE n IN ({half})")  # noqa: S608 - a constant

    def accept_trigger(self, arrival_id: str, trigger_id: str, part: str) -> None:
        """Commit that a trigger will be answered: before the exposure, so that a crash cannot lose it."""
        with self._commit():
            row = (arrival_id, trigger_id, part, self._now_ns())
            self._db.execute("INSERT INTO accepted_trigger VALUES(?, ?, ?, ?)", row)

    def recent_trigger(self, trigger_id: str, within_ns: int) -> str | None:
        """Return the arrival that a trigger id led to not long ago: the same id is the same request."""
        now = self._now_ns()  # a clock that was set back must not make old requests recent
        row = self._one(
            "SELECT id, 0 FROM accepted_trigger WHERE trigger_id = ? AND accepted_ns BETWEEN ? AND ? "
            "ORDER BY accepted_ns DESC",
            trigger_id,
            now - within_ns,
            now,
        )
        return None if row is None else str(row[0])

    def open_triggers(self) -> tuple[tuple[str, str, str, int], ...]:
        """Return arrival, trigger id, part and time of the triggers that have no answer."""
        rows = self._rows(
            "SELECT id, trigger_id, part, accepted_ns FROM accepted_trigger AS t "
            "WHERE NOT EXISTS (SELECT 1 FROM entry WHERE entry.id = t.id) ORDER BY accepted_ns"
        )
        return tuple(rows)

    def record_feedback(self, arrival_id: str, *, agree: bool, comment: str, by: str) -> bool:
        """Commit an operator's word on a verdict; False when there is no such result."""
        if not self.is_answered(arrival_id):
            return False
        with self._commit():
            self._db.execute(
                "INSERT INTO feedback VALUES(?, ?, ?, ?, ?)", (arrival_id, agree, comment, by, self._now_ns())
            )
        return True

    def results_between(self, first: int, last: int) -> tuple[str, ...]:
        """Return the results with sequence numbers from `first` to `last`, as they were published."""
        rows = self._rows("SELECT payload FROM entry WHERE seq BETWEEN ? AND ? ORDER BY seq", first, last)
        return tuple(row[0] for row in rows)

    def active_part(self) -> str:
        """Return the part that was active last; empty at the first start."""
        return self._meta("active_part")

    def set_active_part(self, part: str) -> None:
        """Commit a changeover."""
        with self._commit():
            self._set("active_part", part)

    def shift_seen_ns(self) -> int:
        """Return the beginning of the shift that was on when the ledger was last told of one."""
        return int(self._meta("shift_ns"))

    def set_shift(self, start_ns: int) -> None:
        """Commit that a shift has begun and the ones before it are reported."""
        with self._commit():
            self._set("shift_ns", str(start_ns))

    def shift_counters(self, start_ns: int, parts_per_minute: float = 0.0) -> Counters:
        """Return the counters of the shift that began at `start_ns`."""
        rows = self._rows("SELECT part, verdict, replayed, parts FROM shift_tally WHERE shift_ns = ?", start_ns)
        return _counted(rows, start_ns, parts_per_minute)

    def counters(self, parts_per_minute: float) -> Counters:
        """Return the counters since the last reset."""
        rows = self._rows("SELECT part, verdict, replayed, parts FROM tally")
        return _counted(rows, int(self._meta("counters_since")), parts_per_minute)

    def reset_counters(self) -> None:
        """Begin to count anew; results stay."""
        with self._commit():
            self._db.execute("DELETE FROM tally")
            self._set("counters_since", str(self._now_ns()))

    def reserve_plc_numbers(self) -> int:
        """Return the first of a thousand PLC sequence numbers that no word has used, also after a power cut."""
        with self._commit():
            first = int(self._meta("plc_seq"))
            self._set("plc_seq", str(first + _PLC_BLOCK))
        return first

    def _meta(self, key: str) -> str:
        row = self._one("SELECT value FROM meta WHERE key = ?", key)
        if row is None:
            raise DiskError(f"the ledger has no {key}: it is damaged, set it aside and start again")
        return str(row[0])

    def _set(self, key: str, value: str) -> None:
        self._db.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))

    def _one(self, query: str, *values: object) -> tuple[int, int] | None:
        row: tuple[int, int] | None = next(iter(self._rows(query, *values)), None)
        return row

    def _rows(self, query: str, *values: object) -> list[Any]:
        """Return what a query finds.

        Raises:
            DiskError: the database cannot be read, a page of it may be damaged.
        """
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise DiskError(f"the ledger cannot be read: {error}") from error

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """Run a block as one transaction.

        Raises:
            DiskError: the disk is full, read-only or broken; nothing of the block happened.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise DiskError(f"the ledger cannot be written: {error}") from error


def open_ledger(
    path: Path,
    new_id: Callable[[], str],
    now_ns: Callable[[], int],
    shift_ns: Callable[[int], int] = lambda _now_ns: 0,
) -> Ledger:
    """Open the ledger at `path`, or begin one.

    Args:
        path: the SQLite file.
        new_id: names a new ledger.
        now_ns: Unix time.
        shift_ns: the beginning of the shift that a moment belongs to.

    Raises:
        DiskError: the file is damaged, of a newer version, or cannot be written.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            _create(connection, new_id(), now_ns())
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    except sqlite3.Error as error:
        raise DiskError(f"the ledger {path} cannot be opened: {error}") from error
    if row != (str(SCHEMA_VERSION),):
        found = row[0] if row else "none"
        raise DiskError(f"the ledger {path} has version {found}, this program writes {SCHEMA_VERSION}; upgrade it")
    return Ledger(connection, now_ns, shift_ns)


def _create(connection: sqlite3.Connection, ledger_id: str, now_ns: int) -> None:
    meta: Mapping[str, object] = {
        "schema": SCHEMA_VERSION,
        "ledger": ledger_id,
        "seq": 0,
        "cursor": 0,
        "plc_seq": 0,
        "counters_since": now_ns,
        "active_part": "",
        "shift_ns": now_ns,
    }
    connection.execute("BEGIN EXCLUSIVE")
    if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.executemany("INSERT INTO meta VALUES(?, ?)", [(key, str(value)) for key, value in meta.items()])
    connection.execute("COMMIT")


def _counted(rows: list[tuple[str, str, int, int]], since_ns: int, parts_per_minute: float) -> Counters:
    totals = {verdict: sum(row[3] for row in rows if row[1] == verdict) for verdict in Verdict}
    judged = totals[Verdict.OK] + totals[Verdict.NG] + totals[Verdict.REVIEW]
    return Counters(
        since=utc(since_ns),
        total=sum(totals.values()),
        ok=totals[Verdict.OK],
        ng=totals[Verdict.NG],
        review=totals[Verdict.REVIEW],
        invalid=totals[Verdict.INVALID],
        error=totals[Verdict.ERROR],
        replayed=sum(row[3] for row in rows if row[2]),
        parts_per_minute=parts_per_minute,
        by_part={name: _by_verdict(rows, name) for name in sorted({row[0] for row in rows})},
        **{"yield": totals[Verdict.OK] / judged if judged else None},
    )


def _by_verdict(rows: list[tuple[str, str, int, int]], part: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, verdict, _, parts in rows:
        if name == part:
            counts[verdict] = counts.get(verdict, 0) + parts
    return counts
