"""A worker's share of what the cameras of a pool send: the broker shares it out, and keeps it until it is judged."""

import logging
import queue
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from random import Random

from edge_inspector.errors import DiskError
from edge_inspector.inspection.model import Frame, Identity, Reason, Unreadable
from edge_inspector.line.broker.link import (
    Acknowledged,
    ConnectionLost,
    ConnectionOptions,
    Inbox,
    Incoming,
    Link,
    Session,
    connect,
)
from edge_inspector.line.broker.publisher import Resend
from edge_inspector.line.environment import Now
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.pool.stamps import NO_IMAGES, Stamp, StampError, arrival_id, camera_of, read_stamp
from edge_inspector.line.sources.source import Accepted, Idle, Opened, SourceEvent, Trouble
from edge_inspector.settings import MqttSettings, PoolSettings
from edge_inspector.wire.messages import Result
from edge_inspector.wire.topics import pool_topic

logger = logging.getLogger(__name__)

_RECEIVE_MAXIMUM = 2
"""One is judged and one waits; the broker keeps all others, for whoever comes first."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 15.0
_KNOCK_S = 0.5
_SECOND_NS = 1_000_000_000
_UNWILLING_NS = 2 * _SECOND_NS
"""A worker that takes nothing for so long (paused) leaves the images to the others."""


@dataclass(frozen=True, slots=True)
class _Done:
    """A part's answer is committed."""

    arrival_id: str


@dataclass(frozen=True, slots=True)
class _Held:
    """An image that came, and is not taken in yet."""

    message: Incoming
    came_ns: int
    """Monotonic."""


@dataclass(slots=True)
class _Connection:
    """One connection."""

    link: Link
    held: deque[_Held] = field(default_factory=deque)
    unacknowledged: dict[str, list[int]] = field(default_factory=dict)
    """The broker's numbers of the messages that brought an image, by arrival."""
    listening: bool = False


