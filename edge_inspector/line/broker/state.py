"""The state connection: the newest value of each state topic, and the commands that come in."""

import contextlib
import json
import logging
import queue
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from pydantic import ValidationError

from edge_inspector.errors import DiskError
from edge_inspector.line.broker.commands import AcceptedCommand, AckStatus, CommandOutcome
from edge_inspector.line.broker.legacy import Legacy
from edge_inspector.line.broker.link import (
    Acknowledged,
    ConnectionLost,
    ConnectionOptions,
    Inbox,
    Incoming,
    Link,
    links,
)
from edge_inspector.line.broker.peers import Peers
from edge_inspector.line.broker.publisher import Resend
from edge_inspector.line.broker.shifts import turn_at, turns_between
from edge_inspector.line.broker.throttle import Throttle
from edge_inspector.line.environment import Now
from edge_inspector.line.health.readiness import Ready
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.sources.triggers import TriggerRouter
from edge_inspector.line.ticks import Answered, Fault, Worker, refusal_fault
from edge_inspector.settings import ShiftSettings
from edge_inspector.text import composed, did_you_mean, read_text
from edge_inspector.validation import in_our_words
from edge_inspector.wire.messages import Ack, Command, ShiftCounters, utc
from edge_inspector.wire.topics import COMMANDS, topic_of

logger = logging.getLogger(__name__)

_REMEMBERED = 256
_MINUTE_NS = 60_000_000_000
_MAX_COMMAND = 10_000
_MOST_RESENT = 10_000
_A_SECOND, _AT_ONCE = 20, 200
"""Commands that are listened to; each is a commit, and a flood of them would fill the audit trail."""
_LAST_SEQ = 2**63 - 1
"""SQLite counts so far."""


@dataclass(frozen=True, slots=True)
class StateValue:
    """A state topic's newest payload."""

    name: str
    payload: bytes
    id: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """Publishes state topics and answers commands. Nothing is handed to the client while it is not connected."""

    base: str
    options: ConnectionOptions
    worker: Worker
    open_ledger: Callable[[], Ledger] = field(repr=False)
    rng: Random = field(repr=False)
    now_ns: Now = field(repr=False)
    """Unix time."""
    commands: "queue.SimpleQueue[AcceptedCommand]" = field(repr=False)
    """Where commands go that the supervisor carries out."""
    results: Inbox = field(repr=False)
    """The publisher's inbox, for what is to be sent again."""
    triggers: TriggerRouter | None = field(repr=False)
    """None where images come by themselves."""
    shifts: tuple[ShiftSettings, ...] = field(repr=False)
    legacy: Legacy | None = field(repr=False)
    """The prior system's topics, where they are wanted."""
    peers: Peers | None = field(default=None, repr=False)
    """The other workers, where images are shared with them."""

    def run(self) -> None:
        """Serve until stopped, over any number of connections."""
        with self.open_ledger() as ledger:
            remembered = _Remembered(self, ledger)
            remembered.count()
            for link in links(self.options, self.worker, self.rng, remembered.catch_up):
                remembered.serve(link)

    @property
    def inbox(self) -> Inbox:
        """Where values and answers go."""
        return self.options.inbox


