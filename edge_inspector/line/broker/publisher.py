"""The results connection: everything in the ledger, in order, nothing lost."""

import contextlib
import logging
import queue
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from edge_inspector.errors import DiskError
from edge_inspector.line.broker.link import (
    MAX_PAYLOAD,
    Acknowledged,
    ConnectionLost,
    ConnectionOptions,
    Inbox,
    Link,
    links,
)
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.ledger.outbox import OutboxEntry
from edge_inspector.line.ticks import Fault, Worker, refusal_fault
from edge_inspector.wire.messages import Result
from edge_inspector.wire.topics import topic_of

logger = logging.getLogger(__name__)

WINDOW = 32
"""Ledger lines under way at once."""
_STALLED_NS = 30_000_000_000
_FLUSH = 16


@dataclass(slots=True)
class _UnderWay:
    """A ledger line whose messages the broker has not all acknowledged."""

    n: int
    sent_ns: int
    mids: set[int]


@dataclass(frozen=True, slots=True)
class NewResults:
    """There is something new in the ledger."""


@dataclass(frozen=True, slots=True)
class Resend:
    """Asks for results to be sent again."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Publisher:
    """Follows the ledger by its cursor, which moves on a successful PUBACK only."""

    base: str
    options: ConnectionOptions
    worker: Worker
    open_ledger: Callable[[], Ledger] = field(repr=False)
    rng: Random = field(repr=False)
    thumb_bytes: int
    """Most bytes of thumbnails that wait for the broker."""
    most_waiting: int = 1_000_000
    """Most lines that wait for the broker; beyond that the oldest are passed over."""
    senders: str = ""
    """The topic below which each camera of a pool hears its own results; empty where nobody sent the images."""

    def run(self) -> None:
        """Publish until stopped, over any number of connections."""
        again: deque[Resend] = deque()
        with self.open_ledger() as ledger:
            for link in links(self.options, self.worker, self.rng, partial(self._wait, ledger, again)):
                self._pass_over(ledger)
                _Session(self, ledger, link, again).run()

    def _wait(self, ledger: Ledger, again: "deque[Resend]") -> None:
        """Empty the inbox: what was committed stands in the ledger. A backlog that is too long loses its oldest."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = self.inbox.get_nowait()
                if isinstance(message, Resend):
                    again.append(message)
        self._pass_over(ledger)

    def _pass_over(self, ledger: Ledger) -> None:
        try:
            passed = ledger.outbox.pass_over(self.most_waiting)
        except DiskError as error:
            self.worker.reports.put(Fault("delivery", str(error)))
            return
        if passed:
            message = f"more than {self.most_waiting} results waited for the broker: the oldest were not sent"
            self.worker.reports.put(Fault("undelivered", f"{message}; cmd/resend fetches them"))

    @property
    def inbox(self) -> Inbox:
        """Where to say that something was committed."""
        return self.options.inbox