@dataclass(frozen=True, slots=True)
class PoolSource:
    """Takes images that cameras send, and acknowledges each only when its answer is committed.

    Killed in between, the broker sends it again: to this worker when it comes back, and the camera to the others when
    it has waited long enough. The arrival id is made of camera and capture, so it is the same for all of them.
    """

    settings: PoolSettings
    station: str
    part: Callable[[], str] = field(repr=False)
    """The one that is inspected where an image does not say."""
    mqtt: MqttSettings
    new_id: Callable[[], str] = field(repr=False)
    open_ledger: Callable[[], Ledger] = field(repr=False)
    now_ns: Now = field(repr=False)
    monotonic_ns: Now = field(repr=False)
    rng: Random = field(repr=False)
    say_again: Callable[[Resend], None] = field(repr=False)
    """Has a result published that its camera has not heard."""
    inbox: Inbox = field(default_factory=queue.SimpleQueue, repr=False)
    can_wait: bool = field(default=True, init=False)
    """An image stays at the broker until there is room in the queue."""

    def events(self, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield images as the broker hands them out; connects again, later and later, when that fails."""
        wait = _FIRST_WAIT_S
        while True:
            link = connect(self._dial())
            if isinstance(link, Link):
                with closing(self._serve(link, wanted)) as events:
                    for event in events:
                        wait = _FIRST_WAIT_S if isinstance(event, Accepted) else wait
                        yield event
            else:
                yield Trouble(f"pool {self.settings.pool}: no connection to the broker: {link}")
            until = self.monotonic_ns() + int(wait * self.rng.uniform(0.5, 1.0) * _SECOND_NS)
            wait = min(_LONGEST_WAIT_S, 2 * wait)
            while (left := until - self.monotonic_ns()) > 0:
                self._hear(min(_KNOCK_S, left / _SECOND_NS))  # of a connection that is gone: the broker sends it again
                yield Idle()

    def done(self, arrival_id: str) -> None:
        """Have an image acknowledged: the broker may forget it."""
        self.inbox.put(_Done(arrival_id))

    def _serve(self, link: Link, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield what happens on one connection. Whoever stops or pauses asks for no more, so that others get it."""
        talk = _Connection(link)
        try:
            with self.open_ledger() as ledger:
                yield from self._talk(talk, ledger, wanted)
        except DiskError as error:
            yield Trouble(f"pool {self.settings.pool}: {error}")
        finally:
            if talk.listening:
                link.unsubscribe(self._shared())
            link.close()

    def _talk(self, talk: _Connection, ledger: Ledger, wanted: Callable[[], bool]) -> Iterator[SourceEvent]:
        """Yield what happens until the connection is lost.

        Raises:
            DiskError: the ledger cannot be read.
        """
        wanted_ns = self.monotonic_ns()
        yield Opened(f"pool {self.settings.pool}")
        while True:
            if wanted():
                wanted_ns = self.monotonic_ns()
            self._listen(talk, willing=self.monotonic_ns() - wanted_ns < _UNWILLING_NS)
            match self._hear(_KNOCK_S):
                case ConnectionLost(link=link, why=why) if link is talk.link:
                    yield Trouble(f"pool {self.settings.pool}: the connection to the broker was lost: {why}")
                    return
                case Acknowledged(link=link) as answer if link is talk.link and (topic := link.refusal(answer)):
                    yield Trouble(f"the broker refuses {topic} ({answer.refused}): see its ACL")
                case Incoming(link=link) as message if link is talk.link:
                    talk.held.append(_Held(message, self.monotonic_ns()))
                case _Done(arrival_id=arrival_id):
                    self._acknowledge(talk, arrival_id)
                case _:
                    pass
            while talk.held and wanted():
                yield self._take(talk, ledger, talk.held.popleft())
            yield Idle()

    def _listen(self, talk: _Connection, *, willing: bool) -> None:
        if willing and not talk.listening:
            talk.link.subscribe(self._shared())
        if talk.listening and not willing:
            talk.link.unsubscribe(self._shared())
        talk.listening = willing

    def _hear(self, seconds: float) -> object:
        try:
            return self.inbox.get(timeout=seconds)
        except queue.Empty:
            return None

    def _acknowledge(self, talk: _Connection, arrival_id: str) -> None:
        for mid in talk.unacknowledged.pop(arrival_id, ()):
            talk.link.acknowledge(mid)

    def _take(self, talk: _Connection, ledger: Ledger, held: _Held) -> SourceEvent:
        """Return an image to be judged; one that was judged before gets its answer again, and no other."""
        accepted = self._accepted(held)
        identity = accepted.arrival.identity
        talk.unacknowledged.setdefault(identity.id, []).append(held.message.mid)
        payload = ledger.results.payload_of(identity.id)
        if payload is None:
            return accepted
        seq = Result.model_validate_json(payload).seq
        self.say_again(Resend(seq, seq))
        self._acknowledge(talk, identity.id)
        return Idle()

    def _accepted(self, held: _Held) -> Accepted:
        message = held.message
        sender = ""
        try:
            sender = camera_of(message.topic.removeprefix(f"{self._topic()}/"))
            stamp = read_stamp(message.user)
        except StampError as error:
            logger.warning("an image on %s: %s", message.topic, error)
            return Accepted(Unreadable(self._nameless(sender), Reason.BAD_STAMP, str(error)), held.came_ns)
        identity = self._identity(sender, stamp, again=message.again)
        if stamp.no_image:
            return Accepted(Unreadable(identity, NO_IMAGES[stamp.no_image], stamp.detail), held.came_ns)
        if message.size > self._most():
            detail = f"{message.size} bytes, at most {self._most()} are taken (max_mb)"
            return Accepted(Unreadable(identity, Reason.TOO_LARGE, detail), held.came_ns)
        return Accepted(Frame(identity, message.payload), held.came_ns)

    def _identity(self, sender: str, stamp: Stamp, *, again: bool) -> Identity:
        return Identity(
            id=arrival_id(sender, stamp.capture),
            station=self.station,
            part=stamp.part or self.part(),
            captured_ns=stamp.captured_ns,
            captured_source=stamp.captured_source,
            serial=stamp.serial,
            lot=stamp.lot,
            view=stamp.view,
            group=stamp.group,
            replayed=again or stamp.again,
            sender=sender,
        )

    def _nameless(self, sender: str) -> Identity:
        """Return the identity of an image that does not say what it is; when it was taken nobody knows."""
        return Identity(
            id=self.new_id(),
            station=self.station,
            part=self.part(),
            captured_ns=self.now_ns(),
            captured_source="grab",
            sender=sender,
        )

    def _dial(self) -> ConnectionOptions:
        session = Session(self.settings.away_s, _RECEIVE_MAXIMUM)
        client_id = f"{self.station}-pictures"
        return ConnectionOptions(self.mqtt, client_id, self.inbox, session=session, most_heard=self._most() + 1)

    def _topic(self) -> str:
        return pool_topic(self.mqtt.root, self.settings.pool)

    def _shared(self) -> str:
        return f"$share/{self.settings.pool}/{self._topic()}/+"

    def _most(self) -> int:
        """Return the bytes of the largest image that is taken."""
        return self.settings.max_mb * 1_000_000
