"""What parts were answered, and the events between: each is committed before anybody hears of it."""

from collections.abc import Callable

from edge_inspector.line.ledger.challenge import after
from edge_inspector.line.ledger.connection import Connection, with_reserve
from edge_inspector.line.ledger.high_water import BLOCK
from edge_inspector.line.ledger.station_state import StationState
from edge_inspector.line.ledger.tallies import counted_as
from edge_inspector.wire.messages import Result


class Results:
    """The answers: a result, its thumbnail and its counters are one commit."""

    def __init__(self, connection: Connection, state: StationState, shift_ns: Callable[[int], int]) -> None:
        self._db = connection
        self._state = state
        self._shift_ns = shift_ns
        self._ledger_id = connection.meta("ledger")
        self._seq_mark = 0

    @with_reserve
    def record(self, build: Callable[[str, int, int], Result], thumb: bytes | None) -> Result | None:
        """Commit the answer to a part; None when it has one already: the first answer stands.

        Args:
            build: makes the result from ledger id, sequence number and time.
            thumb: to be published with it.

        Raises:
            DiskError: nothing was committed; the part has no answer yet.
        """
        now = self._db.now_ns()
        with self._db.commit():
            seq = int(self._db.meta("seq")) + 1
            result = self._flagged(build(self._ledger_id, seq, now), now)
            payload = result.encode().decode()
            if self._db.one("SELECT 1 FROM entry WHERE id = ?", result.id):
                self._db.execute("INSERT INTO late VALUES(?, ?, ?)", (result.id, now, payload))
                self._db.execute("DELETE FROM attempt WHERE id = ?", (result.id,))
                return None
            self._raise_mark(seq)
            self._insert(result, payload, thumb, now)
            self._count(result, now)
            if result.challenge:
                self._note_challenge(result, now)
            self._db.execute("DELETE FROM attempt WHERE id = ?", (result.id,))
            self._db.set_meta("seq", str(seq))
        return result

    @with_reserve
    def record_event(self, payload: bytes) -> None:
        """Commit an event; it is published like a result."""
        now, text = self._db.now_ns(), payload.decode()
        with self._db.commit():
            chain = self._db.chain("entry", "event", None, None, now, text)
            self._db.execute(
                "INSERT INTO entry(topic, recorded_ns, payload, chain) VALUES('event', ?, ?, ?)", (now, text, chain)
            )

    def is_answered(self, arrival_id: str) -> bool:
        """Say whether a part has its verdict."""
        return self._db.one("SELECT 1 FROM entry WHERE id = ?", arrival_id) is not None

    def payload_of(self, arrival_id: str) -> str | None:
        """Return a part's result as it was published."""
        row = self._db.one("SELECT payload FROM entry WHERE id = ?", arrival_id)
        return None if row is None else str(row[0])

    def last_answer(self, part: str, serial: str, within_ns: int) -> str | None:
        """Return the newest result of that serial as it was published, if it is no older than that."""
        row = self._db.one(
            "SELECT payload FROM entry WHERE n > (SELECT max(n) FROM entry) - 500 AND topic = 'result' AND "
            "recorded_ns > ? AND json_extract(payload, '$.part') = ? AND json_extract(payload, '$.serial') = ? "
            "ORDER BY n DESC LIMIT 1",
            self._db.now_ns() - within_ns,
            part,
            serial,
        )
        return None if row is None else str(row[0])

    def between(self, first: int, last: int) -> tuple[str, ...]:
        """Return the results with sequence numbers from `first` to `last`, as they were published."""
        rows = self._db.rows("SELECT payload FROM entry WHERE seq BETWEEN ? AND ? ORDER BY seq", first, last)
        return tuple(row[0] for row in rows)

    def newest(self, most: int) -> tuple[str, ...]:
        """Return the newest results, oldest first, as they were published."""
        rows = self._db.rows("SELECT payload FROM entry WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT ?", most)
        return tuple(row[0] for row in reversed(rows))

    def _flagged(self, result: Result, now_ns: int) -> Result:
        """Return a result with what forbids to act on it: every answer passes here, whoever gives it."""
        challenge = self._db.one("SELECT 1 FROM challenge WHERE id = ?", result.id) is not None
        monitored = self._state.monitor().is_on(now_ns)
        if not (challenge or monitored):
            return result
        return result.model_copy(update={"challenge": challenge, "monitored": monitored, "accept": False})

    def _raise_mark(self, seq: int) -> None:
        """See that a ledger begun after this one goes on above its numbers."""
        if seq > self._seq_mark:
            self._seq_mark = self._db.high_water.rise(seq=seq + BLOCK).seq

    def _insert(self, result: Result, payload: str, thumb: bytes | None, now_ns: int) -> None:
        inserted = self._db.execute(
            "INSERT INTO entry(topic, seq, id, verdict, recorded_ns, payload, part, serial, lot, chain) "
            "VALUES('result', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(result.seq, result.id, result.verdict, now_ns, payload, result.part, result.serial, result.lot),
                self._db.chain("entry", "result", result.seq, result.id, now_ns, payload),
            ),
        )
        if thumb is not None:
            self._db.execute("INSERT INTO thumb VALUES(?, ?, ?)", (inserted.lastrowid, result.id, thumb))

    def _count(self, result: Result, now_ns: int) -> None:
        row = (result.part, counted_as(result), result.replayed)
        self._db.execute("INSERT INTO tally VALUES(?, ?, ?, 1) ON CONFLICT DO UPDATE SET parts = parts + 1", row)
        self._db.execute(
            "INSERT INTO shift_tally VALUES(?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET parts = parts + 1",
            (self._shift_ns(now_ns), *row),
        )

    def _note_challenge(self, result: Result, now_ns: int) -> None:
        stands = after(self._state.challenged(result.part), result, now_ns)
        row = (result.part, stands.passed_ns, stands.failed)
        self._db.execute("INSERT OR REPLACE INTO challenged VALUES(?, ?, ?)", row)
        self._db.execute("DELETE FROM challenge WHERE id = ?", (result.id,))
