"""Copies images of good parts to train from while the station works; it changes no verdict and holds none up."""

import queue
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

import cv2

from edge_inspector.errors import DataError
from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.model import Arrival, Frame, Verdict, Views
from edge_inspector.line.collect.image_collection import ImageCollection, Taken
from edge_inspector.line.collect.request import CollectionRequest
from edge_inspector.line.sources.source import Accepted
from edge_inspector.line.ticks import Worker
from edge_inspector.wire.messages import CollectedImage, Collection, utc

_MORE_FREE = 2
"""Times as much disk is left free as the archive leaves: what is collected must not drive out what is kept."""
_IDLE_NS = 30 * 60_000_000_000
"""Nobody remembers after so long what is being collected."""
State: TypeAlias = Literal["taking", "complete", "ended", "failed"]


@dataclass(frozen=True, slots=True)
class Shot:
    """A part that was answered: its images, and what they came out as."""

    accepted: Accepted = field(repr=False)
    verdict: Verdict
    challenge: bool
    """Known to be bad: never trained."""


@dataclass(slots=True)
class _RunningCollection:
    """The collection that is going on."""

    request: CollectionRequest
    image_collection: ImageCollection
    folder: Path
    heard_ns: int
    """Monotonic, when the last part came."""
    state: State = "taking"
    detail: str = ""
    not_ok: int = 0
    passed_over: int = 0
    views: tuple[str, ...] = ()
    last: CollectedImage | None = None


