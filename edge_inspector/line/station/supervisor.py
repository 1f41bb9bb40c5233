"""Watches over a station's stages and tells the world how it is; runs in the station's own thread."""

import json
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from edge_inspector.errors import DiskError
from edge_inspector.line.broker.commands import AcceptedCommand, CommandOutcome
from edge_inspector.line.broker.publisher import NewResults
from edge_inspector.line.broker.shifts import ShiftTurn, turn_at
from edge_inspector.line.broker.state import StateValue
from edge_inspector.line.collect.request import CollectionRequest
from edge_inspector.line.environment import Now
from edge_inspector.line.health.alarm_board import AlarmBoard
from edge_inspector.line.health.control_charts import SUBGROUP, ControlCharts
from edge_inspector.line.health.health import HealthState
from edge_inspector.line.health.health_report import HealthReports, info_of
from edge_inspector.line.health.readiness import Readiness
from edge_inspector.line.health.verdict_hold import VerdictHold, read_hold
from edge_inspector.line.health.verdict_runs import Concern, VerdictRuns
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.ledger.ledger_file import mark_damaged
from edge_inspector.line.station.changeover import ActivePart, CurrentPart
from edge_inspector.line.station.commands import Commands
from edge_inspector.line.station.golden_checks import RELOAD, SHIFT, FinishedCheck, GoldenChecks, is_our_own
from edge_inspector.line.station.queues import StationQueues
from edge_inspector.line.station.renewal import Refusal, Renewal, StationParts
from edge_inspector.line.station.signs import Heartbeat, Restart, Signs
from edge_inspector.line.station.stage import NewParts
from edge_inspector.line.ticks import Answered, Fault, Report, Tick, ledger_fault
from edge_inspector.settings import PoolSettings
from edge_inspector.wire.messages import Event, Health, RecipeMessage, Result

logger = logging.getLogger(__name__)

_STAGE_LIMIT_NS = 15_000_000_000
"""A stage's loop turns at least once a second; slower than this and it hangs."""
_KNOCK_S = 0.25
_LOOK_NS = 250_000_000
"""So often it is asked whether verdicts may be acted on, besides after each answer and command."""


@dataclass(frozen=True, slots=True)
class StationChannels:
    """Where a supervisor reads, writes and calls."""

    queues: StationQueues = field(repr=False)
    ledger: Ledger = field(repr=False)
    folder: Path
    active_part: str
    """At the start."""
    listeners: tuple[ActivePart, ...] = field(repr=False)
    """Who must hear of a changeover."""
    stop: threading.Event = field(repr=False)
    signs: Signs = field(repr=False)
    show: Callable[[Health], None] = field(repr=False)
    """Hears every health report, too."""
    collect: Callable[[CollectionRequest], str] = field(repr=False)
    """Begins or ends a collection of images, and says why not."""
    is_collecting: Callable[[], bool] = field(repr=False)
    now_ns: Now = field(repr=False)
    monotonic_ns: Now = field(repr=False)


