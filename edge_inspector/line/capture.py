"""A camera, network stream or video file, read with OpenCV: a picture at every interval, reopened when it dies."""

import contextlib
import os
import queue
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import cv2
import numpy as np

from edge_inspector.inspection.model import Arrival, Frame, Identity, Image, Reason, Unreadable
from edge_inspector.line.source import Accepted, Idle, Now, Opened, SourceEvent, Trouble
from edge_inspector.line.triggers import Trigger, identity_of
from edge_inspector.settings import CaptureSettings

_TIMEOUT_MS = 5000
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_SECOND_NS = 1_000_000_000
_FAR_NS = 3600 * _SECOND_NS


class CaptureSource:
    """Grabs without a pause, so that no frame in the driver's buffers is older than the picture asked for."""

    can_wait = False
    """A picture that finds the queue full is answered at once: the next part is already in front of the camera."""

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
        triggers: "queue.SimpleQueue[Trigger]",
    ) -> None:
        self._settings = settings
        self._station = station
        self._part = part
        self._new_id = new_id
        self._now_ns = now_ns
        self._monotonic_ns = monotonic_ns
        self._wait = wait
        self._rng = rng
        self._triggers = triggers
        self._waiting: list[Trigger] = []
        self._last: Image | None = None
        self._equal = 1
        """How many pictures in a row, the last one included, were equal bit by bit."""

    def events(self, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield a picture at every interval; opens the camera again, later and later, when it gives none."""
        backoff = _FIRST_WAIT_S
        while True:
            camera = self._open()
            if camera.isOpened():
                yield Opened(self._settings.device)
                for event in self._watch(camera, wanted):
                    backoff = _FIRST_WAIT_S
                    yield event
            camera.release()
            yield Trouble(f"{self._settings.device} gives no picture: check cable, power and address")
            yield from self._refuse_triggers()
            until = self._monotonic_ns() + int(backoff * self._rng.uniform(0.5, 1.0) * _SECOND_NS)
            backoff = min(_LONGEST_WAIT_S, 2 * backoff)
            while (left := until - self._monotonic_ns()) > 0:
                self._wait(min(0.25, left / _SECOND_NS))
                yield from self._refuse_triggers()
                yield Idle()

    def done(self, arrival_id: str) -> None:
        """Let go of a picture: there is nothing to put away."""

    def _open(self) -> cv2.VideoCapture:
        device = self._settings.device
        index = int(device) if device.isdecimal() else device
        camera = cv2.VideoCapture()
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
        is_stream = not device.isdecimal() and not os.path.exists(device)  # noqa: PTH110 - a URL is no path
        camera.open(index, *((cv2.CAP_FFMPEG, limits) if is_stream else (cv2.CAP_ANY,)))
        for name, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, self._settings.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, self._settings.height),
        ):
            if value is not None:
                camera.set(name, value)
        return camera

    def _watch(self, camera: cv2.VideoCapture, wanted: Callable[[], bool]) -> Iterator[SourceEvent]:
        """Yield pictures until the camera gives none."""
        period = self._settings.interval_ms * 1_000_000
        due = said = self._monotonic_ns()
        with closing(self._frames(camera)) as frames:
            for grabbed in frames:
                now = self._monotonic_ns()
                asked = self._due_triggers(grabbed)
                by_itself = self._settings.trigger == "interval" and now >= due
                if by_itself:
                    due = max(due + period, now)
                if asked or (by_itself and wanted()):
                    fetched, image = camera.retrieve()
                    if not fetched or image is None or not image.size:
                        self._waiting = [*asked, *self._waiting]
                        return
                    frozen = self._is_frozen(image)
                    for trigger in asked:
                        identity = identity_of(trigger, self._station)
                        yield Accepted(self._arrival(identity, image, frozen=frozen), trigger.accepted_ns)
                    if by_itself and wanted():
                        yield self._accept(image, grabbed, frozen=frozen)
                if now - said >= _SECOND_NS // 2:
                    said = now
                    yield Idle()

    def _due_triggers(self, grabbed_ns: int) -> tuple[Trigger, ...]:
        """Return the triggers that a frame grabbed at that time may answer: exposed at or after trigger + delay."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._waiting.append(self._triggers.get_nowait())
        delay = self._settings.delay_ms * 1_000_000
        due = tuple(trigger for trigger in self._waiting if trigger.accepted_ns + delay <= grabbed_ns)
        self._waiting = [trigger for trigger in self._waiting if trigger not in due]
        return due

    def _refuse_triggers(self) -> Iterator[Accepted]:
        """Answer triggers at once while there is no camera."""
        for trigger in self._due_triggers(self._monotonic_ns() + _FAR_NS):
            identity = identity_of(trigger, self._station)
            detail = f"{self._settings.device} gives no picture"
            yield Accepted(Unreadable(identity, Reason.NO_PICTURE, detail), trigger.accepted_ns)

    def _frames(self, camera: cv2.VideoCapture) -> Generator[int]:
        """Grab frame after frame and yield from when on each was exposed: not before the one before it had come.

        A file is played at its own speed.
        """
        rate = camera.get(cv2.CAP_PROP_FPS) if Path(self._settings.device).is_file() else 0
        start, count = self._monotonic_ns(), 0
        exposed = start
        while camera.grab():
            count += 1
            if rate > 0:
                ahead = start + int(count / rate * _SECOND_NS) - self._monotonic_ns()
                self._wait(max(0.0, ahead / _SECOND_NS))
            yield exposed
            exposed = self._monotonic_ns()

    def _accept(self, image: Image, grabbed_ns: int, *, frozen: bool) -> Accepted:
        identity = Identity(
            id=self._new_id(),
            station=self._station,
            part=self._part(),
            captured_ns=self._now_ns(),
            captured_source="grab",
        )
        return Accepted(self._arrival(identity, image, frozen=frozen), grabbed_ns)

    def _is_frozen(self, image: Image) -> bool:
        """Say whether the camera repeats itself: its noise alone makes two real pictures differ."""
        same = self._last is not None and np.array_equal(self._last, image)
        self._last, self._equal = image, self._equal + 1 if same else 1
        return 0 < self._settings.frozen <= self._equal

    def _arrival(self, identity: Identity, image: Image, *, frozen: bool) -> Arrival:
        if frozen:
            return Unreadable(identity, Reason.FROZEN, f"{self._equal} pictures in a row are equal bit by bit")
        return Frame(identity, image)