@dataclass(frozen=True, slots=True)
class Collector:
    """Writes images in a thread of its own; one collection at a time, each into a folder of its own."""

    folder: Path
    min_free_mb: int
    """The archive's: a collection ends before the archive has to make room."""
    worker: Worker
    say: Callable[[bytes], None] = field(repr=False)
    """Publishes the topic `collection`."""
    shots: "queue.Queue[Shot]" = field(repr=False)
    """Bounded: images are large."""
    requests: "queue.SimpleQueue[CollectionRequest]" = field(default_factory=queue.SimpleQueue, repr=False)
    busy: threading.Event = field(default_factory=threading.Event, repr=False)
    missed: "queue.SimpleQueue[None]" = field(default_factory=queue.SimpleQueue, repr=False)
    """One for each part that found no room."""

    def accept(self, request: CollectionRequest) -> str:
        """Begin or end a collection, and return why not; the supervisor calls this."""
        if request.count and self.busy.is_set():
            return "images are being collected already; end that first (count 0)"
        self.requests.put(request)
        if request.count:
            self.busy.set()
        return ""

    def offer(self, shot: Shot) -> None:
        """Take an answered part without waiting; the judging thread calls this."""
        if not self.busy.is_set():
            return
        try:
            self.shots.put_nowait(shot)
        except queue.Full:
            self.missed.put(None)

    def run(self) -> None:
        """Collect until stopped; what an earlier run retained at the broker is taken back."""
        self.worker.step_back()
        with suppress(OSError):
            if self.folder.exists():
                self._say_none()
        going: _RunningCollection | None = None
        while not self.worker.stopping():
            self.worker.tick()
            try:
                shot = self.shots.get(timeout=0.25)
            except queue.Empty:
                shot = None
            while not self.requests.empty():
                going = self._turn(going, self.requests.get())
            if going is not None and shot is not None:
                self._take(going, shot)
            going = self._going_on(going)
        if going is not None:
            self._end(going, "the program ends")

    def _turn(self, going: _RunningCollection | None, request: CollectionRequest) -> _RunningCollection | None:
        """Return what is going on after a request: the collection that it begins, or the one that it ends."""
        if request.count:
            moment = datetime.fromtimestamp(request.since_ns // 1_000_000_000, UTC)
            folder = self.folder / f"{request.part}-{moment:%Y%m%d-%H%M%S}"
            begun = _RunningCollection(
                request, ImageCollection(folder, group=request.group, serial=request.serial), folder, request.begun_ns
            )
            self._guarded(begun, lambda: folder.mkdir(parents=True, exist_ok=True))
            self._tell(begun)
            return begun
        if going is None:
            self._say_none()
        else:
            self._end(going, f"by {request.by}")
        return going

    def _going_on(self, going: _RunningCollection | None) -> _RunningCollection | None:
        """Return the collection as long as it is not over; one that is forgotten ends by itself."""
        if going is None:
            return None
        if going.state == "taking" and self.worker.monotonic_ns() - going.heard_ns > _IDLE_NS:
            self._end(going, f"no part for {_IDLE_NS // 60_000_000_000} minutes")
        if going.state == "taking":
            return going
        self.busy.clear()
        self._missed()
        return None

    def _take(self, going: _RunningCollection, shot: Shot) -> None:
        """Write a part's images, if it is one of those that are meant, and say how it goes."""
        if shot.accepted.accepted_ns < going.request.begun_ns:
            return
        going.heard_ns = self.worker.monotonic_ns()
        going.passed_over += self._missed()
        going.detail = _unwanted(shot, going.request)
        if going.detail:
            going.passed_over += 1
        else:
            self._guarded(going, lambda: self._write(going, shot))
        if going.state == "taking" and going.image_collection.count >= going.request.count:
            going.state = "complete"
        self._tell(going)

    def _guarded(self, going: _RunningCollection, write: Callable[[], None]) -> None:
        """Do what may fail: an image is passed over, or the collection ends, and nothing else does."""
        try:
            write()
        except (UnreadableImageError, DataError) as error:
            going.passed_over += 1
            going.detail = str(error)
        except (OSError, MemoryError, cv2.error) as error:
            said = getattr(error, "strerror", None) or error or type(error).__name__
            going.state, going.detail = "failed", f"{going.folder}: {said}"

    def _write(self, going: _RunningCollection, shot: Shot) -> None:
        """Write a part's images, one for each view; how the last of them came out is said with the part.

        Raises:
            UnreadablePictureError, DataError: one cannot be taken.
            OSError: the disk does not take them.
        """
        frames = _frames(shot.accepted.arrival)
        for frame in frames:
            self.worker.tick()
            free, least = shutil.disk_usage(going.folder).free // 1_000_000, _MORE_FREE * self.min_free_mb
            if free < least:
                raise OSError(f"{free} MB of disk free, less than {least} MB")
            taken = going.image_collection.add(frame.identity, frame.image)
            going.not_ok += shot.verdict is not Verdict.OK
            view = frame.identity.view
            going.views += (view,) if view and view not in going.views else ()
            going.last = _described(taken, frame, shot.verdict, going.folder)
            if frame is not frames[-1]:
                self._tell(going)

    def _missed(self) -> int:
        """Return how many parts found no room since the last time."""
        count = 0
        while not self.missed.empty():
            self.missed.get()
            count += 1
        return count

    def _end(self, going: _RunningCollection, why: str) -> None:
        going.state, going.detail = "ended", why
        self._tell(going)

    def _say_none(self) -> None:
        self.say(Collection(state="none").encode())

    def _tell(self, going: _RunningCollection) -> None:
        request = going.request
        said = Collection(
            state=going.state,
            detail=going.detail,
            part=request.part,
            is_new=request.is_new,
            by=request.by,
            since=utc(request.since_ns),
            folder=str(going.folder),
            views=going.views,
            wanted=request.count,
            taken=going.image_collection.count,
            not_ok=going.not_ok,
            passed_over=going.passed_over,
            last=going.last,
        )
        self.say(said.encode())


def _unwanted(shot: Shot, request: CollectionRequest) -> str:
    """Return why a part's images are none to train from; empty when they are."""
    arrival = shot.accepted.arrival
    if shot.challenge:
        return "a challenge part: it is known to be bad"
    if arrival.identity.replayed:
        return "it was taken before, or waited past its deadline"
    if arrival.identity.part not in request.parts:
        return f"{arrival.identity.part}: another part"
    return "" if _frames(arrival) else "there is no image that can be read"


def _frames(arrival: Arrival) -> tuple[Frame, ...]:
    images = arrival.images if isinstance(arrival, Views) else (arrival,)
    return tuple(image for image in images if isinstance(image, Frame))


def _described(taken: Taken, frame: Frame, verdict: Verdict, folder: Path) -> CollectedImage:
    return CollectedImage(
        id=frame.identity.id,
        file=str(taken.path.relative_to(folder)),
        verdict=verdict,
        sharpness=round(taken.sharpness, 3),
        brightness=round(taken.look.mean, 1),
        black=round(taken.look.black, 4),
        white=round(taken.look.white, 4),
        flaws=taken.flaws,
    )
