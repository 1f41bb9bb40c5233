"""Challenge parts: known-bad parts that pass before the camera and must come out NG, or the station is not ready."""

from dataclasses import dataclass

from edge_inspector.inspection.model import Verdict
from edge_inspector.settings import StationSettings
from edge_inspector.wire.messages import Result, utc

_HOUR_NS = 3_600_000_000_000
_AHEAD_NS = 60_000_000_000
"""A challenge further in the future than this was passed by another clock."""


@dataclass(frozen=True, slots=True)
class Challenged:
    """How a part's last challenges came out."""

    passed_ns: int = 0
    """Unix time of the last one that came out NG; 0 is never."""
    failed: str = ""
    """Why the last one was not NG; empty when it was."""


NEVER = Challenged()


def after(last: Challenged, result: Result, now_ns: int) -> Challenged:
    """Return how things stand after another challenge: only an NG in its own time proves anything."""
    if result.verdict is not Verdict.NG:
        return Challenged(last.passed_ns, f"{result.serial or result.id} came out {result.verdict}: {result.reason}")
    return last if result.replayed else Challenged(now_ns)


def overdue(last: Challenged, station: StationSettings, shift_ns: int, now_ns: int) -> str:
    """Return why a challenge is wanted now; empty where none is, or none is asked for.

    Args:
        last: how the last ones of the active part came out.
        station: says how often.
        shift_ns: the beginning of the shift that is on.
        now_ns: Unix time.
    """
    if not (station.challenge_hours or station.challenge_each_shift):
        return ""
    if not last.passed_ns:
        return "no challenge part has come out NG yet"
    passed = f"the last challenge part came out NG at {utc(last.passed_ns)}"
    if last.passed_ns > now_ns + _AHEAD_NS:
        return f"{passed}, after now: the clock was set back"
    if station.challenge_hours and now_ns - last.passed_ns > station.challenge_hours * _HOUR_NS:
        return f"{passed}, more than {station.challenge_hours:g} h ago"
    if station.challenge_each_shift and last.passed_ns < shift_ns:
        return f"{passed}, before this shift"
    return ""
