"""Watches over a station's stages and tells the world how it is; runs in the station's own thread."""

import contextlib
import json
import logging
import queue
import shutil
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias, assert_never

from edge_inspector import __version__
from edge_inspector.engines.openvino import ENGINE
from edge_inspector.errors import DiskError
from edge_inspector.line.changeover import ActivePart, GoldenCheck, GoldenOutcome, Reply
from edge_inspector.line.commands import AckStatus, Asked, Finished
from edge_inspector.line.drift import SUBGROUP, Charts, Drift
from edge_inspector.line.health import PACKML, Alarm, StateName, Vitals
from edge_inspector.line.ledger import Ledger
from edge_inspector.line.ledger_file import mark_damaged
from edge_inspector.line.link import Inbox
from edge_inspector.line.monitor import monitor_for
from edge_inspector.line.order import Order, order_for
from edge_inspector.line.plc import Ready
from edge_inspector.line.publisher import Wake
from edge_inspector.line.renewal import Refusal, Renewal, Renewals
from edge_inspector.line.shifts import ShiftTurn, turn_at
from edge_inspector.line.source import Now
from edge_inspector.line.stage import NewParts
from edge_inspector.line.standing import Standing, standing_of
from edge_inspector.line.state import StateValue
from edge_inspector.line.streak import Concern, Streak
from edge_inspector.line.ticks import Answered, Fault, Report, Reports, Tick, ledger_fault
from edge_inspector.settings import PoolSettings, StationSettings
from edge_inspector.wire.messages import (
    Alarms,
    ArchiveHealth,
    AvailablePart,
    Event,
    Health,
    Info,
    RecipeMessage,
    Result,
    SourceHealth,
    Undelivered,
    utc,
)

logger = logging.getLogger(__name__)

_HEALTH_EVERY_NS = 10_000_000_000
_STAGE_LIMIT_NS = 15_000_000_000
"""A stage's loop turns at least once a second; slower than this and it hangs."""
_KNOCK_S = 0.25
_LOOK_NS = 250_000_000
"""So often it is asked whether verdicts may be acted on, besides after each answer and command."""
_SHIFT = "shift change"
"""Who asks for the golden check that begins a shift."""
_RELOAD = "reload"
"""Who changes parts and bundles, in the audit trail, and asks for the golden check after it."""


@dataclass(frozen=True, slots=True)
class Alive:
    """A station's sign of life: every stage of it turns."""

    station: str
    status: str


@dataclass(frozen=True, slots=True)
class Restart:
    """A station's wish for a new start: what is wrong with the process may be cured by it."""

    station: str
    why: str


@dataclass(frozen=True, slots=True)
class Come:
    """A station is served from now on; whoever hears this ends it with the process."""

    station: str
    stop: threading.Event = field(repr=False)


@dataclass(frozen=True, slots=True)
class Gone:
    """A station is being closed: no sign of life is to be expected."""

    station: str


Sign: TypeAlias = Alive | Restart | Come | Gone
Signs: TypeAlias = "queue.SimpleQueue[Sign]"


@dataclass(frozen=True, slots=True)
class Desk:
    """What a supervisor knows of its station, and the queues that it reads and writes."""

    station: StationSettings
    active_part: str
    """At the start."""
    listeners: tuple[ActivePart, ...] = field(repr=False)
    """Who must hear of a changeover."""
    why_not: Mapping[str, str]
    """By part: empty, or why it cannot be judged."""
    checks: "queue.SimpleQueue[GoldenCheck]" = field(repr=False)
    available: tuple[AvailablePart, ...]
    configuration: str
    """The settings and bundles that this run begins with, as JSON that may be shown."""
    ledger: Ledger = field(repr=False)
    folder: Path
    reports: Reports = field(repr=False)
    commands: "queue.SimpleQueue[Asked]" = field(repr=False)
    inboxes: Mapping[str, Inbox] = field(repr=False)
    paused: threading.Event = field(repr=False)
    queue_full: Callable[[], bool] = field(repr=False)
    charts: Mapping[str, Charts] = field(repr=False)
    """By part."""
    stop: threading.Event = field(repr=False)
    closing: threading.Event = field(repr=False)
    """Set when the station alone is to end, once all that it took in is answered."""
    emptied: threading.Event = field(repr=False)
    """Set when it is."""
    signs: Signs = field(repr=False)
    show: Callable[[Health], None] = field(repr=False)
    """Hears every health report, too."""
    collect: Callable[[Order], str] = field(repr=False)
    """Begins or ends a collection of pictures, and says why not."""
    is_collecting: Callable[[], bool] = field(repr=False)
    renewals: Renewals = field(repr=False)
    new_parts: "queue.SimpleQueue[NewParts]" = field(repr=False)
    """Where the judging thread hears of them."""
    now_ns: Now = field(repr=False)
    monotonic_ns: Now = field(repr=False)


