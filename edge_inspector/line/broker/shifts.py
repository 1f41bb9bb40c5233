"""Which shift a moment belongs to: by the wall clock of the place, daylight saving included."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from edge_inspector.settings import ShiftSettings

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ShiftTurn:
    """One shift of one day."""

    name: str
    start_ns: int
    """Unix time."""


def turn_at(now_ns: int, shifts: Sequence[ShiftSettings], zone: tzinfo | None) -> ShiftTurn:
    """Return the shift that is on at a moment.

    Args:
        now_ns: Unix time.
        shifts: at least one.
        zone: None for the computer's own.
    """
    today = datetime.fromtimestamp(now_ns / _SECOND_NS, zone).date()
    turns = [_turn(day, shift, zone) for day in (today - timedelta(1), today) for shift in shifts]
    return max((turn for turn in turns if turn.start_ns <= now_ns), key=lambda turn: turn.start_ns)


def turns_between(
    earlier_ns: int, now_ns: int, shifts: Sequence[ShiftSettings], zone: tzinfo | None
) -> tuple[ShiftTurn, ...]:
    """Return the shifts that ended between two moments, oldest first, at most one of each name."""
    ended: dict[str, ShiftTurn] = {}
    turn = turn_at(now_ns, shifts, zone)
    while turn.start_ns > earlier_ns and len(ended) < len(shifts):
        turn = turn_at(turn.start_ns - 1, shifts, zone)
        ended.setdefault(turn.name, turn)
    return tuple(reversed(ended.values()))


def _turn(day: date, shift: ShiftSettings, zone: tzinfo | None) -> ShiftTurn:
    start = datetime.combine(day, time.fromisoformat(shift.start), zone)
    return ShiftTurn(shift.name, int(start.timestamp()) * _SECOND_NS)
