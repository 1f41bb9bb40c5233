"""Requests for an image, committed before the exposure."""

from edge_inspector.line.ledger.connection import Connection, with_reserve
from edge_inspector.line.ledger.station_state import StationState


class TriggerLog:
    """The triggers of one ledger."""

    def __init__(self, connection: Connection, state: StationState) -> None:
        self._db = connection
        self._state = state

    @with_reserve
    def accept(self, arrival_id: str, trigger_id: str, part: str) -> None:
        """Commit that a trigger will be answered: before the exposure, so that a crash cannot lose it.

        An announced challenge is this one's part, also when it is answered without an image.
        """
        with self._db.commit():
            row = (arrival_id, trigger_id, part, self._db.now_ns())
            self._db.execute("INSERT INTO accepted_trigger VALUES(?, ?, ?, ?)", row)
            if self._state.announced_challenge():
                self._state.mark_challenge(arrival_id)

    def recent(self, trigger_id: str, within_ns: int) -> str | None:
        """Return the arrival that a trigger id led to not long ago: the same id is the same request."""
        now = self._db.now_ns()  # a clock that was set back must not make old requests recent
        row = self._db.one(
            "SELECT id FROM accepted_trigger WHERE trigger_id = ? AND accepted_ns BETWEEN ? AND ? "
            "ORDER BY accepted_ns DESC",
            trigger_id,
            now - within_ns,
            now,
        )
        return None if row is None else str(row[0])

    def unanswered(self) -> tuple[tuple[str, str, str, int], ...]:
        """Return arrival, trigger id, part and time of the triggers that have no answer."""
        rows = self._db.rows(
            "SELECT id, trigger_id, part, accepted_ns FROM accepted_trigger AS t "
            "WHERE NOT EXISTS (SELECT 1 FROM entry WHERE entry.id = t.id) ORDER BY accepted_ns"
        )
        return tuple((row[0], row[1], row[2], row[3]) for row in rows)

    @with_reserve
    def retire(self, before_ns: int, most: int = 500) -> int:
        """Remove triggers that were accepted and answered before then; the same id is a new request later."""
        with self._db.commit():
            return self._db.execute(
                "DELETE FROM accepted_trigger WHERE rowid IN (SELECT t.rowid FROM accepted_trigger AS t "
                "WHERE accepted_ns < ? AND EXISTS (SELECT 1 FROM entry WHERE entry.id = t.id) LIMIT ?)",
                (before_ns, most),
            ).rowcount
