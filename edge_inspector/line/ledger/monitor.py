"""Monitor mode: verdicts are published and flagged, and nobody may act on them until it is over."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

LONGEST_MINUTES = 10_080
"""A week: whoever wants more asks again."""
_NEVER_NS = 253_402_300_000_000_000_000
"""The year 9999."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """Who switched it on, and until when; Unix times."""

    by: str
    since_ns: int
    until_ns: int

    def is_on(self, now_ns: int) -> bool:
        """Whether it lasts; a clock that is set back makes it longer, never shorter than was asked for."""
        return now_ns < self.until_ns

    def encode(self) -> str:
        """Return it as the ledger keeps it."""
        return json.dumps(asdict(self), ensure_ascii=False)


PRODUCTION = Monitor("", 0, 0)
"""Not on."""
UNREADABLE = Monitor("a state that cannot be read", 0, _NEVER_NS)
"""What cannot be read is not production: it lasts until somebody sends `cmd/monitor`."""


def parse_monitor(text: str) -> Monitor:
    """Return what the ledger keeps; `UNREADABLE` where that is nothing that `encode` wrote."""
    if not text:
        return PRODUCTION
    try:
        found: Mapping[str, object] = json.loads(text)
        by, since_ns, until_ns = found["by"], found["since_ns"], found["until_ns"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return UNREADABLE
    if not isinstance(by, str) or type(since_ns) is not int or type(until_ns) is not int:
        return UNREADABLE
    return Monitor(by, since_ns, until_ns)


def monitor_for(by: str, minutes: object, now_ns: int) -> Monitor:
    """Return monitor mode from now on for so many minutes; 0 is production.

    Raises:
        ValueError: no whole number of minutes up to a week: without an end it would be forgotten.
    """
    if type(minutes) is not int or not 0 <= minutes <= LONGEST_MINUTES:
        raise ValueError(f"expected minutes, 1 to {LONGEST_MINUTES}, or 0 to end it, got {minutes!r}")
    return Monitor(by, now_ns, now_ns + minutes * 60_000_000_000) if minutes else PRODUCTION
