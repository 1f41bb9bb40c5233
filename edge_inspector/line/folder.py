"""A watched folder: events are hints, the scan is the truth, and a picture is claimed by a rename before it is read."""

import logging
import os
import queue
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from uuid import NAMESPACE_URL, uuid5

from edge_inspector.errors import DiskError
from edge_inspector.image_names import is_image
from edge_inspector.inspection.model import Frame, Identity, Reason, Unreadable
from edge_inspector.line.claims import DONE, Claims, read_sidecar
from edge_inspector.line.hints import hints_from
from edge_inspector.line.ledger import Ledger
from edge_inspector.line.naming import Names, is_sidecar, read_names, with_part
from edge_inspector.line.settle import Settling
from edge_inspector.line.source import Accepted, Idle, Now, Opened, SourceEvent, Trouble
from edge_inspector.settings import FolderSettings

logger = logging.getLogger(__name__)

MAX_BYTES = 1_000_000_000
"""More than the largest allowed picture takes uncompressed; reading more would end the program, start by start."""
_LONGEST_WAIT_S = 1.0
_HELD_BACK_S = 0.05
"""How soon to ask again whether pictures are wanted; a full queue drains in a little more than that."""

Joins: TypeAlias = Callable[[Ledger, Names], str]
"""Says which part's arrival a picture belongs to; empty when it begins a part."""


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    """Path below the watched folder."""
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class _Watch:
    """What is remembered while the folder stays open."""

    settling: Settling
    kept: set[str] = field(default_factory=set)
    """Pictures that were looked at and stay where they are."""
    at_start: set[str] = field(default_factory=set)
    """Pictures that waited before we came."""
    alone_ns: dict[str, int] = field(default_factory=dict)
    """Since when complete pictures have waited for their sidecars."""


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
        joins: Joins = lambda _ledger, _names: "",
    ) -> None:
        self._settings = settings
        self._station = station
        self._part = part
        self._new_id = new_id
        self._open_ledger = open_ledger
        self._monotonic_ns = monotonic_ns
        self._joins = joins
        self._claims = Claims(settings.path, settings.done or settings.path / DONE, settings.after)

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
        """Move or delete the claimed pictures of an answered part; `keep` leaves everything as it is."""
        self._claims.put_away(arrival_id)

    def _watch(self, ledger: Ledger, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield pictures until the folder fails.

        Raises:
            OSError: the folder is gone, unreadable or full.
        """
        hints: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._claims.make_folder()
        with hints_from(self._settings.path, hints, deep=bool(self._settings.subfolders)):
            yield from self._left_over(ledger)
            watch = _Watch(Settling(self._settings.settle_ms * 1_000_000))
            watch.at_start.update(found.name for found in self._scan())
            while True:
                yield Idle()
                held_back = not wanted()
                for found in () if held_back else self._complete(watch):
                    if not wanted():
                        held_back = True
                        break
                    watch.settling.forget(found.name)
                    yield self._accept(ledger, found, watch)
                    watch.at_start.discard(found.name)
                self._wait(hints, watch.settling, _HELD_BACK_S if held_back else _LONGEST_WAIT_S)

    def _left_over(self, ledger: Ledger) -> Iterator[Accepted]:
        """Yield what an earlier run claimed; what it had answered already is put away."""
        for claimed in self._claims.left_over():
            if ledger.is_answered(claimed.arrival_id):
                self.done(claimed.arrival_id)
            else:
                names = self._names(claimed.name, claimed.path)
                status = claimed.path.lstat()
                identity = self._identity(claimed.arrival_id, names, status, replayed=True)
                yield self._read(claimed.path, identity, names.fault)

    def _complete(self, watch: _Watch) -> Iterator[_Found]:
        """Yield the complete pictures in the folder, oldest first."""
        found = self._scan()
        there = {one.name for one in found}
        watch.settling.keep_only(there)
        for name in watch.alone_ns.keys() - there:
            del watch.alone_ns[name]
        now = self._monotonic_ns()
        for one in found:
            if (
                _key(one) not in watch.kept
                and watch.settling.is_complete(one.name, one.status, now)
                and self._is_described(one.name, watch, now)
            ):
                yield one

    def _is_described(self, name: str, watch: _Watch, now: int) -> bool:
        """Whether the picture's sidecar is all there, or has been waited for long enough."""
        content = self._sidecar(self._settings.path / name)
        if not self._settings.sidecar_ms or (content is not None and is_sidecar(content)):
            watch.alone_ns.pop(name, None)
            return True
        return now - watch.alone_ns.setdefault(name, now) >= self._settings.sidecar_ms * 1_000_000

    def _scan(self, folder: str = "", depth: int = 0) -> tuple[_Found, ...]:
        """Return the pictures in the folder and in as many levels of sub-folders as have a meaning."""
        found: list[_Found] = []
        with os.scandir(self._settings.path / folder) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)  # noqa: PTH118
                try:
                    if is_image(entry.name):
                        found.append(_Found(name, entry.stat(follow_symlinks=False)))
                    elif depth < len(self._settings.subfolders) and is_subfolder(entry):
                        found.extend(self._scan(name, depth + 1))
                except FileNotFoundError:
                    continue  # renamed or removed between the listing and the look: no part yet, or no more
        return tuple(sorted(found, key=lambda one: (one.status.st_mtime_ns, one.name)))

    def _accept(self, ledger: Ledger, found: _Found, watch: _Watch) -> SourceEvent:
        path = self._settings.path / found.name
        names = self._names(found.name, path)
        replayed = found.name in watch.at_start
        if self._settings.after == "keep":
            watch.kept.add(_key(found))
            arrival_id = uuid5(NAMESPACE_URL, f"{self._station}/{os.fsencode(_key(found)).hex()}").hex
            if ledger.is_answered(arrival_id):
                return Idle()
        else:
            joining = "" if names.fault else self._joins(ledger, names)
            try:
                claimed = self._claims.take(found.name, self._new_id(), joining=joining)
            except FileNotFoundError:
                if not self._claims.is_there():
                    raise  # somebody tidied up: opening the folder again makes it anew
                return Idle()  # taken back by whoever put it there: never accepted, so nothing to answer
            if joining and ledger.is_answered(joining):
                logger.warning("%s came after its part %s was answered", found.name, joining)
                self.done(joining)
                return Idle()
            path, arrival_id = claimed.path, claimed.arrival_id
        return self._read(path, self._identity(arrival_id, names, found.status, replayed=replayed), names.fault)

    def _read(self, path: Path, identity: Identity, fault: str) -> Accepted:
        now = self._monotonic_ns()
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                return Accepted(Unreadable(identity, Reason.NOT_A_FILE, "a folder, link or device, no file"), now)
            if fault:
                return Accepted(Unreadable(identity, Reason.BAD_NAME, fault), now)
            if status.st_size > MAX_BYTES:
                what = f"{status.st_size:,} bytes, at most {MAX_BYTES:,} are read"
                return Accepted(Unreadable(identity, Reason.TOO_LARGE, what), now)
            return Accepted(Frame(identity, path.read_bytes()), now)
        except MemoryError:
            return Accepted(Unreadable(identity, Reason.UNREADABLE, "there is no memory to read it"), now)
        except OSError as error:
            return Accepted(Unreadable(identity, Reason.UNREADABLE, error.strerror or "cannot be read"), now)

    def _names(self, name: str, path: Path) -> Names:
        """Return what is known of a picture whose name is, or was, `name`; where nothing says the part: the active."""
        return with_part(read_names(name, self._sidecar(path), self._settings), self._part())

    def _sidecar(self, path: Path) -> bytes | None:
        return read_sidecar(path) if self._settings.sidecar_ms else None

    def _identity(self, arrival_id: str, names: Names, status: os.stat_result, *, replayed: bool) -> Identity:
        return Identity(
            id=arrival_id,
            station=self._station,
            part=names.part,
            captured_ns=status.st_mtime_ns,
            captured_source="mtime",
            serial=names.serial,
            lot=names.lot,
            view=names.view,
            group=names.group,
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


def is_subfolder(entry: "os.DirEntry[str]") -> bool:
    """Say whether a folder's pictures are looked at."""
    return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)


def _key(found: _Found) -> str:
    return f"{found.name}\0{found.status.st_size}\0{found.status.st_mtime_ns}"
