"""A camera, network stream or video file as a source: images by trigger, reopened when it dies or hangs."""

import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from random import Random
from typing import TypeAlias

import numpy as np

from edge_inspector.inspection.model import Arrival, Frame, Identity, Image, Reason, Unreadable
from edge_inspector.line.environment import Now
from edge_inspector.line.sources.camera import Damaged, Ended, Grabbed, Reader, Readings, Started
from edge_inspector.line.sources.presence import Presence
from edge_inspector.line.sources.snapshot import SnapshotReader
from edge_inspector.line.sources.source import Accepted, Idle, Opened, SourceEvent, Trouble
from edge_inspector.line.sources.triggers import Trigger, identity_of
from edge_inspector.settings import CaptureSettings

logger = logging.getLogger(__name__)

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_SECOND_NS = 1_000_000_000
_OPENING_NS = 6 * _SECOND_NS
"""So long may opening take: the backend's own limit is five seconds."""
_LEAST_AGE_NS = _SECOND_NS
_PERIODS = 3
_KNOCK_S = 0.25
_JOIN_S = 1.0
"""For a reader that is well; one that hangs in the driver ends with the process."""

CameraNews: TypeAlias = Trigger | Started | Grabbed | Ended


class CaptureSource:
    """Hears a reader's frames and the triggers in one queue, so that a camera that hangs holds up nothing."""

    can_wait = False
    """An image that finds the queue full is answered at once: the next part is already in front of the camera."""

    def __init__(
        self,
        settings: CaptureSettings,
        station: str,
        part: Callable[[], str],
        *,
        new_id: Callable[[], str],
        now_ns: Now,
        monotonic_ns: Now,
        wait: Callable[[float], None],
        rng: Random,
        triggers: "queue.SimpleQueue[CameraNews]",
    ) -> None:
        self._settings = settings
        self._station = station
        self._part = part
        self._new_id = new_id
        self._now_ns = now_ns
        self._monotonic_ns = monotonic_ns
        self._wait = wait
        self._rng = rng
        self._inbox = triggers
        self._waiting: list[Trigger] = []
        self._last: Image | None = None
        self._equal = 1
        """How many consecutive images, the last one included, were identical."""
        self._due_ns = 0
        self._presence = _presence(settings)
        self._shape: tuple[int, ...] = ()

    def events(self, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield images by trigger; opens the camera again, later and later, when it gives none."""
        backoff = _FIRST_WAIT_S
        while True:
            with closing(self._session(wanted)) as session:
                for event in session:
                    backoff = _FIRST_WAIT_S if isinstance(event, Accepted) else backoff
                    yield event
            until = self._monotonic_ns() + int(backoff * self._rng.uniform(0.5, 1.0) * _SECOND_NS)
            backoff = min(_LONGEST_WAIT_S, 2 * backoff)
            while (left := until - self._monotonic_ns()) > 0:
                yield from self._refuse_for(min(_KNOCK_S, left / _SECOND_NS))
                yield Idle()

    def done(self, arrival_id: str) -> None:
        """Let go of an image: there is nothing to put away."""

    def _session(self, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield what happens from one opening to its end; a reader that hangs is waited for, with its alarm said."""
        stop = threading.Event()
        requests: queue.SimpleQueue[int] = queue.SimpleQueue()
        reader = self._reader(requests, stop)
        thread = threading.Thread(target=reader.run, name=f"{self._station} camera", daemon=True)
        thread.start()
        heard = said = self._monotonic_ns()
        limit = max(_OPENING_NS, _PERIODS * self._settings.timeout_ms * 1_000_000)
        try:
            while True:
                news = self._hear()
                now = self._monotonic_ns()
                if isinstance(news, Ended):
                    yield Trouble(news.detail)
                    yield from self._refuse()
                    return
                if stop.is_set():
                    yield from self._refuse()
                elif isinstance(news, Started):
                    heard, limit = now, max(_LEAST_AGE_NS, _PERIODS * news.period_ns)
                    self._begin(requests, now)
                    yield Opened(news.detail, news.warning)
                elif isinstance(news, Grabbed):
                    heard = now
                    yield from self._take(news, requests, wanted)
                elif isinstance(news, Trigger):
                    requests.put(self._ready_ns(news))
                if not stop.is_set() and now - heard > limit and self._inbox.empty():
                    stop.set()
                    yield Trouble(f"{self._settings.shown} gives no image: none for {(now - heard) / 1e9:.1f} s")
                    yield from self._refuse()
                if now - said >= _SECOND_NS // 2 or news is None:
                    said = now
                    yield Idle()
        finally:
            stop.set()
            thread.join(_JOIN_S)

    def _reader(self, requests: "queue.SimpleQueue[int]", stop: threading.Event) -> Reader | SnapshotReader:
        if self._settings.mode == "snapshot":
            return SnapshotReader(self._settings, requests, self._inbox.put, stop, self._monotonic_ns)
        return Reader(
            settings=self._settings,
            every=self._settings.trigger in ("every_frame", "presence"),
            requests=requests,
            say=self._inbox.put,
            waiting=self._inbox.qsize,
            stop=stop,
            monotonic_ns=self._monotonic_ns,
            wait=self._wait,
        )

    def _begin(self, requests: "queue.SimpleQueue[int]", now: int) -> None:
        """Ask for what is due: the triggers that came while the camera was opened, and the first image."""
        for trigger in self._waiting:
            requests.put(self._ready_ns(trigger))
        if self._settings.trigger == "interval":
            self._due_ns = now
            requests.put(now)
        self._presence = _presence(self._settings)
        self._shape = ()

    def _hear(self, seconds: float = _KNOCK_S) -> CameraNews | None:
        """Return the next news, None when there is none; a trigger is remembered until it is answered."""
        try:
            news = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(news, Trigger):
            self._waiting.append(news)
        return news

    def _take(
        self, grabbed: Grabbed, requests: "queue.SimpleQueue[int]", wanted: Callable[[], bool]
    ) -> Iterator[SourceEvent]:
        """Yield what one frame answers."""
        image = grabbed.image
        if image is None:
            if self._settings.trigger == "every_frame" and wanted():
                yield self._lost(grabbed)
            return
        if not isinstance(image, Damaged):
            self._note_shape(image)
        due, chosen = self._answered_by(grabbed), self._chosen(grabbed.exposed_ns, image, requests)
        if chosen is not None and not wanted():
            chosen = None
        looked_at = image if chosen is None else chosen
        frozen = bool(due or chosen is not None) and not isinstance(looked_at, Damaged) and self._is_frozen(looked_at)
        for trigger in due:
            identity = replace(identity_of(trigger, self._station), camera=grabbed.readings)
            yield Accepted(self._arrival(identity, image, frozen=frozen), trigger.accepted_ns)
        if chosen is not None:
            identity = self._identity(grabbed.readings)
            yield Accepted(self._arrival(identity, chosen, frozen=frozen), grabbed.exposed_ns)

    def _chosen(
        self, exposed_ns: int, image: Image | Damaged, requests: "queue.SimpleQueue[int]"
    ) -> Image | Damaged | None:
        """Return the image that a frame makes by itself, None where it makes none."""
        match self._settings.trigger:
            case "interval" if exposed_ns >= self._due_ns:
                period = self._settings.interval_ms * 1_000_000
                self._due_ns = max(self._due_ns + period, exposed_ns)
                requests.put(self._due_ns)
                return image
            case "every_frame":
                return image
            case "presence":
                if isinstance(image, Damaged):
                    return image if self._presence.miss() else None
                return self._presence.see(image)
            case _:
                return None

    def _note_shape(self, image: Image) -> None:
        """Begin again where the size of the images changes: each of another size is INVALID by its recipe."""
        if self._shape and image.shape != self._shape:
            logger.warning("%s: images changed from %s to %s", self._settings.shown, self._shape, image.shape)
            self._presence = _presence(self._settings)
        self._shape = image.shape

    def _ready_ns(self, trigger: Trigger) -> int:
        """Return from when on a frame may answer a trigger."""
        return trigger.accepted_ns + self._settings.delay_ms * 1_000_000

    def _answered_by(self, grabbed: Grabbed) -> tuple[Trigger, ...]:
        """Return the triggers that a frame answers: exposed at or after trigger + delay."""
        due = tuple(trigger for trigger in self._waiting if self._ready_ns(trigger) <= grabbed.exposed_ns)
        self._waiting = [trigger for trigger in self._waiting if trigger not in due]
        return due

    def _refuse_for(self, seconds: float) -> Iterator[Accepted]:
        """Answer triggers at once while there is no camera."""
        until = self._monotonic_ns() + int(seconds * _SECOND_NS)
        while (left := until - self._monotonic_ns()) > 0:
            self._hear(left / _SECOND_NS)
            yield from self._refuse()

    def _refuse(self) -> Iterator[Accepted]:
        refused, self._waiting = self._waiting, []
        for trigger in refused:
            identity = identity_of(trigger, self._station)
            detail = f"{self._settings.shown} gives no image"
            yield Accepted(Unreadable(identity, Reason.NO_IMAGE, detail), trigger.accepted_ns)

    def _lost(self, grabbed: Grabbed) -> Accepted:
        detail = "frames come faster than they can be taken in"
        return Accepted(Unreadable(self._identity(()), Reason.OVERRUN, detail), grabbed.exposed_ns)

    def _identity(self, readings: Readings) -> Identity:
        return Identity(
            id=self._new_id(),
            station=self._station,
            part=self._part(),
            captured_ns=self._now_ns(),
            captured_source="grab",
            camera=readings,
        )

    def _is_frozen(self, image: Image) -> bool:
        """Say whether the camera repeats itself: its noise alone makes two real images differ."""
        same = self._last is not None and np.array_equal(self._last, image)
        self._last, self._equal = image, self._equal + 1 if same else 1
        return 0 < self._settings.frozen <= self._equal

    def _arrival(self, identity: Identity, image: Image | Damaged, *, frozen: bool) -> Arrival:
        if isinstance(image, Damaged):
            return Unreadable(identity, image.reason, image.detail)
        if frozen:
            return Unreadable(identity, Reason.FROZEN, f"{self._equal} consecutive images are identical")
        return Frame(identity, image)


def _presence(settings: CaptureSettings) -> Presence:
    return Presence(settings.region, settings.presence_share, settings.presence_change)
