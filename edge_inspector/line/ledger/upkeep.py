"""Keeps a station's disk in order: the reserve, what is too old or too much, the rest of the look at the ledger."""

import queue
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge_inspector.errors import DiskError
from edge_inspector.line.environment import Now
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.ledger.ledger_file import look_over
from edge_inspector.line.ledger.reserve import Reserve
from edge_inspector.line.ticks import Fault, Worker
from edge_inspector.settings import LedgerSettings

_EVERY_S = 10.0
_BREATH_S = 0.05
"""Between two small commits, so that verdicts go first."""
_DAY_NS = 86_400_000_000_000
_HOUR_NS = 3_600_000_000_000
_LEAP_NS = 60_000_000_000


@dataclass(slots=True)
class _Clock:
    """Whether the wall clock may be trusted with removing what is old: it has not leapt for an hour."""

    now_ns: Now
    monotonic_ns: Now
    difference_ns: int
    steady_since_ns: int

    def is_steady(self) -> bool:
        monotonic = self.monotonic_ns()
        difference = self.now_ns() - monotonic
        if abs(difference - self.difference_ns) > _LEAP_NS:
            self.steady_since_ns = monotonic
        self.difference_ns = difference
        return monotonic - self.steady_since_ns >= _HOUR_NS


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Turns every ten seconds; everything that it removes it removes in small commits."""

    folder: Path
    """The station's, with its ledger and reserve."""
    settings: LedgerSettings
    worker: Worker
    open_ledger: Callable[[], Ledger] = field(repr=False)
    now_ns: Now = field(repr=False)
    """Unix time."""
    looked_over: bool = True
    """Whether the whole ledger was looked at when it was opened."""

    def run(self) -> None:
        """Keep order until stopped."""
        monotonic = self.worker.monotonic_ns()
        clock = _Clock(self.now_ns, self.worker.monotonic_ns, self.now_ns() - monotonic, monotonic)
        with self.open_ledger() as ledger:
            self._look_over()
            while not self.worker.stopping():
                self.worker.tick()
                self._mind_the_disk()
                self._retire(ledger, may_age=clock.is_steady())
                self.worker.pause(_EVERY_S)

    def _look_over(self) -> None:
        """Look at the rest of a large ledger, in a thread of its own: SQLite's check is one long call."""
        if self.looked_over:
            return
        found: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_look_into, args=(self.folder / "ledger.db", found), daemon=True).start()
        while not self.worker.stopping() and found.empty():
            self.worker.pause(1.0)
        if not found.empty() and (wrong := found.get()):
            self.worker.reports.put(Fault("ledger_damaged", f"{wrong}: restart the service, a new one is then begun"))

    def _mind_the_disk(self) -> None:
        """Raise the alarm before the disk is full, and hold the reserve again when there is room."""
        free_mb = shutil.disk_usage(self.folder).free // 1_000_000
        least = self.settings.alarm_free_mb
        low = f"{free_mb} MB free at {self.folder}, less than {least} MB: make room" if free_mb < least else ""
        self.worker.reports.put(Fault("disk_low", low, active=bool(low)))
        reserve = Reserve(self.folder / "reserve")
        size_mb = self.settings.reserve_mb
        held = reserve.is_held() or (free_mb > 2 * size_mb and reserve.hold(size_mb * 1_000_000))
        used = (
            "" if held else f"the disk at {self.folder} is full, its reserve of {size_mb} MB is in use: make room now"
        )
        self.worker.reports.put(Fault("disk_reserve", used, active=not held))

    def _retire(self, ledger: Ledger, *, may_age: bool) -> None:
        """Remove what is too much, and what is too old where the clock can be trusted."""
        now = self.now_ns()
        before = now - self.settings.keep_days * _DAY_NS if may_age else 0
        rows = self.settings.keep_rows
        try:
            while not self.worker.stopping() and ledger.outbox.retire(before, rows):
                self.worker.pause(_BREATH_S)
            while not self.worker.stopping() and ledger.audit.retire(before, rows):
                self.worker.pause(_BREATH_S)
            while may_age and not self.worker.stopping() and ledger.triggers.retire(now - _DAY_NS):
                self.worker.pause(_BREATH_S)
        except DiskError as error:
            self.worker.reports.put(Fault("upkeep", str(error)))
        else:
            self.worker.reports.put(Fault("upkeep", "", active=False))


def _look_into(path: Path, found: "queue.SimpleQueue[str]") -> None:
    try:
        found.put(look_over(path))
    except DiskError as error:
        found.put(str(error))
