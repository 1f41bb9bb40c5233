"""A watched folder: events are hints, the scan is the truth, and a picture is claimed by a rename before it is read."""

import errno
import logging
import os
import queue
import re
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import inotify_move_event_grouper
from watchdog.observers.inotify import InotifyObserver

from edge_inspector.errors import DiskError
from edge_inspector.inspection.header import SUFFIXES
from edge_inspector.inspection.model import Frame, Identity, Reason, Unreadable
from edge_inspector.line.ledger import Ledger
from edge_inspector.line.settle import Settling
from edge_inspector.line.source import Accepted, Idle, Now, Opened, SourceEvent, Trouble
from edge_inspector.settings import FolderSettings

logger = logging.getLogger(__name__)

CLAIMED, DONE = ".claimed", ".done"
_BETWEEN = "--"
_NAME_MAX = 255
_LONGEST_WAIT_S = 1.0
_HELD_BACK_S = 0.05
"""How soon to look again when complete pictures found the queue full; it drains in that time."""

# watchdog holds back a file that was renamed away for half a second, to pair it with where it went, and every later
# event behind it. We rename every picture away ourselves and need no pairs.
inotify_move_event_grouper.InotifyMoveEventGrouper.delay = 0.0


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    status: os.stat_result


class FolderSource:
    """Takes pictures from a folder, each exactly once, also over restarts and when the folder goes away."""

    can_wait = True
    """A picture stays in the folder until there is room in the queue."""

    def __init__(
        self,
        settings: FolderSettings,
        station: str,
        part: Callable[[], str],
        *,
        new_id: Callable[[], str],
        open_ledger: Callable[[], Ledger],
        monotonic_ns: Now,
    ) -> None:
        self._settings = settings
        self._station = station
        self._part = part
        self._new_id = new_id
        self._open_ledger = open_ledger
        self._monotonic_ns = monotonic_ns
        self._claimed = settings.path / CLAIMED
        self._done_folder = settings.done or settings.path / DONE

    def events(self, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield pictures as they are complete; begins with those that an earlier run claimed."""
        was_open = False
        while True:
            try:
                with self._open_ledger() as ledger, closing(self._watch(ledger, wanted)) as events:
                    for event in events:
                        if not was_open:
                            was_open = True
                            yield Opened(str(self._settings.path))
                        yield event
            except (OSError, DiskError) as error:
                # The ledger too: without file descriptors it cannot be opened, and that is no reason to end.
                was_open = False
                yield Trouble(f"{self._settings.path}: {getattr(error, 'strerror', None) or error}")
                self._pause()
                yield Idle()

    def done(self, arrival_id: str) -> None:
        """Move or delete the claimed picture of an answered part; `keep` leaves everything as it is."""
        for name in self._names(self._claimed) if self._settings.after != "keep" else ():
            if name.startswith(arrival_id + _BETWEEN):
                self._put_away(self._claimed / name)

    def _put_away(self, path: Path) -> None:
        if self._settings.after == "delete" and not path.is_dir():
            path.unlink(missing_ok=True)
            return
        day = datetime.fromtimestamp(path.lstat().st_mtime, UTC).strftime("%Y-%m-%d")
        (self._done_folder / day).mkdir(parents=True, exist_ok=True)
        path.rename(self._done_folder / day / path.name)

    def _watch(self, ledger: Ledger, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield pictures until the folder fails.

        Raises:
            OSError: the folder is gone, unreadable or full.
        """
        hints: queue.SimpleQueue[str] = queue.SimpleQueue()
        settling = Settling(self._settings.settle_ms * 1_000_000)
        kept: set[str] = set()
        if self._settings.after != "keep":
            self._claimed.mkdir(exist_ok=True)
        with _hints_from(self._settings.path, hints):
            yield from self._left_over(ledger)
            at_start = {found.name for found in self._scan()}
            while True:
                yield Idle()
                held_back = False
                for found in self._complete(settling, kept) if wanted() else ():
                    if not wanted():
                        held_back = True
                        break
                    settling.forget(found.name)
                    yield self._accept(ledger, found, replayed=found.name in at_start, kept=kept)
                    at_start.discard(found.name)
                self._wait(hints, settling, _HELD_BACK_S if held_back else _LONGEST_WAIT_S)

    def _left_over(self, ledger: Ledger) -> Iterator[Accepted]:
        """Yield what an earlier run claimed; what it had answered already is put away."""
        for name in self._names(self._claimed) if self._settings.after != "keep" else ():
            arrival_id, _, original = name.partition(_BETWEEN)
            if ledger.is_answered(arrival_id):
                self.done(arrival_id)
            else:
                path = self._claimed / name
                yield self._read(path, self._identity(arrival_id, original, path.lstat(), replayed=True))

    def _complete(self, settling: Settling, kept: set[str]) -> Iterator[_Found]:
        """Yield the complete pictures in the folder, oldest first."""
        found = self._scan()
        settling.keep_only({one.name for one in found})
        now = self._monotonic_ns()
        for one in found:
            if _key(one) not in kept and settling.is_complete(one.name, one.status, now):
                yield one

    def _scan(self) -> tuple[_Found, ...]:
        found = []
        with os.scandir(self._settings.path) as entries:
            for entry in entries:
                if _is_picture(entry.name):
                    try:
                        found.append(_Found(entry.name, entry.stat(follow_symlinks=False)))
                    except FileNotFoundError:
                        continue  # renamed or removed between the listing and the look: no part yet, or no more
        return tuple(sorted(found, key=lambda one: (one.status.st_mtime_ns, one.name)))

    def _accept(self, ledger: Ledger, found: _Found, *, replayed: bool, kept: set[str]) -> SourceEvent:
        path = self._settings.path / found.name
        if self._settings.after == "keep":
            kept.add(_key(found))
            arrival_id = uuid5(NAMESPACE_URL, f"{self._station}/{os.fsencode(_key(found)).hex()}").hex
            if ledger.is_answered(arrival_id):
                return Idle()
        else:
            arrival_id = self._new_id()
            claim = self._claimed / _claim_name(arrival_id, found.name)
            try:
                path.rename(claim)
            except FileNotFoundError:
                if not self._claimed.is_dir():
                    raise  # somebody tidied up: opening the folder again makes it anew
                return Idle()  # taken back by whoever put it there: never accepted, so nothing to answer
            path = claim
        return self._read(path, self._identity(arrival_id, found.name, found.status, replayed=replayed))

    def _read(self, path: Path, identity: Identity) -> Accepted:
        now = self._monotonic_ns()
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                return Accepted(Unreadable(identity, Reason.NOT_A_FILE, "a folder, link or device, no file"), now)
            return Accepted(Frame(identity, path.read_bytes()), now)
        except OSError as error:
            return Accepted(Unreadable(identity, Reason.UNREADABLE, error.strerror or "cannot be read"), now)

    def _identity(self, arrival_id: str, name: str, status: os.stat_result, *, replayed: bool) -> Identity:
        stem = printable(Path(name).stem)
        match = re.search(self._settings.name_pattern, stem)
        groups = {} if match is None else match.groupdict()
        return Identity(
            id=arrival_id,
            station=self._station,
            part=self._part(),
            captured_ns=status.st_mtime_ns,
            captured_source="mtime",
            serial=groups.get("serial") or "",
            lot=groups.get("lot") or "",
            view=groups.get("view") or "",
            replayed=replayed,
        )

    def _wait(self, hints: "queue.SimpleQueue[str]", settling: Settling, longest_s: float) -> None:
        """Wait for a hint, the next scan, or the next look at a file that is settling."""
        wait = min(longest_s, self._settings.scan_ms / 1000)
        if settling.waiting():
            wait = min(wait, max(0.01, self._settings.settle_ms / 2000))
        try:
            settling.vouch(hints.get(timeout=wait))
            while True:
                settling.vouch(hints.get_nowait())
        except queue.Empty:
            return

    def _pause(self) -> None:
        try:
            queue.SimpleQueue[str]().get(timeout=_LONGEST_WAIT_S)
        except queue.Empty:
            return

    def _names(self, folder: Path) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(folder)))  # noqa: PTH208 - names, with their undecodable bytes
        except FileNotFoundError:
            return ()


