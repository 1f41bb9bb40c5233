"""Sends a camera's images to a pool of workers, and keeps each until its result has come back."""

import json
import logging
import queue
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from random import Random

from edge_inspector.inspection.model import Reason, Unreadable, Views
from edge_inspector.line.broker.link import (
    Acknowledged,
    ConnectionLost,
    ConnectionOptions,
    Inbox,
    Incoming,
    Link,
    Will,
    links,
)
from edge_inspector.line.pool.spool import read_notice
from edge_inspector.line.pool.stamps import Stamp, arrival_id, write_stamp
from edge_inspector.line.sources.source import Accepted, Idle, NotPutAway, Opened, PassedOver, Source, Trouble
from edge_inspector.line.ticks import Fault, Worker
from edge_inspector.settings import CameraSettings
from edge_inspector.wire.topics import pool_topic

logger = logging.getLogger(__name__)

_STALLED_NS = 30_000_000_000
_LOSSES = 2
"""So many connections that end while one and the same image is on its way: the broker does not take it."""
_KNOCK_S = 0.5


@dataclass(frozen=True, slots=True)
class Intake:
    """The thread that takes images from the source, no more than may be under way."""

    source: Source
    room: "queue.Queue[None]" = field(repr=False)
    """A place for each image that may be under way."""
    inbox: Inbox = field(repr=False)
    worker: Worker
    told: set[str] = field(default_factory=set)
    """The last thing that was said of what is not taken."""

    def run(self) -> None:
        """Take images until stopped."""
        with closing(self.source.events(lambda: not self.room.full())) as events:
            for event in events:
                match event:
                    case Accepted():
                        self._hand_over(event)
                    case Trouble(detail=detail):
                        logger.warning("no images: %s", detail)
                    case Opened(detail=detail):
                        logger.warning("images come from %s", detail)
                    case PassedOver(detail=detail) | NotPutAway(detail=detail):
                        self._warn(detail)
                    case Idle():
                        pass
                if self.worker.stopping():
                    return

    def _warn(self, detail: str) -> None:
        """Tell of what is not taken, or not put away, once: it is said again and again."""
        if detail and detail not in self.told:
            logger.warning("%s", detail)
            self.told.clear()
            self.told.add(detail)

    def _hand_over(self, accepted: Accepted) -> None:
        while not self.worker.stopping():
            try:
                self.room.put(None, timeout=_KNOCK_S)
            except queue.Full:
                continue
            self.inbox.put(accepted)
            return


@dataclass(slots=True)
class _Kept:
    """An image without a result."""

    image: bytes
    stamp: Stamp
    due_ns: int = 0
    """Monotonic; when it is to be sent."""
    begun_ns: int = 0
    losses: int = 0
    """Connections that ended while it was on its way."""


