"""What the broker has yet to acknowledge: the results connection reads it through a cursor."""

import itertools
from dataclasses import dataclass

from edge_inspector.line.ledger.connection import Connection, with_reserve


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A result or an event as the broker gets it."""

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


class Outbox:
    """Results and events in their order, and the cursor up to which the broker has acknowledged them."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def entries_after(self, n: int, most: int) -> tuple[OutboxEntry, ...]:
        """Return the next lines for the broker, oldest first."""
        rows = self._db.rows(
            "SELECT entry.n, topic, payload, coalesce(entry.id, ''), jpeg FROM entry LEFT JOIN thumb USING(n) "
            "WHERE entry.n > ? ORDER BY entry.n LIMIT ?",
            n,
            most,
        )
        return tuple(OutboxEntry(row[0], row[1], row[2].encode(), row[3], row[4]) for row in rows)

    def newest(self) -> int:
        """Return the newest line for the broker."""
        return self._db.newest_row("entry")

    def cursor(self) -> int:
        """Return the last line that the broker acknowledged, with all before it."""
        return int(self._db.meta("cursor"))

    @with_reserve
    def move_cursor(self, n: int) -> None:
        """Commit that the broker acknowledged line `n` and all before it; their thumbnails are no longer needed."""
        with self._db.commit():
            self._db.set_meta("cursor", str(n))
            self._db.execute("DELETE FROM thumb WHERE n <= ?", (n,))
            self._db.execute("INSERT OR IGNORE INTO delivered VALUES(?, ?)", (n, self._db.now_ns()))

    @with_reserve
    def pass_over(self, most: int) -> int:
        """Commit that all but the newest `most` waiting lines are not sent, and return how many results those were.

        They stay in the ledger, `Results.between` finds them.
        """
        newest = self._db.newest_row("entry")
        first, last = self.cursor(), newest - most
        if last <= first:
            return 0
        with self._db.commit():
            row = self._db.one("SELECT count(seq) FROM entry WHERE n > ? AND n <= ?", first, last)
            passed = row[0] if row else 0
            self._db.set_meta("passed_over", str(int(self._db.meta("passed_over")) + passed))
            self._db.set_meta("cursor", str(last))
            self._db.execute("DELETE FROM thumb WHERE n <= ?", (last,))
            self._db.execute("INSERT OR IGNORE INTO delivered VALUES(?, 0)", (last,))
        return passed

    @with_reserve
    def bury(self, n: int, topic: str, reason: str) -> None:
        """Commit that the broker refused a message; it is not sent again."""
        with self._db.commit():
            self._db.execute("INSERT INTO dead VALUES(?, ?, ?, ?)", (n, topic, self._db.now_ns(), reason))

    def backlog(self) -> Backlog:
        """Return how much the broker has not acknowledged."""
        row = self._db.one("SELECT count(*), min(recorded_ns) FROM entry WHERE n > ?", self.cursor())
        dead = self._db.one("SELECT count(*) FROM dead")
        passed_over = int(self._db.meta("passed_over"))
        return Backlog(row[0], row[1], dead[0], passed_over) if row and dead else Backlog(0, None)

    @with_reserve
    def trim_thumbs(self, max_bytes: int) -> None:
        """Drop the oldest waiting thumbnails beyond `max_bytes`."""
        size = self._db.one("SELECT coalesce(sum(length(jpeg)), 0) FROM thumb")
        if size is None or size[0] <= max_bytes:
            return
        with self._db.commit():
            half = "SELECT n FROM thumb ORDER BY n LIMIT (SELECT count(*) / 2 + 1 FROM thumb)"
            self._db.execute(f"DELETE FROM thumb WHERE n IN ({half})")  # noqa: S608 - a constant

    @with_reserve
    def retire(self, before_ns: int, keep_rows: int, most: int = 500) -> int:
        """Remove the oldest delivered lines that are too old or too many, at most `most`, and return how many.

        The chain goes on: an anchor keeps the digest of the last one removed.
        """
        rows = self._db.rows(
            "SELECT n, recorded_ns, chain FROM entry WHERE n <= ? ORDER BY n LIMIT ?", self.cursor(), most
        )
        excess = self._db.newest_row("entry") - keep_rows
        going = tuple(itertools.takewhile(lambda row: row[0] <= excess or row[1] < before_ns, rows))
        if going:
            last, _, chain = going[-1]
            with self._db.commit():
                # An accepted trigger without a result counts as unanswered: both go together.
                self._db.execute(
                    "DELETE FROM accepted_trigger WHERE id IN (SELECT id FROM entry WHERE n <= ? AND id IS NOT NULL)",
                    (last,),
                )
                self._db.execute("DELETE FROM entry WHERE n <= ?", (last,))
                self._db.execute("DELETE FROM dead WHERE n <= ?", (last,))
                self._db.execute("DELETE FROM delivered WHERE n < ?", (last,))
                self._db.anchor("entry", last, chain)
        return len(going)
