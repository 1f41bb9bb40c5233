"""The store: a result, its thumbnail and its counters are one commit, and the broker reads it through a cursor."""

import functools
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from edge_inspector.errors import DamagedError, DiskError
from edge_inspector.inspection.model import Identity, Verdict
from edge_inspector.line.ledger.challenge import Challenged, after
from edge_inspector.line.ledger.hash_chain import START, chained
from edge_inspector.line.ledger.high_water import BLOCK, HighWater
from edge_inspector.line.ledger.migrations import migrate
from edge_inspector.line.ledger.monitor import Monitor, parse_monitor
from edge_inspector.line.ledger.reserve import Reserve
from edge_inspector.wire.messages import Counters, Result, utc

_PLC_BLOCK = 1000
"""PLC sequence numbers reserved at once: one commit in a thousand words, and never the same number twice."""
_WAL_BYTES = 16_000_000
"""What stays of the write-ahead log once it has been longer; it is written back every 4 MB."""

_CHALLENGE, _MONITORED = "challenge", "monitored"
"""What a tally counts apart from the verdicts."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LedgerEntry:
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
    passed_over: int = 0
    """Results that were not sent because too many waited; `cmd/resend` fetches them."""


class _RoomMadeError(DiskError):
    """The disk was full; the reserve was given up, so that the same may be tried again."""


def _with_reserve(
    write: "Callable[Concatenate[Ledger, _P], _T]",
) -> "Callable[Concatenate[Ledger, _P], _T]":
    """Try a commit a second time when the reserve made room for it."""

    @functools.wraps(write)
    def again(ledger: "Ledger", /, *values: _P.args, **named: _P.kwargs) -> _T:
        try:
            return write(ledger, *values, **named)
        except _RoomMadeError:
            return write(ledger, *values, **named)

    return again


class Ledger:
    """One thread's connection to a station's ledger; every thread opens its own."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        now_ns: Callable[[], int],
        shift_ns: Callable[[int], int],
        high_water: HighWater,
        reserve: Reserve,
    ) -> None:
        self._db = connection
        self._now_ns = now_ns
        self._shift_ns = shift_ns
        self._high_water = high_water
        self._reserve = reserve
        self._seq_mark = 0
        self.id = self._meta("ledger")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @_with_reserve
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
            result = self._flagged(build(self.id, seq, now), now)
            payload = result.encode().decode()
            if self._one("SELECT 1 FROM entry WHERE id = ?", result.id):
                self._db.execute("INSERT INTO late VALUES(?, ?, ?)", (result.id, now, payload))
                self._db.execute("DELETE FROM attempt WHERE id = ?", (result.id,))
                return None
            if seq > self._seq_mark:
                self._seq_mark = self._high_water.rise(seq=seq + BLOCK).seq
            inserted = self._db.execute(
                "INSERT INTO entry(topic, seq, id, verdict, recorded_ns, payload, part, serial, lot, chain) "
                "VALUES('result', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(seq, result.id, result.verdict, now, payload, result.part, result.serial, result.lot),
                    self._chain("entry", "result", seq, result.id, now, payload),
                ),
            )
            if thumb is not None:
                self._db.execute("INSERT INTO thumb VALUES(?, ?, ?)", (inserted.lastrowid, result.id, thumb))
            self._db.execute(
                "INSERT INTO tally VALUES(?, ?, ?, 1) ON CONFLICT DO UPDATE SET parts = parts + 1",
                (result.part, _counted_as(result), result.replayed),
            )
            self._db.execute(
                "INSERT INTO shift_tally VALUES(?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET parts = parts + 1",
                (self._shift_ns(now), result.part, _counted_as(result), result.replayed),
            )
            if result.challenge:
                self._note_challenge(result, now)
            self._db.execute("DELETE FROM attempt WHERE id = ?", (result.id,))
            self._set("seq", str(seq))
        return result

    def _flagged(self, result: Result, now_ns: int) -> Result:
        """Return a result with what forbids to act on it: every answer passes here, whoever gives it."""
        challenge = self._one("SELECT 1, 0 FROM challenge WHERE id = ?", result.id) is not None
        monitored = self.monitor().is_on(now_ns)
        if not (challenge or monitored):
            return result
        return result.model_copy(update={"challenge": challenge, "monitored": monitored, "accept": False})

    def _note_challenge(self, result: Result, now_ns: int) -> None:
        stands = after(self.challenged(result.part), result, now_ns)
        row = (result.part, stands.passed_ns, stands.failed)
        self._db.execute("INSERT OR REPLACE INTO challenged VALUES(?, ?, ?)", row)
        self._db.execute("DELETE FROM challenge WHERE id = ?", (result.id,))

    @_with_reserve
    def record_event(self, payload: bytes) -> None:
        """Commit an event; it is published like a result."""
        now, text = self._now_ns(), payload.decode()
        with self._commit():
            chain = self._chain("entry", "event", None, None, now, text)
            self._db.execute(
                "INSERT INTO entry(topic, recorded_ns, payload, chain) VALUES('event', ?, ?, ?)", (now, text, chain)
            )

    @_with_reserve
    def record_command(self, command: str, by: str, status: str, payload: str) -> None:
        """Commit who asked for what, and what became of it."""
        row = (self._now_ns(), command, by, status, payload)
        with self._commit():
            self._db.execute(
                "INSERT INTO audit(recorded_ns, command, by, status, payload, chain) VALUES(?, ?, ?, ?, ?, ?)",
                (*row, self._chain("audit", *row)),
            )

    def last_audited(self, command: str) -> str:
        """Return the newest payload of a command in the audit trail; empty when there is none."""
        row = self._one("SELECT payload, 0 FROM audit WHERE command = ? ORDER BY n DESC LIMIT 1", command)
        return "" if row is None else str(row[0])

    @_with_reserve
    def accept_image(self, identity: Identity) -> None:
        """Note an image that only the memory holds: if the process dies now, the next start answers it.

        Not synced, as `begin_attempt`.
        """
        with self._unsynced(), self._commit():
            row = (identity.id, json.dumps(asdict(identity), ensure_ascii=False))
            self._db.execute("INSERT OR REPLACE INTO attempt(id, begun, identity) VALUES(?, 0, ?)", row)

    def open_images(self) -> tuple[Identity, ...]:
        """Return the images that the memory held when the process ended, oldest first; they are gone."""
        rows = self._rows("SELECT identity FROM attempt WHERE identity <> '' ORDER BY rowid")
        return tuple(Identity(**json.loads(row[0])) for row in rows)

    @_with_reserve
    def begin_attempt(self, arrival_id: str) -> None:
        """Note that a part is about to be judged: if the process dies now, the next start knows which image it was.

        Not synced: it must outlive the process, not the power, and after a power cut the image is judged again.
        """
        with self._unsynced(), self._commit():
            self._db.execute(
                "INSERT INTO attempt(id, begun) VALUES(?, 1) ON CONFLICT(id) DO UPDATE SET begun = 1", (arrival_id,)
            )

    def open_attempts(self) -> frozenset[str]:
        """Return the parts that were being judged when the process ended."""
        return frozenset(row[0] for row in self._rows("SELECT id FROM attempt WHERE begun"))

    def is_answered(self, arrival_id: str) -> bool:
        """Say whether a part has its verdict."""
        return self._one("SELECT 1 FROM entry WHERE id = ?", arrival_id) is not None

    def payload_of(self, arrival_id: str) -> str | None:
        """Return a part's result as it was published."""
        row = self._one("SELECT payload FROM entry WHERE id = ?", arrival_id)
        return None if row is None else str(row[0])

    def last_answer(self, part: str, serial: str, within_ns: int) -> str | None:
        """Return the newest result of that serial as it was published, if it is no older than that."""
        row = self._one(
            "SELECT payload, 0 FROM entry WHERE n > (SELECT max(n) FROM entry) - 500 AND topic = 'result' AND "
            "recorded_ns > ? AND json_extract(payload, '$.part') = ? AND json_extract(payload, '$.serial') = ? "
            "ORDER BY n DESC LIMIT 1",
            self._now_ns() - within_ns,
            part,
            serial,
        )
        return None if row is None else str(row[0])

    def entries_after(self, n: int, most: int) -> tuple[LedgerEntry, ...]:
        """Return the next lines for the broker, oldest first."""
        rows = self._rows(
            "SELECT entry.n, topic, payload, coalesce(entry.id, ''), jpeg FROM entry LEFT JOIN thumb USING(n) "
            "WHERE entry.n > ? ORDER BY entry.n LIMIT ?",
            n,
            most,
        )
        return tuple(LedgerEntry(row[0], row[1], row[2].encode(), row[3], row[4]) for row in rows)

    def newest(self) -> int:
        """Return the newest line for the broker."""
        return self._newest("entry")

    def cursor(self) -> int:
        """Return the last line that the broker acknowledged, with all before it."""
        return int(self._meta("cursor"))

    @_with_reserve
    def move_cursor(self, n: int) -> None:
        """Commit that the broker acknowledged line `n` and all before it; their thumbnails are no longer needed."""
        with self._commit():
            self._set("cursor", str(n))
            self._db.execute("DELETE FROM thumb WHERE n <= ?", (n,))
            self._db.execute("INSERT OR IGNORE INTO delivered VALUES(?, ?)", (n, self._now_ns()))

    @_with_reserve
    def pass_over(self, most: int) -> int:
        """Commit that all but the newest `most` waiting lines are not sent, and return how many results those were.

        They stay in the ledger, `results_between` finds them.
        """
        newest = self._newest("entry")
        first, last = self.cursor(), newest - most
        if last <= first:
            return 0
        with self._commit():
            row = self._one("SELECT count(seq), 0 FROM entry WHERE n > ? AND n <= ?", first, last)
            passed = row[0] if row else 0
            self._set("passed_over", str(int(self._meta("passed_over")) + passed))
            self._set("cursor", str(last))
            self._db.execute("DELETE FROM thumb WHERE n <= ?", (last,))
            self._db.execute("INSERT OR IGNORE INTO delivered VALUES(?, 0)", (last,))
        return passed

    @_with_reserve
    def retire(self, before_ns: int, keep_rows: int, most: int = 500) -> int:
        """Remove the oldest delivered lines that are too old or too many, at most `most`, and return how many.

        The chain goes on: an anchor keeps the digest of the last one removed.
        """
        rows = self._rows(
            "SELECT n, recorded_ns, chain FROM entry WHERE n <= ? ORDER BY n LIMIT ?", self.cursor(), most
        )
        excess = self._newest("entry") - keep_rows
        going = tuple(itertools.takewhile(lambda row: row[0] <= excess or row[1] < before_ns, rows))
        if going:
            last, _, chain = going[-1]
            with self._commit():
                # An accepted trigger without a result counts as unanswered: both go together.
                self._db.execute(
                    "DELETE FROM accepted_trigger WHERE id IN (SELECT id FROM entry WHERE n <= ? AND id IS NOT NULL)",
                    (last,),
                )
                self._db.execute("DELETE FROM entry WHERE n <= ?", (last,))
                self._db.execute("DELETE FROM dead WHERE n <= ?", (last,))
                self._db.execute("DELETE FROM delivered WHERE n < ?", (last,))
                self._anchor("entry", last, chain)
        return len(going)

    @_with_reserve
    def retire_audit(self, before_ns: int, keep_rows: int, most: int = 500) -> int:
        """Remove the oldest of the audit trail by the same rules, with what operators said and what came late."""
        rows = self._rows("SELECT n, recorded_ns, chain FROM audit ORDER BY n LIMIT ?", most)
        excess = self._newest("audit") - keep_rows
        going = tuple(itertools.takewhile(lambda row: row[0] <= excess or row[1] < before_ns, rows))
        with self._commit():
            if going:
                last, _, chain = going[-1]
                self._db.execute("DELETE FROM audit WHERE n <= ?", (last,))
                self._anchor("audit", last, chain)
            self._db.execute("DELETE FROM late WHERE recorded_ns < ?", (before_ns,))
            self._db.execute("DELETE FROM feedback WHERE recorded_ns < ?", (before_ns,))
            self._db.execute("DELETE FROM shift_tally WHERE shift_ns < ?", (before_ns,))
        return len(going)

    @_with_reserve
    def forget_triggers(self, before_ns: int, most: int = 500) -> int:
        """Remove triggers that were accepted and answered before then; the same id is a new request later."""
        with self._commit():
            return self._db.execute(
                "DELETE FROM accepted_trigger WHERE rowid IN (SELECT t.rowid FROM accepted_trigger AS t "
                "WHERE accepted_ns < ? AND EXISTS (SELECT 1 FROM entry WHERE entry.id = t.id) LIMIT ?)",
                (before_ns, most),
            ).rowcount

    @_with_reserve
    def bury(self, n: int, topic: str, reason: str) -> None:
        """Commit that the broker refused a message; it is not sent again."""
        with self._commit():
            self._db.execute("INSERT INTO dead VALUES(?, ?, ?, ?)", (n, topic, self._now_ns(), reason))

    def backlog(self) -> Backlog:
        """Return how much the broker has not acknowledged."""
        row = self._one("SELECT count(*), min(recorded_ns) FROM entry WHERE n > ?", self.cursor())
        dead = self._one("SELECT count(*), 0 FROM dead")
        passed_over = int(self._meta("passed_over"))
        return Backlog(row[0], row[1], dead[0], passed_over) if row and dead else Backlog(0, None)

    @_with_reserve
    def trim_thumbs(self, max_bytes: int) -> None:
        """Drop the oldest waiting thumbnails beyond `max_bytes`."""
        size = self._one("SELECT coalesce(sum(length(jpeg)), 0) FROM thumb")
        if size is None or size[0] <= max_bytes:
            return
        with self._commit():
            half = "SELECT n FROM thumb ORDER BY n LIMIT (SELECT count(*) / 2 + 1 FROM thumb)"
            self._db.execute(f"DELETE FROM thumb WHERE n IN ({half})")  # noqa: S608 - a constant

    @_with_reserve
    def accept_trigger(self, arrival_id: str, trigger_id: str, part: str) -> None:
        """Commit that a trigger will be answered: before the exposure, so that a crash cannot lose it.

        An announced challenge is this one's part, also when it is answered without an image.
        """
        with self._commit():
            row = (arrival_id, trigger_id, part, self._now_ns())
            self._db.execute("INSERT INTO accepted_trigger VALUES(?, ?, ?, ?)", row)
            if self.announced_challenge():
                self._mark_challenge(arrival_id)

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

    @_with_reserve
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

    def last_results(self, most: int) -> tuple[str, ...]:
        """Return the newest results, oldest first, as they were published."""
        rows = self._rows("SELECT payload FROM entry WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT ?", most)
        return tuple(row[0] for row in reversed(rows))

    def challenged(self, part: str) -> Challenged:
        """Return how a part's last challenges came out."""
        row = self._one("SELECT passed_ns, failed FROM challenged WHERE part = ?", part)
        return Challenged() if row is None else Challenged(int(row[0]), str(row[1]))

    def announced_challenge(self) -> str:
        """Return who said that the next part is a challenge; empty when nobody did."""
        return self._meta("challenge_announced")

    @_with_reserve
    def announce_challenge(self, by: str) -> None:
        """Commit that the next part is a challenge, or with an empty name that it is not."""
        with self._commit():
            self._set("challenge_announced", by)

    @_with_reserve
    def take_challenge(self, arrival_id: str) -> None:
        """Commit that an arrival is a challenge, and the announced one if one is; its answer will say so."""
        with self._commit():
            self._mark_challenge(arrival_id)

    def _mark_challenge(self, arrival_id: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO challenge VALUES(?)", (arrival_id,))
        self._set("challenge_announced", "")

    def monitor(self) -> Monitor:
        """Return monitor mode as it was last set, also when it is over."""
        return parse_monitor(self._meta("monitor"))

    @_with_reserve
    def set_monitor(self, monitor: Monitor) -> None:
        """Commit monitor mode; it outlives the ledger, too."""
        with self._commit():
            self._set("monitor", monitor.encode())
            self._high_water.rise(monitor=monitor.encode())

    def active_part(self) -> str:
        """Return the part that was active last; empty at the first start."""
        return self._meta("active_part")

    @_with_reserve
    def set_active_part(self, part: str) -> None:
        """Commit a changeover."""
        with self._commit():
            self._set("active_part", part)
            self._high_water.rise(active_part=part)

    def shift_seen_ns(self) -> int:
        """Return the beginning of the shift that was on when the ledger was last told of one."""
        return int(self._meta("shift_ns"))

    @_with_reserve
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

    @_with_reserve
    def reset_counters(self) -> None:
        """Begin to count anew; results stay."""
        with self._commit():
            self._db.execute("DELETE FROM tally")
            self._set("counters_since", str(self._now_ns()))

    @_with_reserve
    def reserve_plc_numbers(self) -> int:
        """Return the first of a thousand PLC sequence numbers that no word has used, also after a power cut."""
        with self._commit():
            first = int(self._meta("plc_seq"))
            self._set("plc_seq", str(first + _PLC_BLOCK))
            self._high_water.rise(plc_seq=first + _PLC_BLOCK)
        return first

    def _meta(self, key: str) -> str:
        row = self._one("SELECT value FROM meta WHERE key = ?", key)
        if row is None:
            raise DamagedError(f"the ledger has no {key}: it is set aside at the next start")
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
            raise self._fault("read", error) from error

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
            raise self._fault("written", error) from error

    def _fault(self, done: str, error: sqlite3.Error) -> DiskError:
        """Return what a failure of the database means; a full disk frees the reserve."""
        message = f"the ledger cannot be {done}: {error}"
        code = getattr(error, "sqlite_errorcode", 0)
        if is_damage(error):
            return DamagedError(f"{message}; it is set aside at the next start")
        if code in _FULL and self._reserve.free():
            return _RoomMadeError(message)
        return DiskError(message)

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous=FULL")

    def _chain(self, records: str, *values: str | int | None) -> str:
        """Return the next digest of a chain and keep it as the newest."""
        chain = chained(self._meta(f"{records}_chain"), *values)
        self._set(f"{records}_chain", chain)
        return chain

    def _anchor(self, records: str, n: int, chain: str) -> None:
        self._db.execute("DELETE FROM anchor WHERE records = ?", (records,))
        self._db.execute("INSERT INTO anchor VALUES(?, ?, ?, ?)", (records, n, chain, self._now_ns()))

    def _newest(self, records: str) -> int:
        row = self._one("SELECT seq, 0 FROM sqlite_sequence WHERE name = ?", records)
        return 0 if row is None else row[0]


_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_FSYNC)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is damaged, and not that the disk is full or another has it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


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
    high_water = HighWater(path.with_name("high-water.json"))
    connection = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
        migrate(connection, lambda: _new_values(new_id(), now_ns(), high_water))
        return Ledger(connection, now_ns, shift_ns, high_water, Reserve(path.with_name("reserve")))
    except sqlite3.Error as error:
        _close(connection)
        kind = DamagedError if is_damage(error) else DiskError
        raise kind(f"the ledger {path} cannot be opened: {error}") from error
    except DamagedError:
        _close(connection)
        raise
    except DiskError as error:
        _close(connection)
        raise DiskError(f"the ledger {path} {error}") from error


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()