class Sender:
    """Owns the connection. One image at a time is on its way to the broker: if it is fatal, it is known which."""

    def __init__(
        self,
        settings: CameraSettings,
        *,
        inbox: Inbox,
        room: "queue.Queue[None]",
        done: Callable[[str], None],
        worker: Worker,
        rng: Random,
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._room = room
        self._done = done
        self._worker = worker
        self._rng = rng
        self._topic = f"{pool_topic(settings.mqtt.root, settings.pool)}/{settings.name}"
        self._kept: dict[str, _Kept] = {}
        """By the id that the result will have."""
        self._on_its_way: tuple[int, str] | None = None
        """The client's number of the image that the broker has not acknowledged, and its id."""
        self._judged: dict[str, None] = {}
        """Captures whose results have come and that are not put away yet, oldest first."""
        self._sent_ns = 0
        self._complained = False

    def run(self) -> None:
        """Send until stopped, over any number of connections."""
        gone = Will(f"{self._topic}/availability", "offline")
        options = ConnectionOptions(
            self._settings.mqtt, f"camera-{self._settings.name}", self._inbox, gone, subscribe=f"{self._topic}/result"
        )
        for link in links(options, self._worker, self._rng, self._while_away):
            link.publish(gone.topic, "online", 1, retain=True)
            self._on_its_way = None
            self._serve(link)
            if self._worker.stopping():
                link.publish(gone.topic, gone.payload, 1, retain=True)

    def _serve(self, link: Link) -> None:
        while not self._worker.stopping():
            self._worker.tick()
            self._send(link)
            self._read_reports()
            try:
                message = self._inbox.get(timeout=_KNOCK_S)
            except queue.Empty:
                message = None
            match message:
                case ConnectionLost(link=lost) if lost is link:
                    self._blame()
                    return
                case Acknowledged(link=of) if of is link:
                    self._take_acknowledgement(link, message)
                case Incoming(link=of) if of is link:
                    self._settle(message.payload)
                case Accepted():
                    self._keep(message)
                case _:
                    pass
            if self._on_its_way and self._now() - self._sent_ns > _STALLED_NS:
                self._blame()
                return

    def _while_away(self) -> None:
        """Between connections images are kept; what else comes is of a connection that is gone."""
        with suppress(queue.Empty):
            while True:
                message = self._inbox.get_nowait()
                if isinstance(message, Accepted):
                    self._keep(message)
        self._read_reports()

    def _read_reports(self) -> None:
        while not self._worker.reports.empty():
            report = self._worker.reports.get()
            if isinstance(report, Fault) and report.active:
                logger.warning("%s", report.message)

    def _keep(self, accepted: Accepted) -> None:
        image, stamp = _described(accepted)
        most = self._settings.max_mb * 1_000_000
        if len(image) > most:
            detail = f"{len(image)} bytes, at most {most} are sent (max_mb)"
            image, stamp = b"", replace(stamp, no_image=Reason.TOO_LARGE.name, detail=detail)
        self._kept[arrival_id(self._settings.name, stamp.capture)] = _Kept(image, stamp, begun_ns=self._now())

    def _send(self, link: Link) -> None:
        """Send the first image that is due, unless one is on its way."""
        now = self._now()
        due = next((name for name, kept in self._kept.items() if kept.due_ns <= now), None)
        if self._on_its_way or due is None:
            return
        kept = self._kept[due]
        if kept.due_ns and not (kept.losses or self._complained):
            self._complained = True
            logger.warning(
                "no result of %s for %d s, it is sent again: is a worker of pool %s running?",
                *(kept.stamp.capture, self._settings.resend_s, self._settings.pool),
            )
        stamp = replace(kept.stamp, again=kept.stamp.again or kept.due_ns > 0)
        wait_s = self._settings.resend_s
        mid = link.publish_image(self._topic, kept.image, write_stamp(stamp), expires_s=wait_s)
        if mid is not None:
            self._on_its_way, self._sent_ns = (mid, due), now
            kept.due_ns = now + wait_s * 1_000_000_000

    def _take_acknowledgement(self, link: Link, message: Acknowledged) -> None:
        topic = link.refusal(message)
        if topic:
            logger.warning("the broker refuses %s (%s): see its ACL", topic, message.refused)
        if self._on_its_way and self._on_its_way[0] == message.mid:
            kept = self._kept.get(self._on_its_way[1])
            if kept is not None:
                kept.losses = 0
            self._on_its_way = None

    def _blame(self) -> None:
        """Note that the connection ended with an image on its way; again and again, and it is not sent any more."""
        kept = self._kept.get(self._on_its_way[1]) if self._on_its_way else None
        if kept is None:
            return
        kept.losses += 1
        kept.due_ns = min(kept.due_ns, self._now())
        if kept.losses >= _LOSSES and kept.image:
            detail = f"the broker ended {_LOSSES} connections at these {len(kept.image)} bytes: message_size_limit?"
            logger.warning("%s is not sent: %s", kept.stamp.capture, detail)
            kept.stamp = replace(kept.stamp, no_image=Reason.TOO_LARGE.name, detail=detail)
            kept.image = b""

    def _settle(self, payload: bytes) -> None:
        """Let go of an image whose result this is."""
        found = _result_in(payload)
        kept = self._kept.pop(found.id, None)
        if kept is None:
            return  # said again, or of an earlier run
        self._complained = False
        logger.info("%s %s %.0f ms", found.id, found.verdict, (self._now() - kept.begun_ns) / 1e6)
        self._put_away(kept.stamp.capture)
        with suppress(queue.Empty):
            self._room.get_nowait()

    def _put_away(self, capture: str) -> None:
        """Put a judged image away, and those that could not be put away before."""
        self._judged[capture] = None
        why = ""
        for one in tuple(self._judged):
            try:
                self._done(one)
            except OSError as error:
                why = str(error)
            else:
                del self._judged[one]
        if why:
            logger.warning("%d judged image(s) cannot be put away, it is tried again: %s", len(self._judged), why)

    def _now(self) -> int:
        return self._worker.monotonic_ns()


@dataclass(frozen=True, slots=True)
class _Found:
    id: str = ""
    verdict: str = ""


def _result_in(payload: bytes) -> _Found:
    """Return what is needed of a result, and nothing of what is none; a newer worker's may have more fields."""
    try:
        result = json.loads(payload)
        return _Found(str(result["id"]), str(result["verdict"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        logger.warning("no result, though it came as one: %s", error)
        return _Found()


def _described(accepted: Accepted) -> tuple[bytes, Stamp]:
    """Return an image's bytes and what it says of itself; without bytes it says why."""
    arrival, identity = accepted.arrival, accepted.arrival.identity
    stamp = Stamp(
        capture=identity.id,
        captured_ns=identity.captured_ns,
        captured_source=identity.captured_source,
        part=identity.part,
        serial=identity.serial,
        lot=identity.lot,
        view=identity.view,
        group=identity.group,
        again=identity.replayed,
    )
    if isinstance(arrival, Views):
        raise TypeError("a camera has no bundle that would know of views")
    if isinstance(arrival, Unreadable):
        return b"", replace(stamp, no_image=arrival.reason.name, detail=arrival.detail)
    if not isinstance(arrival.image, bytes):
        raise TypeError("a camera's frames go through the spool")
    notice = read_notice(arrival.image)
    if notice is not None:
        return b"", replace(stamp, no_image=notice.reason, detail=notice.detail)
    return arrival.image, stamp
