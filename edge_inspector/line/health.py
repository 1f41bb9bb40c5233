"""How a station is: what its stages reported, as one state, alarms, and whether a PLC may send parts."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_inspector.line.ticks import Answered, Archived, Fault, Report, Said, SourceState, Tick

StateName: TypeAlias = Literal["STARTING", "READY", "RUNNING", "PAUSED", "DEGRADED", "ERROR", "STOPPING"]

PACKML: dict[StateName, int] = {
    "STARTING": 3,
    "READY": 4,
    "RUNNING": 6,
    "PAUSED": 11,
    "DEGRADED": 6,
    "ERROR": 9,
    "STOPPING": 7,
}
"""ISA-TR88.00.02 state numbers (reference MQTT.md, States)."""
_WARNINGS = frozenset({"drift", "monitor", "part_not_ready", "reload"})
"""What asks for a look; the inspection itself is well."""
_DISABLING = {"ledger", "ledger_damaged"}
"""Without a ledger nothing can be answered."""
_FADES_NS = {"taken_over": 120_000_000_000, "flood": 60_000_000_000}
"""What is over when nobody reports it any more; whose end nobody else can see."""
_RUNNING_NS = 60_000_000_000
"""A part within the last minute keeps the state from flickering."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is wrong."""

    code: str
    severity: Literal["info", "warning", "error"]
    message: str


class Vitals:
    """Takes reports in and says how the station is; belongs to the supervising thread alone."""

    def __init__(self, stages: tuple[str, ...], limit_ns: int, part_ready: str, now_ns: int) -> None:
        self._ticks = dict.fromkeys(stages, now_ns)
        self._limit_ns = limit_ns
        self._part_ready = part_ready
        """Empty, or why the active part cannot be judged."""
        self._source: SourceState | None = None
        self._links: dict[str, bool] = {}
        self._faults: dict[str, str] = {}
        self._reported_ns: dict[str, int] = {}
        self._answered_ns: int | None = None
        self.archived = Archived(0, 0)
        self.last_error = part_ready

    def take(self, report: Report, now_ns: int) -> None:
        """Learn from a report."""
        match report:
            case Tick(stage=stage, at_ns=at):
                self._ticks[stage] = max(at, self._ticks.get(stage, at))
            case SourceState():
                self._source = report
                if not report.open:
                    self.last_error = report.detail
            case Said(stage=stage, what=what):
                self._links[stage] = what.endswith(" connected")
            case Fault(code=code, message=message, active=active):
                if active:
                    self.last_error = self.last_error if code in self._faults else message
                    self._faults[code] = message
                    self._reported_ns[code] = now_ns
                else:
                    self._faults.pop(code, None)
            case Answered():
                self._answered_ns = now_ns
            case Archived():
                self.archived = report

    def set_part(self, problem: str) -> None:
        """Learn whether the active part can be judged; empty is yes."""
        self._part_ready = problem
        if problem:
            self.last_error = problem

    def forget_faults(self) -> None:
        """Clear what an operator has seen; what still is wrong will be reported again."""
        self._faults.clear()

    def ages(self, now_ns: int) -> dict[str, float]:
        """Return the seconds since each stage's loop last turned."""
        return {stage: round(max(0, now_ns - at) / 1e9, 1) for stage, at in self._ticks.items()}

    def alive(self, now_ns: int) -> bool:
        """Whether every stage's loop has turned inside its limit."""
        return all(now_ns - at <= self._limit_ns for at in self._ticks.values())

    def state(self, now_ns: int, *, paused: bool, stopping: bool) -> StateName:
        """Return the station's state, the worst that applies."""
        if stopping:
            return "STOPPING"
        if self._source is None:
            return "STARTING"
        if self._part_ready or _DISABLING & self._faults.keys() or not self.alive(now_ns):
            return "ERROR"
        if paused:
            return "PAUSED"
        if not self._source.open:
            return "DEGRADED"
        recent = self._answered_ns is not None and now_ns - self._answered_ns <= _RUNNING_NS
        return "RUNNING" if recent else "READY"

    def alarms(self, now_ns: int) -> tuple[Alarm, ...]:
        """Return what is wrong, by code."""
        found = [
            Alarm(code, "warning" if code in _WARNINGS else "error", message)
            for code, message in self._faults.items()
            if code not in _FADES_NS or now_ns - self._reported_ns[code] <= _FADES_NS[code]
        ]
        if self._source is not None and not self._source.open:
            found.append(Alarm("source", "error", self._source.detail))
        if self._part_ready:
            found.append(Alarm("bundle", "error", self._part_ready))
        if not self.alive(now_ns):
            stuck = [stage for stage, at in self._ticks.items() if now_ns - at > self._limit_ns]
            found.append(Alarm("stuck", "error", f"no sign of life from {', '.join(stuck)}"))
        unique = {alarm.code: alarm for alarm in found}
        return tuple(unique[code] for code in sorted(unique))

    @property
    def source(self) -> SourceState:
        """Whether pictures can come."""
        return self._source or SourceState(open=False, detail="not opened yet")

    def connected(self, stage: str) -> bool:
        """Whether a stage's connection to the broker stands."""
        return self._links.get(stage, False)