def _new_values(ledger_id: str, now_ns: int, high_water: HighWater) -> Mapping[str, object]:
    """Return what a new ledger begins with: numbers above those of any ledger before it."""
    marks = high_water.read()
    return {
        "ledger": ledger_id,
        "seq": marks.seq,
        "cursor": 0,
        "plc_seq": marks.plc_seq,
        "counters_since": now_ns,
        "active_part": marks.active_part,
        "shift_ns": now_ns,
        "monitor": marks.monitor,
        "entry_chain": START,
        "audit_chain": START,
    }


def _counted_as(result: Result) -> str:
    """Return the row of the tally: what is not of production has its own."""
    if result.challenge:
        return _CHALLENGE
    return _MONITORED if result.monitored else result.verdict


def _counted(found: list[tuple[str, str, int, int]], since_ns: int, parts_per_minute: float) -> Counters:
    apart = {kind: sum(row[3] for row in found if row[1] == kind) for kind in (_CHALLENGE, _MONITORED)}
    rows = [row for row in found if row[1] not in apart]
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
        challenges=apart[_CHALLENGE],
        monitored=apart[_MONITORED],
        **{"yield": totals[Verdict.OK] / judged if judged else None},
    )


def _by_verdict(rows: list[tuple[str, str, int, int]], part: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, verdict, _, parts in rows:
        if name == part:
            counts[verdict] = counts.get(verdict, 0) + parts
    return counts
