"""The state connection: the newest value of each state topic, and the commands that come in."""

import contextlib
import json
import logging
import queue
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Literal, TypeAlias

from pydantic import ValidationError

from edge_inspector.line.ledger import Ledger
from edge_inspector.line.link import Dial, Inbox, Incoming, Link, Lost, links
from edge_inspector.line.source import Now
from edge_inspector.line.ticks import Answered, Fault, Worker
from edge_inspector.wire.messages import Ack, Command
from edge_inspector.wire.topics import COMMANDS, topic_of

logger = logging.getLogger(__name__)

_REMEMBERED = 256
_MINUTE_NS = 60_000_000_000
_MAX_COMMAND = 10_000
AckStatus: TypeAlias = Literal["accepted", "done", "rejected", "duplicate", "expired"]


@dataclass(frozen=True, slots=True)
class StateValue:
    """A state topic's newest payload."""

    name: str
    payload: bytes
    id: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that may be carried out."""

    name: str
    by: str


@dataclass(frozen=True, slots=True)
class State:
    """Publishes state topics and answers commands. Nothing is handed to the client while it is not connected."""

    base: str
    dial: Dial
    worker: Worker
    open_ledger: Callable[[], Ledger] = field(repr=False)
    rng: Random = field(repr=False)
    now_ns: Now = field(repr=False)
    """Unix time."""
    commands: "queue.SimpleQueue[Asked]" = field(repr=False)
    """Where commands go that may be carried out."""

    def run(self) -> None:
        """Serve until stopped, over any number of connections."""
        with self.open_ledger() as ledger:
            desk = _Desk(self, ledger)
            desk.count()
            for link in links(self.dial, self.worker, self.rng, desk.catch_up):
                desk.serve(link)

    @property
    def inbox(self) -> Inbox:
        """Where values and answers go."""
        return self.dial.inbox


class _Desk:
    """What outlives a connection: the newest values, the commands that were answered."""

    def __init__(self, state: State, ledger: Ledger) -> None:
        self._state = state
        self._ledger = ledger
        self._values: dict[str, StateValue] = {}
        self._answered: deque[str] = deque(maxlen=_REMEMBERED)
        self._recent: deque[int] = deque()

    def count(self) -> StateValue:
        """Return the counters as they stand in the ledger."""
        return self._keep(StateValue("counters", self._ledger.counters(self._parts_per_minute()).encode()))

    def catch_up(self) -> None:
        """While there is no connection, keep the newest values only; a command cannot come."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(self._state.inbox.get_nowait())

    def serve(self, link: Link) -> None:
        """Publish and answer until the connection is lost or the daemon ends."""
        worker = self._state.worker
        self._say(link, StateValue("availability", b"online"))
        self.catch_up()
        for value in self._values.values():
            self._say(link, value)
        while not worker.stopping():
            worker.tick()
            try:
                message = self._state.inbox.get(timeout=1.0)
            except queue.Empty:
                continue
            if isinstance(message, Lost) and message.link is link:
                return
            if isinstance(message, Incoming) and message.link is link:
                self._answer(link, message)
            for value in self._take(message):
                self._say(link, value)
        self._say_rest(link)

    def _say_rest(self, link: Link) -> None:
        """On a clean stop publish what came last, and that we are gone: a clean disconnect has no last will."""
        with contextlib.suppress(queue.Empty):
            while True:
                for value in self._take(self._state.inbox.get_nowait()):
                    self._say(link, value)
        self._say(link, StateValue("availability", b"offline"))

    def _take(self, message: object) -> tuple[StateValue, ...]:
        """Return the values that a message changes."""
        match message:
            case StateValue():
                return (self._keep(message),)
            case Answered():
                return self._answered_part(message)
            case _:
                return ()

    def _answered_part(self, answered: Answered) -> tuple[StateValue, ...]:
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
        whole = f"{self._state.base}/{topic.name}"
        link.publish(whole, value.payload, topic.qos, retain=topic.retain, name=value.id)

    def _parts_per_minute(self) -> float:
        oldest = self._state.now_ns() - _MINUTE_NS
        while self._recent and self._recent[0] < oldest:
            self._recent.popleft()
        return float(len(self._recent))

    def _answer(self, link: Link, message: Incoming) -> None:
        """Check a command, answer it, and pass it on when it may be carried out."""
        name = message.topic.removeprefix(f"{self._state.base}/cmd/")
        text = message.payload[:_MAX_COMMAND].decode("utf-8", "replace")
        command, status, reason = self._checked(name, message)
        correlation = command.correlation_id if command else _correlation_in(text)
        by = command.by if command else ""
        self._ledger.record_command(name, by, status, text)
        if status == "accepted":
            self._answered.append(correlation)
            status = "done"
            if name == "reset_counters":
                self._ledger.reset_counters()
                self._say(link, self.count())
            self._state.commands.put(Asked(name, by))
        ack = Ack(command=name[:128], correlation_id=correlation, status=status, reason=reason).encode()
        self._say(link, StateValue("ack", ack))
        if message.response_topic:
            link.publish(message.response_topic, ack, 1, retain=False, correlation=message.correlation)

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
        raise ValueError(f"unknown command; known are {', '.join(COMMANDS)}")
    if len(message.payload) > _MAX_COMMAND:
        raise ValueError(f"{len(message.payload)} bytes, at most {_MAX_COMMAND}")
    try:
        return Command.model_validate_json(message.payload)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'payload'}: {first['msg']}") from error


def _correlation_in(text: str) -> str:
    """Return the correlation id of a command that is not valid otherwise, so that its sender hears of it."""
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(text).get("correlation_id", ""))[:128]
    return ""


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _time(unix_ns: int) -> datetime:
    return datetime.fromtimestamp(unix_ns / 1e9, UTC)
