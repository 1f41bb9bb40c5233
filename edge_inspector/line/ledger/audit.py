"""Who asked for what, what became of it, and what operators said of verdicts."""

import itertools

from edge_inspector.line.ledger.connection import Connection, with_reserve
from edge_inspector.line.ledger.results import Results


class AuditTrail:
    """Commands and feedback; what is recorded here is chained as the results are."""

    def __init__(self, connection: Connection, results: Results) -> None:
        self._db = connection
        self._results = results

    @with_reserve
    def record(self, command: str, by: str, status: str, payload: str) -> None:
        """Commit who asked for what, and what became of it."""
        row = (self._db.now_ns(), command, by, status, payload)
        with self._db.commit():
            self._db.execute(
                "INSERT INTO audit(recorded_ns, command, by, status, payload, chain) VALUES(?, ?, ?, ?, ?, ?)",
                (*row, self._db.chain("audit", *row)),
            )

    def last(self, command: str) -> str:
        """Return the newest payload of a command in the audit trail; empty when there is none."""
        row = self._db.one("SELECT payload FROM audit WHERE command = ? ORDER BY n DESC LIMIT 1", command)
        return "" if row is None else str(row[0])

    @with_reserve
    def record_feedback(self, arrival_id: str, *, agree: bool, comment: str, by: str) -> bool:
        """Commit an operator's word on a verdict; False when there is no such result."""
        if not self._results.is_answered(arrival_id):
            return False
        with self._db.commit():
            self._db.execute(
                "INSERT INTO feedback VALUES(?, ?, ?, ?, ?)", (arrival_id, agree, comment, by, self._db.now_ns())
            )
        return True

    @with_reserve
    def retire(self, before_ns: int, keep_rows: int, most: int = 500) -> int:
        """Remove the oldest commands that are too old or too many, at most `most`, and return how many.

        What operators said, answers that came late and counters of shifts go with their age. The chain goes on from an
        anchor.
        """
        rows = self._db.rows("SELECT n, recorded_ns, chain FROM audit ORDER BY n LIMIT ?", most)
        excess = self._db.newest_row("audit") - keep_rows
        going = tuple(itertools.takewhile(lambda row: row[0] <= excess or row[1] < before_ns, rows))
        with self._db.commit():
            if going:
                last, _, chain = going[-1]
                self._db.execute("DELETE FROM audit WHERE n <= ?", (last,))
                self._db.anchor("audit", last, chain)
            self._db.execute("DELETE FROM late WHERE recorded_ns < ?", (before_ns,))
            self._db.execute("DELETE FROM feedback WHERE recorded_ns < ?", (before_ns,))
            self._db.execute("DELETE FROM shift_tally WHERE shift_ns < ?", (before_ns,))
        return len(going)
