"""Whether verdicts may be acted on: monitor mode and challenge parts, as the ledger has them at this moment."""

from collections.abc import Iterator
from dataclasses import dataclass

from edge_inspector.errors import DiskError
from edge_inspector.line.ledger.challenge import NEVER, Challenged, overdue
from edge_inspector.line.ledger.monitor import PRODUCTION, UNREADABLE, Monitor
from edge_inspector.line.ledger.station_state import StationState
from edge_inspector.line.ticks import Fault
from edge_inspector.settings import StationSettings
from edge_inspector.wire.messages import ChallengeHealth, MonitorHealth, utc


@dataclass(frozen=True, slots=True)
class VerdictHold:
    """Why nobody may act on verdicts; a station that begins knows nothing yet."""

    monitor: Monitor = UNREADABLE
    """`PRODUCTION` when it is over."""
    last: Challenged = NEVER
    overdue: str = ""
    announced: str = ""
    """By whom; empty when no challenge part is."""

    @property
    def withholds(self) -> bool:
        """Whether the station is not ready for it."""
        return self.monitor != PRODUCTION or bool(self.last.failed or self.overdue)

    def faults(self) -> Iterator[Fault]:
        """Yield what an operator must know, and what is over."""
        until = f"monitor mode by {self.monitor.by} until {utc(self.monitor.until_ns)}: act on no verdict"
        yield Fault("monitor", until, active=self.monitor != PRODUCTION)
        yield Fault("challenge_failed", f"challenge part {self.last.failed}", active=bool(self.last.failed))
        yield Fault("challenge_overdue", self.overdue, active=bool(self.overdue))

    def monitor_health(self) -> MonitorHealth | None:
        """Return monitor mode as `health` has it."""
        if self.monitor == PRODUCTION:
            return None
        return MonitorHealth(by=self.monitor.by, since=utc(self.monitor.since_ns), until=utc(self.monitor.until_ns))

    def challenge_health(self) -> ChallengeHealth:
        """Return how the challenges of the active part stand."""
        return ChallengeHealth(
            announced=bool(self.announced),
            passed_at=utc(self.last.passed_ns) if self.last.passed_ns else None,
            failed=self.last.failed,
            overdue=bool(self.overdue),
        )


def read_hold(state: StationState, station: StationSettings, part: str, shift_ns: int, now_ns: int) -> VerdictHold:
    """Return whether verdicts on the active part may be acted on; what cannot be read is not production."""
    try:
        monitor = state.monitor()
        last = state.challenged(part)
        return VerdictHold(
            monitor if monitor.is_on(now_ns) else PRODUCTION,
            last,
            overdue(last, station, shift_ns, now_ns),
            state.announced_challenge(),
        )
    except DiskError:
        return VerdictHold()