class Supervisor:
    """Takes in what the stages report, publishes how the station is, and has commands and reloads carried out."""

    def __init__(self, channels: StationChannels, parts: StationParts, stages: tuple[str, ...]) -> None:
        self._channels = channels
        self._queues = channels.queues
        self._ledger = channels.ledger
        self._parts = parts
        part = channels.active_part
        self._current = CurrentPart(part, parts.lines, channels.listeners, channels.ledger.state)
        self._golden_checks = GoldenChecks(self._current, channels.queues.checks)
        self._commands = self._make_commands()
        self._health = HealthState(stages, _STAGE_LIMIT_NS, parts.why_not(part), channels.monotonic_ns())
        self._reports = HealthReports(channels.folder, channels.ledger.outbox, self._health, channels.now_ns)
        self._alarm_board = AlarmBoard()
        self._readiness = Readiness()
        self._verdict_runs = VerdictRuns(parts.station)
        self._concern = Concern()
        self._control_charts = ControlCharts(parts.charts)
        self._hold = VerdictHold()
        self._look_ns = channels.monotonic_ns()
        """When to look at it next."""
        self._shift = self._shift_now()
        self._restarting = False
        self._refused = ""
        """Why the last reload changed nothing."""

    def _make_commands(self) -> Commands:
        channels = self._channels
        return Commands(
            state=self._ledger.state,
            current=self._current,
            paused=self._queues.paused,
            reset_alarms=self._reset_alarms,
            begin_check=self._golden_checks.begin,
            collect=channels.collect,
            is_pool=isinstance(self._parts.station.source, PoolSettings),
            now_ns=channels.now_ns,
            monotonic_ns=channels.monotonic_ns,
        )

    def run(self) -> None:
        """Supervise until the stop signal, or until a station that is being closed has answered what it took in."""
        self._audit_configuration("start")
        self._say_info_and_recipe()
        self._say_alarms()
        self._resume_charts()
        while not (self._channels.stop.is_set() or self._queues.emptied.is_set()):
            self._hear()
            self._obey()
            self._renew()
            self._judge_the_run()
            now = self._channels.monotonic_ns()
            self._look(now)
            self._publish(now, stopping=self._queues.closing.is_set())
            if self._health.alive(now):
                self._channels.signs.put(Heartbeat(self._name, f"{self._name} {self._reports.state}{self._refused}"))

    def say_stopping(self) -> None:
        """Tell the world that the station is about to go."""
        self._publish(self._channels.monotonic_ns(), stopping=True)

    def _hear(self) -> None:
        """Take in reports for at most a quarter of a second, or until there is news; a sign of life alone is none."""
        end = self._channels.monotonic_ns() + int(_KNOCK_S * 1e9)
        is_news = False
        try:
            while not is_news and (left := end - self._channels.monotonic_ns()) > 0:
                is_news = self._take(self._queues.reports.get(timeout=left / 1e9))
            while True:
                self._take(self._queues.reports.get_nowait())
        except queue.Empty:
            return

    def _take(self, report: Report) -> bool:
        """Take in a report, and say whether it is more than a sign of life."""
        self._health.take(report, self._channels.monotonic_ns())
        match report:
            case Answered(result=result):
                self._look_ns = 0
                self._verdict_runs.take(result)
                if self._control_charts.take(result):
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
        self._look_at_hold()

    def _check_at_shift_change(self) -> None:
        """Have the golden images of the active part judged when a shift begins; nobody waits for an answer."""
        shift = self._shift_now()
        if shift != self._shift and self._golden_checks.is_idle:
            self._shift = shift
            self._golden_checks.begin(AcceptedCommand("self_check", SHIFT))

    def _shift_now(self) -> ShiftTurn:
        return turn_at(self._channels.now_ns(), self._parts.station.shift, None)

    def _look_at_hold(self) -> None:
        """See whether verdicts may be acted on; said at every look, since a reset of alarms must not end it."""
        part, now_ns = self._current.name, self._channels.now_ns()
        self._hold = read_hold(self._ledger.state, self._parts.station, part, self._shift_now().start_ns, now_ns)
        for fault in self._hold.faults():
            self._take(fault)
        unready = self._parts.unready_besides(part)
        self._take(Fault("part_not_ready", unready, active=bool(unready)))

    def _say_drift(self) -> None:
        alarm = self._control_charts.alarm
        self._take(Fault("drift", alarm, active=bool(alarm)))

    def _resume_charts(self) -> None:
        """Take up the control charts where an earlier run left them."""
        try:
            for payload in self._ledger.results.newest(2 * SUBGROUP):
                self._control_charts.take(Result.model_validate_json(payload))
        except DiskError as error:
            logger.warning("the control charts begin again: %s", error)
        self._say_drift()

    def _judge_the_run(self) -> None:
        """Raise an alarm when the verdicts together say that something is wrong; start again where that may help."""
        concern = self._verdict_runs.concern()
        if concern != self._concern:
            self._concern = concern
            self._take(Fault("errors", concern.errors, active=bool(concern.errors)))
            self._take(Fault("process", concern.rejects, active=bool(concern.rejects)))
        if concern.errors:
            self._restart(concern.errors)

    def _leave_the_ledger(self, message: str) -> None:
        """Have a damaged ledger set aside by a new start; a new one begins then."""
        try:
            mark_damaged(self._channels.folder / "ledger.db")
        except DiskError as error:
            logger.warning("the ledger could not be marked as damaged: %s", error)  # the start looks at it anyway
        self._restart(message)

    def _restart(self, why: str) -> None:
        if not self._restarting:
            self._restarting = True
            self._channels.signs.put(Restart(self._name, why))

    def _renew(self) -> None:
        """Take up a reload; a golden check that is under way comes to its end first."""
        while self._golden_checks.is_idle and not self._queues.renewals.empty():
            news = self._queues.renewals.get()
            match news:
                case Renewal():
                    self._go_on_with(news)
                case Refusal(why=why):
                    self._refused = f", reload refused: {why}"
                    self._take(Fault("reload", why))
                    self._audit("reload", RELOAD, "rejected", why)
                case _:
                    assert_never(news)

    def _go_on_with(self, renewal: Renewal) -> None:
        self._look_ns = 0
        self._parts = renewal.parts
        self._current.known = renewal.parts.lines
        self._audit_configuration(RELOAD)
        self._queues.new_parts.put(NewParts(renewal.parts.lines, renewal.taken))
        self._refused = ""
        self._take(Fault("reload", "", active=False))
        self._verdict_runs.forget()
        self._control_charts = ControlCharts(renewal.parts.charts)
        self._say_drift()
        self._say_info_and_recipe()
        status, reason = self._golden_checks.begin(AcceptedCommand("self_check", RELOAD))
        if status == "rejected":
            self._health.set_part(reason)  # the active part is gone: whatever comes is ERROR

    def _audit(self, command: str, by: str, status: str, payload: str) -> None:
        try:
            self._ledger.audit.record(command, by, status, payload)
        except DiskError as error:
            self._take(ledger_fault(error))

    def _audit_configuration(self, by: str) -> None:
        """Keep what this run begins with or goes on with, where it is not what stood before."""
        try:
            if self._ledger.audit.last("settings") != self._parts.configuration:
                self._ledger.audit.record("settings", by, "changed", self._parts.configuration)
        except DiskError as error:
            self._take(ledger_fault(error))

    def _obey(self) -> None:
        """Carry out what was asked; a golden check takes a moment, its answer is looked for at every turn."""
        while not self._queues.commands.empty():
            asked = self._queues.commands.get()
            self._look_ns = 0
            logger.info("command %s by %s", asked.name, asked.by)
            status, reason = self._commands.carry_out(asked)
            if asked.name == "part" and status == "rejected":
                self._stay_with_the_part(asked, reason)
            self._queues.for_state.put(CommandOutcome(asked, status, reason))
        for check in self._golden_checks.finished():
            self._conclude(check)

    def _reset_alarms(self) -> None:
        self._health.forget_faults()
        self._refused = ""
        self._verdict_runs.forget()

    def _conclude(self, check: FinishedCheck) -> None:
        """Take the result of a golden check: a changeover happens only to a part that passed."""
        self._look_ns = 0  # each part has challenges of its own
        asked, problem = check.asked, check.problem
        if asked.name == "part":
            self._conclude_changeover(check)
        if asked.name == "self_check" or not problem:
            self._health.set_part(problem)
            self._verdict_runs.forget()
        if not is_our_own(asked):
            finished = CommandOutcome(asked, "rejected", problem) if problem else CommandOutcome(asked, "done")
            self._queues.for_state.put(finished)

    def _conclude_changeover(self, check: FinishedCheck) -> None:
        said = {"from": self._current.name, "to": check.part, "problem": check.problem}
        status = "rejected" if check.problem else "done"
        self._audit("changeover", check.asked.by, status, json.dumps(said, ensure_ascii=False))
        if check.problem:
            self._stay_with_the_part(check.asked, check.problem)
        else:
            self._change_over(check.part)

    def _stay_with_the_part(self, asked: AcceptedCommand, why: str) -> None:
        """Raise the alarm: whoever asked for another part may send it, and it would be judged as the one of before."""
        wanted = self._current.meant_by(asked)[:64]
        kept = f"the station goes on with {self._current.name}"
        self._take(Fault("changeover", f"part {wanted!r}, wanted by {asked.by}, was refused ({why}): {kept}"))

    def _change_over(self, part: str) -> None:
        self._verdict_runs.forget()
        forgotten = self._current.change(part)
        self._take(Fault("changeover", forgotten, active=bool(forgotten)))
        if self._channels.is_collecting():
            self._commands.end_collection("a change of part")
        self._current.announce()
        self._say_recipe()

    def _publish(self, now: int, *, stopping: bool = False) -> None:
        """Tell whoever must know what has changed: the PLC first."""
        state = self._health.state(now, paused=self._queues.paused.is_set(), stopping=stopping)
        if state != self._reports.state:
            logger.warning("station %s: %s -> %s %s", self._name, self._reports.state, state, self._health.last_error)
            self._reports.enter(state)
        ready = self._readiness.change(state, blocked=self._is_blocked(), withheld=self._hold.withholds)
        if ready is not None:
            self._queues.for_plc.put(ready)
            self._queues.for_state.put(ready)
        self._raise_and_clear(now)
        health = self._reports.due(now, self._hold, self._control_charts.points)
        if health is not None:
            self._say("health", health.encode())
            self._channels.show(health)

    def _is_blocked(self) -> bool:
        """Say whether no further part can be taken for now."""
        stopped_by_rejects = bool(self._concern.rejects) and self._parts.station.ng_stops
        return self._queues.arrivals.full() or self._golden_checks.is_changing or stopped_by_rejects

    def _raise_and_clear(self, now: int) -> None:
        events = self._alarm_board.update(self._health.alarms(now), self._channels.now_ns())
        for event in events:
            self._record(event)
        if events:
            self._say_alarms()

    def _record(self, event: Event) -> None:
        try:
            self._ledger.results.record_event(event.encode())
        except DiskError as error:
            logger.warning("event %s could not be recorded: %s", event.code, error)  # the alarm itself is published
        self._queues.for_results.put(NewResults())

    def _say_alarms(self) -> None:
        self._say("alarms", self._alarm_board.message().encode())

    def _say_info_and_recipe(self) -> None:
        self._say("info", info_of(self._parts.station).encode())
        self._say_recipe()

    def _say_recipe(self) -> None:
        recipe = RecipeMessage(active=self._current.name, available=self._parts.available)
        self._say("recipe", recipe.encode())

    def _say(self, name: str, payload: bytes) -> None:
        self._queues.for_state.put(StateValue(name, payload))

    @property
    def _name(self) -> str:
        return self._parts.station.name
