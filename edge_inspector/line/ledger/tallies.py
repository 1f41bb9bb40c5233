"""Counters of results, since a reset and by shift."""

from edge_inspector.inspection.model import Verdict
from edge_inspector.line.ledger.connection import Connection, with_reserve
from edge_inspector.wire.messages import Counters, Result, utc

_CHALLENGE, _MONITORED = "challenge", "monitored"
"""What a tally counts apart from the verdicts."""


class Tallies:
    """Counts are made with each result, in its commit; here they are read and reset."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def since_reset(self, parts_per_minute: float) -> Counters:
        """Return the counters since the last reset."""
        rows = self._db.rows("SELECT part, verdict, replayed, parts FROM tally")
        return _counted(rows, int(self._db.meta("counters_since")), parts_per_minute)

    @with_reserve
    def reset(self) -> None:
        """Begin to count from 0; results stay."""
        with self._db.commit():
            self._db.execute("DELETE FROM tally")
            self._db.set_meta("counters_since", str(self._db.now_ns()))

    def of_shift(self, start_ns: int, parts_per_minute: float = 0.0) -> Counters:
        """Return the counters of the shift that began at `start_ns`."""
        rows = self._db.rows("SELECT part, verdict, replayed, parts FROM shift_tally WHERE shift_ns = ?", start_ns)
        return _counted(rows, start_ns, parts_per_minute)

    def shift_seen_ns(self) -> int:
        """Return the beginning of the shift that was on when the ledger was last told of one."""
        return int(self._db.meta("shift_ns"))

    @with_reserve
    def set_shift(self, start_ns: int) -> None:
        """Commit that a shift has begun and the ones before it are reported."""
        with self._db.commit():
            self._db.set_meta("shift_ns", str(start_ns))


def counted_as(result: Result) -> str:
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