class _Hints(FileSystemEventHandler):
    """Passes on the names of files that are complete; runs in watchdog's thread."""

    def __init__(self, hints: "queue.SimpleQueue[str]") -> None:
        self._hints = hints

    def dispatch(self, event: FileSystemEvent) -> None:
        path = event.dest_path if isinstance(event, FileMovedEvent) else event.src_path
        if path and isinstance(event, FileMovedEvent | FileClosedEvent):
            self._hints.put(os.path.basename(os.fsdecode(path)))  # noqa: PTH119


class _hints_from:  # noqa: N801 - reads as the verb it is
    """Watch a folder while the block runs; where the system has no watches left, the scan alone must do."""

    def __init__(self, folder: Path, hints: "queue.SimpleQueue[str]") -> None:
        self._observer = InotifyObserver(generate_full_events=True)
        self._folder = folder
        self._hints = hints

    def __enter__(self) -> None:
        self._observer.schedule(_Hints(self._hints), str(self._folder), event_filter=[FileMovedEvent, FileClosedEvent])
        try:
            self._observer.start()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EMFILE):
                raise
            logger.warning("%s: %s; pictures are found by listing it alone", self._folder, error)

    def __exit__(self, *_: object) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()


def printable(text: str) -> str:
    """Return a name that can be published: bytes that are no UTF-8 and control characters become `_`."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char if char.isprintable() and char != "\ufffd" else "_" for char in text)


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122


def _key(found: _Found) -> str:
    return f"{found.name}\0{found.status.st_size}\0{found.status.st_mtime_ns}"


def _claim_name(arrival_id: str, name: str) -> str:
    """Return the claimed file's name, its beginning cut off where the file system would refuse the length."""
    prefix = f"{arrival_id}{_BETWEEN}"
    room = _NAME_MAX - len(prefix.encode())
    raw = os.fsencode(name)
    return prefix + os.fsdecode(raw[-room:])