class _Remembered:
    """What outlives a connection: the newest values, the commands that were answered."""

    def __init__(self, state: State, ledger: Ledger) -> None:
        self._state = state
        self._ledger = ledger
        self._values: dict[str, StateValue] = {}
        self._answered: deque[str] = deque(maxlen=_REMEMBERED)
        self._recent: deque[int] = deque()
        self._takes_triggers = False
        self._throttle = Throttle(_A_SECOND, _AT_ONCE, _AT_ONCE, state.worker.monotonic_ns())

    def count(self) -> StateValue:
        """Return the counters as they stand in the ledger."""
        return self._keep(StateValue("counters", self._ledger.counters.since_reset(self._parts_per_minute()).encode()))

    def catch_up(self) -> None:
        """While there is no connection, keep the newest values only; a command cannot come."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(self._state.inbox.get_nowait())

    def serve(self, link: Link) -> None:
        """Publish and answer until the connection is lost or the daemon ends."""
        worker = self._state.worker
        self._greet(link)
        while not worker.stopping():
            worker.tick()
            for value in self._turn_shift():
                self._say(link, value)
                self._say_legacy_shift(link, value)
            try:
                message = self._state.inbox.get(timeout=1.0)
            except queue.Empty:
                continue
            if isinstance(message, ConnectionLost) and message.link is link:
                return
            if isinstance(message, Acknowledged) and message.link is link and (topic := link.refusal(message)):
                worker.reports.put(refusal_fault(topic, message.refused))
            if isinstance(message, Incoming) and message.link is link:
                self._hear(link, message)
            if isinstance(message, CommandOutcome):
                self._acknowledge(link, message)
            for value in self._take(message):
                self._say(link, value)
            self._say_legacy(link, message)
        self._say_rest(link)

    def _greet(self, link: Link) -> None:
        """Say that we are there, and the newest of everything."""
        self._state.worker.reports.put(Fault("refused", "", active=False))  # comes again where it still is so
        self._say(link, StateValue("availability", b"online"))
        for value in self._values.values():
            self._say(link, value)
        if self._state.peers is not None:
            link.subscribe(f"{self._state.peers.topic}/+")

    def _say_rest(self, link: Link) -> None:
        """On a clean stop publish what came last, and that we are gone: a clean disconnect has no last will."""
        with contextlib.suppress(queue.Empty):
            while True:
                for value in self._take(self._state.inbox.get_nowait()):
                    self._say(link, value)
        self._say(link, StateValue("availability", b"offline"))
        self._tell_peers(link, b"")

    def _take(self, message: object) -> tuple[StateValue, ...]:
        """Return the values that a message changes."""
        match message:
            case StateValue():
                return (self._keep(message),)
            case Answered():
                return self._answered_part(message)
            case Ready():
                self._takes_triggers = message.takes_triggers
                return ()
            case _:
                return ()

    def _answered_part(self, answered: Answered) -> tuple[StateValue, ...]:
        if answered.result.of_production:
            self._recent.append(self._state.now_ns())
        values = [self._keep(StateValue("last/result", answered.result.encode(), answered.result.id)), self.count()]
        if answered.thumb is not None:
            values.append(self._keep(StateValue("last/thumb", answered.thumb, answered.result.id)))
        return tuple(values)

    def _keep(self, value: StateValue) -> StateValue:
        self._values[value.name] = value
        return value

    def _say(self, link: Link, value: StateValue) -> None:
        topic = topic_of(value.name)
        whole = f"{self._state.base}/{value.name}"
        link.publish(whole, value.payload, topic.qos, retain=topic.retain, name=value.id)
        if value.name == "recipe":
            self._tell_peers(link, value.payload)

    def _tell_peers(self, link: Link, recipe: bytes) -> None:
        """Say by which bundles we judge, where others judge the same images; nothing when we go."""
        peers = self._state.peers
        if peers is not None:
            link.publish(f"{peers.topic}/{peers.station}", recipe, 1, retain=True)

    def _hear(self, link: Link, message: Incoming) -> None:
        """Take in a command, or what another worker of the pool says of itself."""
        peers = self._state.peers
        if peers is None or not message.topic.startswith(f"{peers.topic}/"):
            self._answer(link, message)
            return
        peers.hear(message.topic.removeprefix(f"{peers.topic}/"), message.payload)
        differs = peers.difference()
        self._state.worker.reports.put(Fault("pool_differs", differs, active=bool(differs)))

    def _parts_per_minute(self) -> float:
        oldest = self._state.now_ns() - _MINUTE_NS
        while self._recent and self._recent[0] < oldest:
            self._recent.popleft()
        return float(len(self._recent))

    def _turn_shift(self) -> tuple[StateValue, ...]:
        """Return the counters of the shifts that have ended since the last look, also while we were away."""
        now = self._state.now_ns()
        seen = self._ledger.counters.shift_seen_ns()
        ended = turns_between(seen, now, self._state.shifts, None)
        if not ended or not self._is_kept(lambda: self._ledger.counters.set_shift(now)):
            return ()
        values = []
        for turn, following in zip(ended, (*ended[1:], turn_at(now, self._state.shifts, None)), strict=True):
            counters = self._ledger.counters.of_shift(turn.start_ns).model_dump(by_alias=True)
            said = ShiftCounters(**counters, shift=turn.name, until=utc(following.start_ns))
            values.append(self._keep(StateValue(f"counters/shift/{turn.name}", said.encode())))
        return tuple(values)

    def _is_kept(self, write: Callable[[], None]) -> bool:
        """Say whether the disk took it; a full disk must not silence the station."""
        try:
            write()
        except DiskError as error:
            self._state.worker.reports.put(Fault("shift", str(error)))
            return False
        self._state.worker.reports.put(Fault("shift", "", active=False))
        return True

    def _say_legacy_shift(self, link: Link, value: StateValue) -> None:
        if self._state.legacy is not None:
            said = ShiftCounters.model_validate_json(value.payload)
            for name, payload in self._state.legacy.numbers(said, f"_shift_{said.shift.lstrip('0') or '0'}"):
                link.publish(name, payload, 0, retain=False)

    def _say_legacy(self, link: Link, message: object) -> None:
        if self._state.legacy is not None and isinstance(message, Answered):
            turn = turn_at(self._state.now_ns(), self._state.shifts, None)
            counters = self._ledger.counters.of_shift(turn.start_ns, self._parts_per_minute())
            for name, payload in self._state.legacy.messages(message, counters):
                link.publish(name, payload, 0, retain=False)

    def _answer(self, link: Link, message: Incoming) -> None:
        """Check a command and carry it out or pass it on; each is answered and stands in the audit trail."""
        name = message.topic.removeprefix(f"{self._state.base}/cmd/")
        if not self._throttle.lets_through(self._state.worker.monotonic_ns()):
            flood = f"more than {_A_SECOND} commands a second: the rest is not carried out, cmd/{name[:64]} the last"
            self._state.worker.reports.put(Fault("flood", flood))
            return
        text = message.payload[:_MAX_COMMAND].decode("utf-8", "replace")
        command, status, reason = self._checked(name, message)
        asked = AcceptedCommand(
            name=name[:128],
            by=command.by if command else "",
            args=_one_spelling(command.args) if command else {},
            correlation_id=command.correlation_id if command else _correlation_in(text),
            response_topic=message.response_topic,
            correlation=message.correlation,
        )
        try:
            self._ledger.audit.record(name, asked.by, status, text)
            finished = self._carry_out(link, asked) if status == "accepted" else CommandOutcome(asked, status, reason)
        except DiskError as error:
            finished = CommandOutcome(asked, "rejected", str(error))
        if finished is not None and name == "part" and finished.status != "duplicate" and not message.retained:
            words = f"cmd/part was refused ({finished.reason}): the station goes on with the part of before"
            self._state.worker.reports.put(Fault("changeover", words))
        if finished is not None:
            self._acknowledge(link, finished)

    def _carry_out(self, link: Link, asked: AcceptedCommand) -> CommandOutcome | None:
        """Do what can be done here; None where the supervisor has it and will answer.

        Raises:
            DiskError: it was not done.
        """
        self._answered.append(asked.correlation_id)
        match asked.name:
            case "reset_counters":
                self._ledger.counters.reset()
                self._say(link, self.count())
                return CommandOutcome(asked, "done")
            case "feedback":
                return self._note_feedback(asked)
            case "resend":
                return self._send_again(asked)
            case "trigger":
                return self._trigger(asked)
            case _:
                self._state.commands.put(asked)
                self._state.worker.knock()
                return None

    def _note_feedback(self, asked: AcceptedCommand) -> CommandOutcome:
        arrival_id, agree = asked.args.get("id"), asked.args.get("agree")
        if not isinstance(arrival_id, str) or not isinstance(agree, bool):
            return CommandOutcome(asked, "rejected", "expected args id (of a result) and agree (true or false)")
        comment = str(asked.args.get("comment", ""))[:1000]
        if not self._ledger.audit.record_feedback(arrival_id, agree=agree, comment=comment, by=asked.by):
            return CommandOutcome(asked, "rejected", f"no result with id {arrival_id[:64]}")
        return CommandOutcome(asked, "done")

    def _send_again(self, asked: AcceptedCommand) -> CommandOutcome:
        first, last = asked.args.get("from_seq"), asked.args.get("to_seq")
        if (
            type(first) is not int
            or type(last) is not int
            or not 1 <= first <= last < min(first + _MOST_RESENT, _LAST_SEQ)
        ):
            return CommandOutcome(asked, "rejected", f"expected from_seq <= to_seq, at most {_MOST_RESENT} results")
        self._state.results.put(Resend(first, last))
        return CommandOutcome(asked, "accepted")

    def _trigger(self, asked: AcceptedCommand) -> CommandOutcome:
        if self._state.triggers is None:
            return CommandOutcome(asked, "rejected", "this station's images come by themselves")
        if not self._takes_triggers:
            return CommandOutcome(asked, "rejected", "the station is not ready")
        accepted = self._state.triggers.accept(self._ledger, f"cmd/{asked.correlation_id}")  # never a PLC's number
        return CommandOutcome(asked, "accepted", f"the answer is the result with id {accepted.id}")

    def _acknowledge(self, link: Link, finished: CommandOutcome) -> None:
        asked = finished.asked
        ack = Ack(
            command=asked.name, correlation_id=asked.correlation_id, status=finished.status, reason=finished.reason
        ).encode()
        self._say(link, StateValue("ack", ack))
        if self._may_answer_on(asked.response_topic):
            link.publish(asked.response_topic, ack, 1, retain=False, correlation=asked.correlation)

    def _may_answer_on(self, topic: str) -> bool:
        """Whether a sender may name this topic for its answer: one that can be published to, outside our own tree."""
        root = self._state.base.rpartition("/")[0]
        return bool(topic) and not set("+#") & set(topic) and not topic.startswith((f"{root}/", "$"))

    def _checked(self, name: str, message: Incoming) -> tuple[Command | None, AckStatus, str]:
        if message.retained:
            self._state.worker.reports.put(Fault("retained_command", f"a retained command cmd/{name} was ignored"))
        try:
            command = _parsed(name, message)
        except ValueError as error:
            return None, "rejected", str(error)
        if command.correlation_id in self._answered:
            return command, "duplicate", "this correlation_id was answered before"
        if command.expires is not None and _aware(command.expires) < _time(self._state.now_ns()):
            return command, "expired", f"it expired at {command.expires.isoformat()}"
        return command, "accepted", ""


def _parsed(name: str, message: Incoming) -> Command:
    """Return a command that may be looked at.

    Raises:
        ValueError: retained, unknown, too large or malformed.
    """
    if message.retained:
        raise ValueError("retained commands are never executed; clear the topic")
    if name not in COMMANDS:
        raise ValueError(f"unknown command{did_you_mean(name, COMMANDS)}; known are {', '.join(COMMANDS)}")
    if len(message.payload) > _MAX_COMMAND:
        raise ValueError(f"{len(message.payload)} bytes, at most {_MAX_COMMAND}")
    try:
        return Command.model_validate_json(read_text(message.payload))
    except ValidationError as error:
        raise ValueError(f"payload: {in_our_words(error, Command, 'field')}") from error


def _one_spelling(args: Mapping[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
    return {name: composed(value) if isinstance(value, str) else value for name, value in args.items()}


def _correlation_in(text: str) -> str:
    """Return the correlation id of a command that is not valid otherwise, so that its sender hears of it."""
    with contextlib.suppress(ValueError, AttributeError, RecursionError):
        found = str(json.loads(text).get("correlation_id", ""))[:128]
        return found.encode("utf-8", "replace").decode()  # half a surrogate pair is JSON, but no text
    return ""


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _time(unix_ns: int) -> datetime:
    return datetime.fromtimestamp(unix_ns / 1e9, UTC)
