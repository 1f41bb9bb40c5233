"""Copies pictures of good parts to teach from while the station works; it changes no verdict and holds none up."""

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
from edge_inspector.inspection.header import UnreadablePictureError
from edge_inspector.inspection.model import Arrival, Frame, Verdict, Views
from edge_inspector.line.collect.image_collection import Album, Taken
from edge_inspector.line.collect.request import Order
from edge_inspector.line.sources.source import Accepted
from edge_inspector.line.ticks import Worker
from edge_inspector.wire.messages import CollectedPicture, Collection, utc

_MORE_FREE = 2
"""Times as much disk is left free as the archive leaves: what is collected must not drive out what is kept."""
_IDLE_NS = 30 * 60_000_000_000
"""Nobody remembers after so long what is being collected."""
State: TypeAlias = Literal["taking", "complete", "ended", "failed"]


@dataclass(frozen=True, slots=True)
class Shot:
    """A part that was answered: its pictures, and what they came out as."""

    accepted: Accepted = field(repr=False)
    verdict: Verdict
    challenge: bool
    """Known to be bad: never taught."""


@dataclass(slots=True)
class _Going:
    """The collection that is going on."""

    order: Order
    album: Album
    folder: Path
    heard_ns: int
    """Monotonic, when the last part came."""
    state: State = "taking"
    detail: str = ""
    not_ok: int = 0
    passed_over: int = 0
    views: tuple[str, ...] = ()
    last: CollectedPicture | None = None


@dataclass(frozen=True, slots=True)
class Collector:
    """Writes pictures in a thread of its own; one collection at a time, each into a folder of its own."""

    folder: Path
    min_free_mb: int
    """The archive's: a collection ends before the archive has to make room."""
    worker: Worker
    say: Callable[[bytes], None] = field(repr=False)
    """Publishes the topic `collection`."""
    shots: "queue.Queue[Shot]" = field(repr=False)
    """Bounded: pictures are large."""
    orders: "queue.SimpleQueue[Order]" = field(default_factory=queue.SimpleQueue, repr=False)
    busy: threading.Event = field(default_factory=threading.Event, repr=False)
    missed: "queue.SimpleQueue[None]" = field(default_factory=queue.SimpleQueue, repr=False)
    """One for each part that found no room."""

    def take_order(self, order: Order) -> str:
        """Begin or end a collection, and return why not; the supervisor calls this."""
        if order.count and self.busy.is_set():
            return "pictures are being collected already; end that first (count 0)"
        self.orders.put(order)
        if order.count:
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
        going: _Going | None = None
        while not self.worker.stopping():
            self.worker.tick()
            try:
                shot = self.shots.get(timeout=0.25)
            except queue.Empty:
                shot = None
            while not self.orders.empty():
                going = self._turn(going, self.orders.get())
            if going is not None and shot is not None:
                self._take(going, shot)
            going = self._going_on(going)
        if going is not None:
            self._end(going, "the program ends")

    def _turn(self, going: _Going | None, order: Order) -> _Going | None:
        """Return what is going on after an order: the collection that it begins, or the one that it ends."""
        if order.count:
            moment = datetime.fromtimestamp(order.since_ns // 1_000_000_000, UTC)
            folder = self.folder / f"{order.part}-{moment:%Y%m%d-%H%M%S}"
            begun = _Going(order, Album(folder, group=order.group, serial=order.serial), folder, order.begun_ns)
            self._guarded(begun, lambda: folder.mkdir(parents=True, exist_ok=True))
            self._tell(begun)
            return begun
        if going is None:
            self._say_none()
        else:
            self._end(going, f"by {order.by}")
        return going

    def _going_on(self, going: _Going | None) -> _Going | None:
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

    def _take(self, going: _Going, shot: Shot) -> None:
        """Write a part's pictures, if it is one of those that are meant, and say how it goes."""
        if shot.accepted.accepted_ns < going.order.begun_ns:
            return
        going.heard_ns = self.worker.monotonic_ns()
        going.passed_over += self._missed()
        going.detail = _unwanted(shot, going.order)
        if going.detail:
            going.passed_over += 1
        else:
            self._guarded(going, lambda: self._write(going, shot))
        if going.state == "taking" and going.album.count >= going.order.count:
            going.state = "complete"
        self._tell(going)

    def _guarded(self, going: _Going, write: Callable[[], None]) -> None:
        """Do what may fail: a picture is passed over, or the collection ends, and nothing else does."""
        try:
            write()
        except (UnreadablePictureError, DataError) as error:
            going.passed_over += 1
            going.detail = str(error)
        except (OSError, MemoryError, cv2.error) as error:
            said = getattr(error, "strerror", None) or error or type(error).__name__
            going.state, going.detail = "failed", f"{going.folder}: {said}"

    def _write(self, going: _Going, shot: Shot) -> None:
        """Write a part's pictures, one for each view; how the last of them came out is said with the part.

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
            taken = going.album.add(frame.identity, frame.image)
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

    def _end(self, going: _Going, why: str) -> None:
        going.state, going.detail = "ended", why
        self._tell(going)

    def _say_none(self) -> None:
        self.say(Collection(state="none").encode())

    def _tell(self, going: _Going) -> None:
        order = going.order
        said = Collection(
            state=going.state,
            detail=going.detail,
            part=order.part,
            is_new=order.is_new,
            by=order.by,
            since=utc(order.since_ns),
            folder=str(going.folder),
            views=going.views,
            wanted=order.count,
            taken=going.album.count,
            not_ok=going.not_ok,
            passed_over=going.passed_over,
            last=going.last,
        )
        self.say(said.encode())


def _unwanted(shot: Shot, order: Order) -> str:
    """Return why a part's pictures are none to teach from; empty when they are."""
    arrival = shot.accepted.arrival
    if shot.challenge:
        return "a challenge part: it is known to be bad"
    if arrival.identity.replayed:
        return "it was taken before, or waited past its deadline"
    if arrival.identity.part not in order.parts:
        return f"{arrival.identity.part}: another part"
    return "" if _frames(arrival) else "there is no picture that can be read"


def _frames(arrival: Arrival) -> tuple[Frame, ...]:
    pictures = arrival.pictures if isinstance(arrival, Views) else (arrival,)
    return tuple(picture for picture in pictures if isinstance(picture, Frame))


def _described(taken: Taken, frame: Frame, verdict: Verdict, folder: Path) -> CollectedPicture:
    return CollectedPicture(
        id=frame.identity.id,
        file=str(taken.path.relative_to(folder)),
        verdict=verdict,
        sharpness=round(taken.sharpness, 3),
        brightness=round(taken.look.mean, 1),
        black=round(taken.look.black, 4),
        white=round(taken.look.white, 4),
        flaws=taken.flaws,
    )