class Supervisor:
    """Takes in what the stages report; says state, health, alarms and readiness; obeys pause and resume."""

    def __init__(self, desk: Desk, stages: tuple[str, ...]) -> None:
        self._desk = desk
        self._vitals = Vitals(stages, _STAGE_LIMIT_NS, desk.why_not[desk.active_part], desk.monotonic_ns())
        self._streak = Streak(desk.station)
        self._concern = Concern()
        self._restarting = False
        self._active = desk.active_part
        self._drift = Drift(desk.charts)
        self._turn = self._turn_now()
        self._standing = Standing()
        self._look_ns = desk.monotonic_ns()
        """When to look at it next."""
        self._pending: Asked | None = None
        self._next: Asked | None = None
        """What waits for a golden check of our own to end: nobody shall be turned away for that."""
        self._refused = ""
        """Why the last reload changed nothing."""
        self._golden: Reply = queue.SimpleQueue()
        self._state: StateName = "STARTING"
        self._since_ns = desk.now_ns()
        self._said: tuple[object, ...] = ()
        self._said_ns = 0
        self._said_ready = Ready(ready=False, packml=0)
        self._alarms: dict[str, tuple[Alarm, str]] = {}

    def run(self) -> None:
        """Supervise until the stop signal, or until a station that is being closed has answered what it took in."""
        self._audit_configuration("start")
        self._say("info", self._info().encode())
        self._say_recipe()
        self._say_alarms()
        self._remember_drift()
        while not (self._desk.stop.is_set() or self._desk.emptied.is_set()):
            self._hear()
            self._obey()
            self._renew()
            self._judge_the_run()
            now = self._desk.monotonic_ns()
            self._look(now)
            self._publish(now, stopping=self._desk.closing.is_set())
            if self._vitals.alive(now):
                self._desk.signs.put(Alive(self._name, f"{self._name} {self._state}{self._refused}"))

    def say_stopping(self) -> None:
        """Tell the world that the station is about to go."""
        self._publish(self._desk.monotonic_ns(), stopping=True)

    def _hear(self) -> None:
        """Take in reports for at most a quarter of a second, or until there is news; a sign of life alone is none."""
        end = self._desk.monotonic_ns() + int(_KNOCK_S * 1e9)
        is_news = False
        try:
            while not is_news and (left := end - self._desk.monotonic_ns()) > 0:
                is_news = self._take(self._desk.reports.get(timeout=left / 1e9))
            while True:
                self._take(self._desk.reports.get_nowait())
        except queue.Empty:
            return

    def _take(self, report: Report) -> bool:
        """Take in a report, and say whether it is more than a sign of life."""
        self._vitals.take(report, self._desk.monotonic_ns())
        match report:
            case Answered(result=result):
                self._look_ns = 0
                self._streak.take(result)
                if self._drift.take(result):
                    self._say_drift()
            case Fault(code="ledger_damaged", message=message, active=True):
                self._leave_the_ledger(message)
            case _:
                pass
        return not isinstance(report, Tick)

    def _look(self, now: int) -> None:
        """Look at what changes with time: every quarter of a second, and at once when something happened."""
        if now < self._look_ns:
            return
        self._look_ns = now + _LOOK_NS
        self._check_at_shift_change()
        self._look_at_standing()

    def _look_at_standing(self) -> None:
        """See whether verdicts may be acted on; said at every look, since a reset of alarms must not end it."""
        desk = self._desk
        self._standing = standing_of(desk.ledger, desk.station, self._active, self._turn_now().start_ns, desk.now_ns())
        for fault in (*self._standing.faults(), self._unready_parts()):
            self._take(fault)

    def _unready_parts(self) -> Fault:
        """Return which other parts could not be changed over to; of the one that is on, the alarm `bundle` tells."""
        others = [f"part {part}: {why}" for part, why in self._desk.why_not.items() if why and part != self._active]
        return Fault("part_not_ready", "; ".join(others), active=bool(others))

    def _say_drift(self) -> None:
        alarm = self._drift.alarm
        self._vitals.take(Fault("drift", alarm, active=bool(alarm)), self._desk.monotonic_ns())

    def _remember_drift(self) -> None:
        """Take up the charts where an earlier run left them."""
        try:
            for payload in self._desk.ledger.last_results(2 * SUBGROUP):
                self._drift.take(Result.model_validate_json(payload))
        except DiskError as error:
            logger.warning("the drift charts begin anew: %s", error)
        self._say_drift()

    def _judge_the_run(self) -> None:
        """Raise an alarm when the verdicts together say that something is wrong; start again where that may help."""
        concern = self._streak.concern()
        if concern != self._concern:
            self._concern = concern
            self._take(Fault("errors", concern.errors, active=bool(concern.errors)))
            self._take(Fault("process", concern.rejects, active=bool(concern.rejects)))
        if concern.errors:
            self._restart(concern.errors)

    def _leave_the_ledger(self, message: str) -> None:
        """Have a damaged ledger set aside by a new start; a new one begins then."""
        try:
            mark_damaged(self._desk.folder / "ledger.db")
        except DiskError as error:
            logger.warning("the ledger could not be marked as damaged: %s", error)  # the start looks at it anyway
        self._restart(message)

    def _restart(self, why: str) -> None:
        if not self._restarting:
            self._restarting = True
            self._desk.signs.put(Restart(self._name, why))

    def _renew(self) -> None:
        """Take up a reload; a golden check that is under way comes to its end first."""
        while self._pending is None and not self._desk.renewals.empty():
            news = self._desk.renewals.get()
            match news:
                case Renewal():
                    self._go_on_with(news)
                case Refusal(why=why):
                    self._refused = f", reload refused: {why}"
                    self._take(Fault("reload", why))
                    self._audit("reload", _RELOAD, "rejected", why)
                case _:
                    assert_never(news)

    def _go_on_with(self, renewal: Renewal) -> None:
        self._look_ns = 0
        self._desk = replace(
            self._desk,
            station=renewal.station,
            why_not={name: line.why_not for name, line in renewal.parts.lines.items()},
            available=renewal.available,
            configuration=renewal.configuration,
            charts=renewal.charts,
        )
        self._audit_configuration(_RELOAD)
        self._desk.new_parts.put(renewal.parts)
        self._refused = ""
        self._take(Fault("reload", "", active=False))
        self._streak.forget()
        self._drift = Drift(renewal.charts)
        self._say_drift()
        self._say("info", self._info().encode())
        self._say_recipe()
        status, reason = self._begin_check(Asked("self_check", _RELOAD))
        if status == "rejected":
            self._vitals.set_part(reason)  # the active part is gone: whatever comes is ERROR

    def _audit(self, command: str, by: str, status: str, payload: str) -> None:
        try:
            self._desk.ledger.record_command(command, by, status, payload)
        except DiskError as error:
            self._take(ledger_fault(error))

    def _audit_configuration(self, by: str) -> None:
        """Keep what this run begins with or goes on with, where it is not what stood before."""
        try:
            if self._desk.ledger.last_audited("settings") != self._desk.configuration:
                self._desk.ledger.record_command("settings", by, "changed", self._desk.configuration)
        except DiskError as error:
            self._take(ledger_fault(error))

    def _obey(self) -> None:
        """Carry out what was asked; a golden check takes a moment, its answer is looked for at every turn."""
        while not self._desk.commands.empty():
            asked = self._desk.commands.get()
            self._look_ns = 0
            logger.info("command %s by %s", asked.name, asked.by)
            status, reason = self._carry_out(asked)
            if asked.name == "part" and status == "rejected":
                self._stay_with_the_part(asked, reason)
            self._desk.inboxes["state"].put(Finished(asked, status, reason))
        while not self._golden.empty():
            self._conclude(self._golden.get())

    def _carry_out(self, asked: Asked) -> tuple[AckStatus, str]:
        match asked.name:
            case "pause":
                self._desk.paused.set()
            case "resume":
                self._desk.paused.clear()
            case "reset_alarms":
                self._vitals.forget_faults()
                self._refused = ""
                self._streak.forget()
            case "challenge":
                return self._announce_challenge(asked)
            case "monitor":
                return self._set_monitor(asked)
            case "collect":
                return self._collect(asked)
            case "self_check" | "part":
                return self._begin_check(asked)
            case _:
                return "rejected", f"nobody here does {asked.name}"
        return "done", ""

    def _announce_challenge(self, asked: Asked) -> tuple[AckStatus, str]:
        """Commit that the next part is a challenge before anybody is told so."""
        cancel = asked.args.get("cancel", False)
        if not isinstance(cancel, bool):
            return "rejected", "expected args cancel (true or false), or none"
        try:
            self._desk.ledger.announce_challenge("" if cancel else asked.by)
        except DiskError as error:
            return "rejected", str(error)
        return "done", "" if cancel else "the next part is the challenge"

    def _set_monitor(self, asked: Asked) -> tuple[AckStatus, str]:
        try:
            monitor = monitor_for(asked.by, asked.args.get("minutes"), self._desk.now_ns())
            self._desk.ledger.set_monitor(monitor)
        except (ValueError, DiskError) as error:
            return "rejected", str(error)
        return "done", f"until {utc(monitor.until_ns)}" if monitor.until_ns else ""

    def _collect(self, asked: Asked) -> tuple[AckStatus, str]:
        desk = self._desk
        if isinstance(desk.station.source, PoolSettings):
            return "rejected", "this station has a share of the pictures only: collect them where the camera is"
        moment = {"now_ns": desk.now_ns(), "monotonic_ns": desk.monotonic_ns()}
        try:
            order = order_for(asked.by, asked.args, active=self._active, known=desk.why_not, **moment)
        except ValueError as error:
            return "rejected", str(error)
        refused = desk.collect(order)
        return ("rejected", refused) if refused else ("done", "")

    def _turn_now(self) -> ShiftTurn:
        return turn_at(self._desk.now_ns(), self._desk.station.shift, None)

    def _check_at_shift_change(self) -> None:
        """Have the golden pictures of the active part judged when a shift begins; nobody waits for an answer."""
        turn = self._turn_now()
        if turn != self._turn and self._pending is None:
            self._turn = turn
            self._begin_check(Asked("self_check", _SHIFT))

    def _begin_check(self, asked: Asked) -> tuple[AckStatus, str]:
        """Have the golden pictures judged: of the active part, or of the one to change over to."""
        part = self._active if asked.name == "self_check" else str(asked.args.get("part", ""))
        if part not in self._desk.why_not:
            return "rejected", f"unknown part {part[:64]!r}; known are {', '.join(self._desk.why_not)}"
        if self._pending is not None and _is_our_own(self._pending) and self._next is None:
            self._next = asked
            return "accepted", ""
        if self._pending is not None:
            return "rejected", f"{self._pending.name} is still going on"
        self._pending = asked
        self._desk.checks.put(GoldenCheck(part, self._golden))
        return "accepted", ""

    def _conclude(self, outcome: GoldenOutcome) -> None:
        """Take the result of a golden check: a changeover happens only to a part that passed."""
        self._look_ns = 0  # each part has challenges of its own
        asked, self._pending = self._pending, None
        if asked is None:
            return
        problem = "; ".join(outcome.problems[:3])
        if asked.name == "part":
            self._audit_changeover(asked.by, outcome.part, problem)
        if asked.name == "part" and problem:
            self._stay_with_the_part(asked, problem)
        elif asked.name == "part":
            self._change_over(outcome.part)
        if asked.name == "self_check" or not problem:
            self._vitals.set_part(problem)
            self._streak.forget()
        if not _is_our_own(asked):
            finished = Finished(asked, "rejected", problem) if problem else Finished(asked, "done")
            self._desk.inboxes["state"].put(finished)
        if self._next is not None:
            waiting, self._next = self._next, None
            self._begin_check(waiting)

    def _audit_changeover(self, by: str, part: str, problem: str) -> None:
        said = json.dumps({"from": self._active, "to": part, "problem": problem}, ensure_ascii=False)
        self._audit("changeover", by, "rejected" if problem else "done", said)

    def _stay_with_the_part(self, asked: Asked, why: str) -> None:
        """Raise the alarm: whoever asked for another part may send it, and it would be judged as the one of before."""
        wanted = str(asked.args.get("part", ""))[:64]
        words = f"part {wanted!r}, wanted by {asked.by}, was refused ({why}): the station goes on with {self._active}"
        self._take(Fault("changeover", words))

    def _change_over(self, part: str) -> None:
        self._streak.forget()
        forgotten = ""
        try:
            self._desk.ledger.set_active_part(part)
        except DiskError as error:
            forgotten = f"part {part} is on, but after a restart it would be {self._active} again: {error}"
        self._take(Fault("changeover", forgotten, active=bool(forgotten)))
        self._active = part
        if self._desk.is_collecting():
            self._collect(Asked("collect", "a change of part", {"count": 0}))
        for listener in self._desk.listeners:
            listener.say(part)
        self._say_recipe()

    def _say_recipe(self) -> None:
        recipe = RecipeMessage(active=self._active, available=self._desk.available)
        self._say("recipe", recipe.encode())

    def _publish(self, now: int, *, stopping: bool = False) -> None:
        state = self._vitals.state(now, paused=self._desk.paused.is_set(), stopping=stopping)
        if state != self._state:
            logger.warning("station %s: %s -> %s %s", self._name, self._state, state, self._vitals.last_error)
            self._state, self._since_ns = state, self._desk.now_ns()
        self._say_ready(state)
        self._raise_and_clear(now)
        news = (
            *(state, self._vitals.connected("results"), self._vitals.source, self._vitals.last_error),
            self._standing,
        )
        if news != self._said or now - self._said_ns >= _HEALTH_EVERY_NS:
            self._said, self._said_ns = news, now
            health = self._health(now)
            self._say("health", health.encode())
            self._leave(health.encode())
            self._desk.show(health)

    def _leave(self, health: bytes) -> None:
        """Leave the newest health beside the ledger, for `diagnose`; not synced, and not missed on a full disk."""
        part = self._desk.folder / "health.json.part"
        with contextlib.suppress(OSError):
            part.write_bytes(health)
            part.replace(self._desk.folder / "health.json")

    def _say_ready(self, state: StateName) -> None:
        """Tell the PLC's thread of a change only: it ticks at every message, and every tick would bring one back."""
        able = (
            state in ("READY", "RUNNING")
            and not self._desk.queue_full()
            and not self._changing
            and not (self._concern.rejects and self._desk.station.ng_stops)
        )
        withholds = self._standing.withholds
        ready = Ready(ready=able and not withholds, packml=PACKML[state], withheld=able and withholds)
        if ready != self._said_ready:
            self._said_ready = ready
            self._desk.inboxes["plc"].put(ready)
            self._desk.inboxes["state"].put(ready)

    @property
    def _changing(self) -> bool:
        """Whether a changeover is under way: the PLC waits until the new part has passed its golden check."""
        return self._pending is not None and self._pending.name == "part"

    def _raise_and_clear(self, now: int) -> None:
        current = {alarm.code: alarm for alarm in self._vitals.alarms(now)}
        raised = [alarm for code, alarm in current.items() if code not in self._alarms]
        cleared = [self._alarms[code][0] for code in self._alarms if code not in current]
        since = utc(self._desk.now_ns())
        for alarm in raised:
            self._alarms[alarm.code] = (alarm, since)
            self._say_event(alarm, since, active=True)
        for alarm in cleared:
            _, began = self._alarms.pop(alarm.code)
            self._say_event(alarm, began, active=False)
        if raised or cleared:
            self._say_alarms()

    def _say_event(self, alarm: Alarm, since: str, *, active: bool) -> None:
        event = Event(code=alarm.code, severity=alarm.severity, active=active, message=alarm.message, since=since)
        try:
            self._desk.ledger.record_event(event.encode())
        except DiskError as error:
            logger.warning("event %s could not be recorded: %s", alarm.code, error)  # the alarm itself is published
        self._desk.inboxes["results"].put(Wake())

    def _say_alarms(self) -> None:
        self._say("alarms", Alarms(active=tuple(sorted(self._alarms))).encode())

    def _say(self, name: str, payload: bytes) -> None:
        self._desk.inboxes["state"].put(StateValue(name, payload))

    def _health(self, now: int) -> Health:
        backlog = self._desk.ledger.backlog()
        oldest_s = 0.0 if backlog.oldest_ns is None else max(0.0, (self._desk.now_ns() - backlog.oldest_ns) / 1e9)
        source = self._vitals.source
        return Health(
            state=self._state,
            since=utc(self._since_ns),
            stages=self._vitals.ages(now),
            broker="connected" if self._vitals.connected("results") else "disconnected",
            undelivered=Undelivered(
                count=backlog.count,
                oldest_s=round(oldest_s, 1),
                refused=backlog.refused,
                passed_over=backlog.passed_over,
            ),
            disk_free_mb=shutil.disk_usage(self._desk.folder).free // 1_000_000,
            engine=ENGINE,
            source=SourceHealth(open=source.open, detail=source.detail),
            archive=ArchiveHealth(
                size_mb=self._vitals.archived.size // 1_000_000, dropped=self._vitals.archived.dropped
            ),
            last_error=self._vitals.last_error,
            drift=self._drift.points,
            monitor=self._standing.monitor_health(),
            challenge=self._standing.challenge_health(),
        )

    def _info(self) -> Info:
        station = self._desk.station
        return Info(
            version=__version__,
            host=socket.gethostname(),
            station=station.name,
            source=station.source.kind,
            parts=tuple(part.name for part in station.part),
        )

    @property
    def _name(self) -> str:
        return self._desk.station.name


def _is_our_own(asked: Asked) -> bool:
    """Say whether nobody waits for the answer."""
    return asked.by in (_SHIFT, _RELOAD) and not asked.correlation_id
