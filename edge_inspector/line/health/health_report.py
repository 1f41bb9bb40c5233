"""What a station says of itself: its health at every change and every ten seconds, and what it is."""

import contextlib
import shutil
import socket
from pathlib import Path

from edge_inspector import __version__
from edge_inspector.engines.openvino import ENGINE
from edge_inspector.line.environment import Now
from edge_inspector.line.health.health import HealthState, StateName
from edge_inspector.line.health.verdict_hold import VerdictHold
from edge_inspector.line.ledger.outbox import Outbox
from edge_inspector.settings import StationSettings
from edge_inspector.wire.messages import (
    ArchiveHealth,
    ChartHealth,
    Health,
    Info,
    SourceHealth,
    Undelivered,
    utc,
)

_EVERY_NS = 10_000_000_000


class HealthReports:
    """Makes the health reports of a station; belongs to the supervising thread alone."""

    def __init__(self, folder: Path, outbox: Outbox, stages: HealthState, now_ns: Now) -> None:
        self._folder = folder
        self._outbox = outbox
        self._stages = stages
        self._now_ns = now_ns
        self._state: StateName = "STARTING"
        self._since_ns = now_ns()
        self._said: tuple[object, ...] = ()
        self._said_ns = 0

    @property
    def state(self) -> StateName:
        """The state that was entered last."""
        return self._state

    def enter(self, state: StateName) -> None:
        """Note a change of state, and when it was."""
        self._state, self._since_ns = state, self._now_ns()

    def due(self, monotonic_ns: int, hold: VerdictHold, drift: tuple[ChartHealth, ...]) -> Health | None:
        """Return a report where something has changed or ten seconds are over; a copy stays beside the ledger.

        Args:
            monotonic_ns: the time.
            hold: whether verdicts may be acted on.
            drift: the last point of each control chart.

        Raises:
            DiskError: the ledger cannot be read.
        """
        stages = self._stages
        news = (self._state, stages.connected("results"), stages.source, stages.last_error, hold)
        if news == self._said and monotonic_ns - self._said_ns < _EVERY_NS:
            return None
        self._said, self._said_ns = news, monotonic_ns
        health = self._report(monotonic_ns, hold, drift)
        self._keep(health)
        return health

    def _report(self, monotonic_ns: int, hold: VerdictHold, drift: tuple[ChartHealth, ...]) -> Health:
        stages = self._stages
        return Health(
            state=self._state,
            since=utc(self._since_ns),
            stages=stages.ages(monotonic_ns),
            broker="connected" if stages.connected("results") else "disconnected",
            undelivered=self._undelivered(),
            disk_free_mb=shutil.disk_usage(self._folder).free // 1_000_000,
            engine=ENGINE,
            source=SourceHealth(open=stages.source.open, detail=stages.source.detail),
            archive=ArchiveHealth(size_mb=stages.archived.size // 1_000_000, dropped=stages.archived.dropped),
            last_error=stages.last_error,
            drift=drift,
            monitor=hold.monitor_health(),
            challenge=hold.challenge_health(),
        )

    def _undelivered(self) -> Undelivered:
        backlog = self._outbox.backlog()
        oldest_s = 0.0 if backlog.oldest_ns is None else max(0.0, (self._now_ns() - backlog.oldest_ns) / 1e9)
        return Undelivered(
            count=backlog.count,
            oldest_s=round(oldest_s, 1),
            refused=backlog.refused,
            passed_over=backlog.passed_over,
        )

    def _keep(self, health: Health) -> None:
        """Leave the newest report beside the ledger, for `diagnose`; not synced, and not missed on a full disk."""
        part = self._folder / "health.json.part"
        with contextlib.suppress(OSError):
            part.write_bytes(health.encode())
            part.replace(self._folder / "health.json")


def info_of(station: StationSettings) -> Info:
    """Return the topic `info`."""
    return Info(
        version=__version__,
        host=socket.gethostname(),
        station=station.name,
        source=station.source.kind,
        parts=tuple(part.name for part in station.part),
    )