class _Session:
    """One connection's worth of publishing; begins where the cursor stands, so a line may be sent twice."""

    def __init__(self, publisher: Publisher, ledger: Ledger, link: Link, again: "deque[Resend]") -> None:
        self._publisher = publisher
        self._ledger = ledger
        self._link = link
        self._under_way: deque[_UnderWay] = deque()
        self._again = again
        self._sent_again: set[int] = set()
        self._saved = self._cursor = self._sent = ledger.outbox.cursor()

    def run(self) -> None:
        worker = self._publisher.worker
        alive = True
        while alive and not worker.stopping():
            worker.tick()
            self._send()
            self._send_again()
            self._keep(lambda: self._ledger.outbox.trim_thumbs(self._publisher.thumb_bytes))
            alive = self._hear() and not self._stalled()
            self._settle()
        if alive:
            self._last_words()

    def _send(self) -> None:
        room = WINDOW - len(self._under_way)
        if not self._under_way and self._cursor == self._ledger.outbox.newest():
            self._publisher.worker.reports.put(Fault("undelivered", "", active=False))
        for entry in self._ledger.outbox.entries_after(self._sent, room) if room else ():
            self._sent = entry.n
            sent = (self._publish(entry), self._publish_thumb(entry), self._tell_sender(entry.topic, entry.payload))
            mids = {mid for mid in sent if mid is not None}
            self._under_way.append(_UnderWay(entry.n, self._publisher.worker.monotonic_ns(), mids))

    def _publish(self, entry: OutboxEntry) -> int | None:
        topic = topic_of(entry.topic)
        whole = f"{self._publisher.base}/{topic.name}"
        mid = self._link.publish(whole, entry.payload, topic.qos, retain=topic.retain, name=entry.id)
        if mid is None:
            self._bury(entry.n, entry.topic, f"{len(entry.payload)} bytes are too many")
            self._say_too_large(topic.name, len(entry.payload))
        return mid

    def _publish_thumb(self, entry: OutboxEntry) -> int | None:
        if entry.thumb is None:
            return None
        topic = topic_of("image/thumb")
        whole = f"{self._publisher.base}/{topic.name}"
        mid = self._link.publish(whole, entry.thumb, topic.qos, retain=topic.retain, name=entry.id)
        if mid is None:
            self._say_too_large(topic.name, len(entry.thumb))
        return mid

    def _say_too_large(self, name: str, size: int) -> None:
        most = min(MAX_PAYLOAD, self._link.most_bytes)
        message = f"{name} of {size:,} bytes is not sent, the broker takes {most:,} at most: raise its packet size"
        self._publisher.worker.reports.put(Fault("refused", message))

    def _tell_sender(self, topic: str, payload: bytes) -> int | None:
        """Publish a result to the camera that sent its image, too: it keeps the image until it hears of it."""
        if topic != "result" or not self._publisher.senders:
            return None
        result = Result.model_validate_json(payload)
        whole = f"{self._publisher.senders}/{result.sender}/result"
        return self._link.publish(whole, payload, 1, retain=False, name=result.id) if result.sender else None

    def _hear(self) -> bool:
        """Wait for news for at most a second and take in all there is; False when the connection is lost."""
        try:
            message = self._publisher.inbox.get(timeout=1.0)
            while True:
                match message:
                    case ConnectionLost(link=link) if link is self._link:
                        return False
                    case Acknowledged(link=link) if link is self._link:
                        self._acknowledge(message)
                    case Resend():
                        self._again.append(message)
                    case _:
                        pass
                message = self._publisher.inbox.get_nowait()
        except queue.Empty:
            return True

    def _send_again(self) -> None:
        """Publish results from the ledger once more, marked as replayed; the cursor has nothing to do with it.

        A windowful at a time: the client drops what it is given beyond its queue without a word.
        """
        if not self._again or self._sent_again:
            return
        request = self._again.popleft()
        last = min(request.last, request.first + WINDOW - 1)
        topic = topic_of("result")
        for payload in self._ledger.results.between(request.first, last):
            result = Result.model_validate_json(payload).model_copy(update={"replayed": True})
            whole = f"{self._publisher.base}/{topic.name}"
            mid = self._link.publish(whole, result.encode(), topic.qos, retain=topic.retain, name=result.id)
            told = self._tell_sender(topic.name, result.encode())
            self._sent_again |= {one for one in (mid, told) if one is not None}
        if last < request.last:
            self._again.appendleft(Resend(last + 1, request.last))
            if not self._sent_again:
                self._publisher.inbox.put(NewResults())  # none of these numbers is in the ledger: go on at once

    def _acknowledge(self, message: Acknowledged) -> None:
        refused = self._link.refusal(message)
        if refused:
            self._publisher.worker.reports.put(refusal_fault(refused, message.refused))
        self._sent_again.discard(message.mid)
        for line in self._under_way:
            if message.mid in line.mids:
                line.mids.discard(message.mid)
                if refused:
                    self._bury(line.n, refused.removeprefix(f"{self._publisher.base}/"), message.refused)
                return

    def _settle(self) -> None:
        """Move the cursor over all lines at the front that were acknowledged."""
        while self._under_way and not self._under_way[0].mids:
            self._cursor = self._under_way.popleft().n
        if self._cursor != self._saved and self._keep(lambda: self._ledger.outbox.move_cursor(self._cursor)):
            self._saved = self._cursor

    def _bury(self, n: int, topic: str, reason: str) -> None:
        logger.warning("ledger line %d is not sent: %s", n, reason)
        self._keep(lambda: self._ledger.outbox.bury(n, topic, reason))

    def _keep(self, write: Callable[[], None]) -> bool:
        """Say whether the disk took it; a full disk must not stop what can still be delivered."""
        try:
            write()
        except DiskError as error:
            self._publisher.worker.reports.put(Fault("delivery", str(error)))
            return False
        self._publisher.worker.reports.put(Fault("delivery", "", active=False))
        return True

    def _stalled(self) -> bool:
        """Whether a message has waited so long for its PUBACK that the client itself must be the trouble."""
        if not self._under_way:
            return False
        return self._publisher.worker.monotonic_ns() - self._under_way[0].sent_ns > _STALLED_NS

    def _last_words(self) -> None:
        """On a clean stop, wait a little for what is under way."""
        self._send()
        for _ in range(_FLUSH):
            if not self._under_way:
                return
            try:
                message = self._publisher.inbox.get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(message, Acknowledged) and message.link is self._link:
                self._acknowledge(message)
                self._settle()
