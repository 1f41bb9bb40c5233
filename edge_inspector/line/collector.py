"""Copies pictures of good parts to teach from while the station works; it changes no verdict and holds none up."""

import queue
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from edge_inspector.errors import DataError, SettingsError
from edge_inspector.inspection.header import UnreadablePictureError
from edge_inspector.inspection.model import Arrival, Frame, Verdict, Views
from edge_inspector.line.album import Album, Taken, file_name
from edge_inspector.line.source import Accepted
from edge_inspector.line.ticks import Worker
from edge_inspector.wire.messages import CollectedPicture, Collection, utc
from edge_inspector.wire.topics import check_name

MOST = 2000
"""Pictures of one collection."""
_ARGS = ("count", "part", "group", "serial")
State: TypeAlias = Literal["taking", "complete", "ended", "failed"]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be collected."""

    by: str
    part: str
    count: int
    """0 ends what is going on."""
    group: str
    serial: str
    any_part: bool
    """Whether every picture is of the part: a new one, which the station does not know yet."""
    begun_ns: int
    """Monotonic; what was accepted before is not meant."""
    since: str
    """The same moment, as messages write it."""


def order_for(
    by: str, args: Mapping[str, object], *, active: str, known: Mapping[str, object], now_ns: int, monotonic_ns: int
) -> Order:
    """Return what `cmd/collect` asks for.

    Args:
        by: who asks.
        args: count, and optionally part (default: the active one), group, serial.
        active: the part that is inspected now.
        known: all parts of the station.
        now_ns: Unix time.
        monotonic_ns: the same moment.

    Raises:
        ValueError: a value is missing, unknown or may not name a folder.
    """
    count = args.get("count")
    if type(count) is not int or not 0 <= count <= MOST:
        raise ValueError(f"expected count, 1 to {MOST}, or 0 to end it, got {count!r}")
    texts = {name: args.get(name, "") for name in _ARGS[1:]}
    wrong = [name for name in args if name not in _ARGS] + [n for n, text in texts.items() if not isinstance(text, str)]
    if wrong:
        raise ValueError(f"{wrong[0]}: expected {', '.join(_ARGS)}, all but count as text")
    part, group, serial = (str(text).strip() for text in texts.values())
    try:
        part = check_name(part or active, "part")
        group, serial = (file_name(text) for text in (group, serial))
    except (SettingsError, DataError) as error:
        raise ValueError(str(error)) from error
    return Order(by, part, count, group, serial, part not in known, monotonic_ns, utc(now_ns))


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
    state: State = "taking"
    detail: str = ""
    not_ok: int = 0
    passed_over: int = 0
    last: CollectedPicture | None = None


@dataclass(frozen=True, slots=True)
class Collector:
    """Writes pictures in a thread of its own; one collection at a time."""

    folder: Path
    """Each part's pictures are in a folder of its name."""
    min_free_mb: int
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
        if self.folder.exists():
            self.say(Collection(state="none").encode())
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
            if going is not None and going.state != "taking":
                going = None
                self.busy.clear()

    def _turn(self, going: _Going | None, order: Order) -> _Going | None:
        """Return what is going on after an order: the collection that it begins, or the one that it ends."""
        if order.count:
            folder = self.folder / order.part
            going = _Going(order, Album(folder, group=order.group, serial=order.serial), folder)
        elif going is not None:
            going.state, going.detail = "ended", f"by {order.by}"
        if going is not None:
            self._tell(going)
        return going

    def _take(self, going: _Going, shot: Shot) -> None:
        """Write a part's pictures, if it is one of those that are meant, and say how it goes."""
        if shot.accepted.accepted_ns < going.order.begun_ns:
            return
        while not self.missed.empty():
            self.missed.get()
            going.passed_over += 1
        going.detail = _unwanted(shot, going.order)
        if going.detail:
            going.passed_over += 1
        else:
            self._write(going, shot)
        self._tell(going)

    def _write(self, going: _Going, shot: Shot) -> None:
        """Write a part's pictures; a disk that does not take them ends the collection, and nothing else."""
        try:
            going.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(going.folder).free // 1_000_000
            if free < self.min_free_mb:
                going.state, going.detail = "failed", f"{free} MB of disk free, less than {self.min_free_mb} MB"
                return
            for frame in _frames(shot.accepted.arrival):
                taken = going.album.add(frame.identity, frame.image)
                going.not_ok += shot.verdict is not Verdict.OK
                going.last = _described(taken, frame, shot.verdict, going.folder)
        except (UnreadablePictureError, DataError) as error:
            going.passed_over += 1
            going.detail = str(error)
        except OSError as error:
            going.state, going.detail = "failed", f"{going.folder}: {error.strerror or error}"
        else:
            going.state = "complete" if going.album.count >= going.order.count else "taking"

    def _tell(self, going: _Going) -> None:
        order = going.order
        said = Collection(
            state=going.state,
            detail=going.detail,
            part=order.part,
            by=order.by,
            since=order.since,
            folder=str(going.folder),
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
    if not (order.any_part or arrival.identity.part == order.part):
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
