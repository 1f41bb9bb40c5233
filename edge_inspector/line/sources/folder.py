"""A watched folder: events are hints, the scan is the truth, and an image is claimed by a rename before it is read."""

import logging
import os
import queue
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from uuid import NAMESPACE_URL, uuid5

from edge_inspector.errors import DiskError
from edge_inspector.inspection.header import UnreadableImageError, read_header
from edge_inspector.inspection.model import Frame, Identity, Reason, Unreadable
from edge_inspector.line.environment import Now
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.sources.claims import DONE, Claims, read_sidecar
from edge_inspector.line.sources.hints import Hint, hints_from
from edge_inspector.line.sources.listing import Found, Listing, Odd, in_words
from edge_inspector.line.sources.naming import Names, is_sidecar, printable, read_names, with_part
from edge_inspector.line.sources.settle import Patience, Settling
from edge_inspector.line.sources.source import Accepted, Idle, NotPutAway, Opened, PassedOver, SourceEvent, Trouble
from edge_inspector.settings import FolderSettings
from edge_inspector.wire.messages import in_calendar

logger = logging.getLogger(__name__)

MAX_BYTES = 1_000_000_000
"""More than the largest allowed image takes uncompressed; reading more would end the program, start by start."""
_LONGEST_WAIT_S = 1.0
_HELD_BACK_S = 0.05
"""How soon to ask again whether images are wanted; a full queue drains in a little more than that."""
_READINGS = 3
"""So often an image is read that changes while it is read."""
_SAY_AGAIN_NS = 10_000_000_000
"""So often what is passed over is told again: an operator may have reset the alarm."""
_TIDY_NS = 10_000_000_000
"""So often it is looked for what should have been put away."""
_LATE_NS = 60_000_000_000
"""A sidecar that has lain alone for so long came too late for its image."""

Joins: TypeAlias = Callable[[Ledger, Names], str]
"""Says which part's arrival an image belongs to; empty when it begins a part."""


@dataclass(slots=True)
class _Watch:
    """What is remembered while the folder stays open."""

    settling: Settling
    listing: Listing
    kept: set[str] = field(default_factory=set)
    """Images that were looked at and stay where they are."""
    at_start: set[str] = field(default_factory=set)
    """Images that waited before we came."""
    alone_ns: dict[str, int] = field(default_factory=dict)
    """Since when complete images have waited for their sidecars."""
    stuck: dict[str, Odd] = field(default_factory=dict)
    """Images that cannot be claimed."""
    told: str = ""
    told_ns: int = 0
    tidied_ns: int = 0
    answered: frozenset[str] = frozenset()
    """What was claimed and answered at the last look: the thread that answers may still be putting it away."""
    sidecars_ns: dict[str, int] = field(default_factory=dict)
    """Since when sidecars have lain alone."""


class FolderSource:
    """Takes images from a folder, each exactly once, also over restarts and when the folder goes away."""

    can_wait = True
    """An image stays in the folder until there is room in the queue."""

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
        """Yield images as they are complete; begins with those that an earlier run claimed."""
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
                yield Trouble(f"{self._settings.path}: {_why(error)}")
                self._pause()
                yield Idle()

    def done(self, arrival_id: str) -> None:
        """Move or delete the claimed images of an answered part; `keep` leaves everything as it is."""
        self._claims.put_away(arrival_id)

    def _watch(self, ledger: Ledger, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        """Yield images until the folder fails.

        Raises:
            OSError: the folder is gone, unreadable or full.
        """
        hints: queue.SimpleQueue[Hint] = queue.SimpleQueue()
        self._claims.make_folder()
        with hints_from(self._settings.path, hints, deep=bool(self._settings.subfolders)):
            yield from self._left_over(ledger)
            watch = self._begin()
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
                yield from self._tell(watch)
                yield from self._tidy(ledger, watch)
                self._wait(hints, watch.settling, _HELD_BACK_S if held_back else _LONGEST_WAIT_S)

    def _begin(self) -> _Watch:
        folder = self._settings
        patience = Patience(*(ms * 1_000_000 for ms in (folder.settle_ms, folder.closed_ms, folder.unfinished_ms)))
        watch = _Watch(Settling(patience), Listing(folder, self._claims.done, self._monotonic_ns))
        watch.at_start.update(found.name for found in watch.listing.images())
        watch.tidied_ns = self._monotonic_ns()
        return watch

    def _left_over(self, ledger: Ledger) -> Iterator[SourceEvent]:
        """Yield what an earlier run claimed; what it had answered already is put away."""
        answered = set()
        for claimed in self._claims.left_over():
            if ledger.results.is_answered(claimed.arrival_id):
                answered.add(claimed.arrival_id)
            else:
                names = self._names(claimed.name, claimed.path)
                identity = self._identity(claimed.arrival_id, names, claimed.path.lstat(), replayed=True)
                yield self._read(claimed.path, identity, names.fault)
        yield NotPutAway(self._put_away(answered))

    def _complete(self, watch: _Watch) -> Iterator[Found]:
        """Yield the complete images in the folder, oldest first."""
        found = watch.listing.images()
        there = {one.name for one in found}
        watch.settling.keep_only(there)
        for name in watch.alone_ns.keys() - there:
            del watch.alone_ns[name]
        if watch.stuck:
            watch.stuck = {key: watch.stuck[key] for key in map(_key, found) if key in watch.stuck}
        now = self._monotonic_ns()
        for one in found:
            path = self._settings.path / one.name
            if (
                _key(one) not in watch.kept
                and watch.settling.is_complete(one.name, one.status, now, lambda path=path: _is_whole(path))  # type: ignore[misc]
                and self._is_described(one.name, watch, now)
            ):
                yield one

    def _tell(self, watch: _Watch) -> Iterator[PassedOver]:
        """Say what is passed over when that changes, and again and again while something is."""
        words = in_words((*watch.stuck.values(), *watch.listing.passed_over()))
        now = self._monotonic_ns()
        if words != watch.told or (words and now - watch.told_ns >= _SAY_AGAIN_NS):
            watch.told, watch.told_ns = words, now
            yield PassedOver(f"{self._settings.path}: {words}" if words else "")

    def _tidy(self, ledger: Ledger, watch: _Watch) -> Iterator[NotPutAway]:
        """Put away what should have been long ago: a disk was full, or a sidecar came too late."""
        now = self._monotonic_ns()
        if self._settings.after == "keep" or now - watch.tidied_ns < _TIDY_NS:
            return
        watch.tidied_ns = now
        claimed = {one.arrival_id for one in self._claims.left_over()}
        answered = frozenset(one for one in claimed if ledger.results.is_answered(one))
        yield NotPutAway(self._put_away(answered & watch.answered))
        watch.answered = answered
        self._put_away_late(watch, now)

    def _put_away(self, arrival_ids: Iterable[str]) -> str:
        """Put answered images away, and return why that failed; it is tried again later."""
        why = ""
        for arrival_id in arrival_ids:
            try:
                self.done(arrival_id)
            except OSError as error:
                why = f"judged images cannot be put away into {self._claims.done}: {_why(error)}"
        return why

    def _put_away_late(self, watch: _Watch, now: int) -> None:
        """Put away sidecars whose images have gone: they would be taken for the next image of that name."""
        if not self._settings.sidecar_ms:
            return
        watch.sidecars_ns = {name: watch.sidecars_ns.get(name, now) for name in watch.listing.lone_sidecars()}
        for name, since in watch.sidecars_ns.items():
            if now - since >= _LATE_NS:
                logger.warning("%s came too late for its image and is put away", printable(name))
                with suppress(OSError):
                    self._claims.put_away_late(name)

    def _is_described(self, name: str, watch: _Watch, now: int) -> bool:
        """Whether the image's sidecar is all there, or has been waited for long enough."""
        content = self._sidecar(self._settings.path / name)
        if not self._settings.sidecar_ms or (content is not None and is_sidecar(content)):
            watch.alone_ns.pop(name, None)
            return True
        return now - watch.alone_ns.setdefault(name, now) >= self._settings.sidecar_ms * 1_000_000

    def _accept(self, ledger: Ledger, found: Found, watch: _Watch) -> SourceEvent:
        names = self._names(found.name, self._settings.path / found.name)
        if self._settings.after == "keep":
            return self._look_at(ledger, found, names, watch)
        joining = "" if names.fault else self._joins(ledger, names)
        try:
            claimed = self._claims.take(found.name, self._new_id(), joining=joining)
        except FileNotFoundError:
            if not self._claims.is_there():
                raise  # somebody tidied up: opening the folder again makes it again
            return Idle()  # taken back by whoever put it there: never accepted, so nothing to answer
        except OSError as error:
            if not self._claims.is_of_one_file(error):
                raise
            return self._leave(ledger, found, names, watch, _why(error))
        if joining and ledger.results.is_answered(joining):
            logger.warning("%s came after its part %s was answered", printable(found.name), joining)
            why = self._put_away((joining,))
            return NotPutAway(why) if why else Idle()
        identity = self._identity(claimed.arrival_id, names, found.status, replayed=found.name in watch.at_start)
        return self._read(claimed.path, identity, names.fault)

    def _look_at(self, ledger: Ledger, found: Found, names: Names, watch: _Watch) -> SourceEvent:
        """Read an image that stays where it is; one that changed meanwhile is looked at again when it is still."""
        identity = self._kept_identity(found, names, watch)
        if ledger.results.is_answered(identity.id):
            watch.kept.add(_key(found))
            return Idle()
        path = self._settings.path / found.name
        accepted = self._read(path, identity, names.fault)
        if _state(found.status) != _state_of(path):
            return Idle()
        watch.kept.add(_key(found))
        return accepted

    def _leave(self, ledger: Ledger, found: Found, names: Names, watch: _Watch, why: str) -> SourceEvent:
        """Answer an image that cannot be claimed, once, and leave it where it is."""
        watch.kept.add(_key(found))
        watch.stuck[_key(found)] = Odd(found.name, f"cannot be taken: {why}")
        identity = self._kept_identity(found, names, watch)
        if ledger.results.is_answered(identity.id):
            return Idle()
        logger.warning("%s cannot be taken: %s", printable(found.name), why)
        return Accepted(Unreadable(identity, Reason.UNREADABLE, f"cannot be taken: {why}"), self._monotonic_ns())

    def _kept_identity(self, found: Found, names: Names, watch: _Watch) -> Identity:
        """Return who an image is that stays where it is: the same after a restart, another one when it changed."""
        arrival_id = uuid5(NAMESPACE_URL, f"{self._station}/{os.fsencode(_key(found)).hex()}").hex
        return self._identity(arrival_id, names, found.status, replayed=found.name in watch.at_start)

    def _read(self, path: Path, identity: Identity, fault: str) -> Accepted:
        """Return an image with its content, or why there is none: whatever is wrong with one file is its answer."""
        now = self._monotonic_ns()
        try:
            return Accepted(_content(path, identity, fault), now)
        except MemoryError:
            return Accepted(Unreadable(identity, Reason.UNREADABLE, "there is no memory to read it"), now)
        except OSError as error:
            return Accepted(Unreadable(identity, Reason.UNREADABLE, _why(error)), now)
        except Exception as error:
            logger.exception("%s cannot be read", printable(path.name))
            return Accepted(Unreadable(identity, Reason.EXCEPTION, f"{type(error).__name__}: {error}"), now)

    def _names(self, name: str, path: Path) -> Names:
        """Return what is known of an image whose name is, or was, `name`; where nothing says the part: the active."""
        try:
            names = read_names(name, self._sidecar(path), self._settings)
        except Exception as error:
            logger.exception("the names of %s cannot be read", printable(name))
            names = Names(serial=printable(path.stem), fault=f"{type(error).__name__}: {error}")
        return with_part(names, self._part())

    def _sidecar(self, path: Path) -> bytes | None:
        return read_sidecar(path) if self._settings.sidecar_ms else None

    def _identity(self, arrival_id: str, names: Names, status: os.stat_result, *, replayed: bool) -> Identity:
        return Identity(
            id=arrival_id,
            station=self._station,
            part=names.part,
            captured_ns=in_calendar(status.st_mtime_ns),
            captured_source="mtime",
            serial=names.serial,
            lot=names.lot,
            view=names.view,
            group=names.group,
            replayed=replayed,
        )

    def _wait(self, hints: "queue.SimpleQueue[Hint]", settling: Settling, longest_s: float) -> None:
        """Wait for a hint, the next scan, or the next look at a file that is settling."""
        wait = min(longest_s, self._settings.scan_ms / 1000)
        due_ns = settling.due_ns(self._monotonic_ns())
        if due_ns is not None:
            wait = min(wait, max(0.01, due_ns / 1e9))
        try:
            hint = hints.get(timeout=wait)
            while True:
                settling.vouch(hint.name, moved=hint.moved)
                hint = hints.get_nowait()
        except queue.Empty:
            return

    def _pause(self) -> None:
        try:
            queue.SimpleQueue[str]().get(timeout=_LONGEST_WAIT_S)
        except queue.Empty:
            return


def _content(path: Path, identity: Identity, fault: str) -> Frame | Unreadable:
    """Return what lies there.

    Raises:
        OSError: it cannot be read.
        MemoryError: it cannot be held.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return Unreadable(identity, Reason.NOT_A_FILE, "a folder, link or device, no file")
    if fault:
        return Unreadable(identity, Reason.BAD_NAME, fault)
    if status.st_size > MAX_BYTES:
        return Unreadable(identity, Reason.TOO_LARGE, f"{status.st_size:,} bytes, at most {MAX_BYTES:,} are read")
    for _ in range(_READINGS):
        before = _state_of(path)
        content = path.read_bytes()
        if before == _state_of(path):
            return Frame(identity, content)
    return Unreadable(identity, Reason.TRUNCATED, "it was written to whenever it was read")


def _is_whole(path: Path) -> bool:
    """Say whether a file is an image to its end; what is not a file, or is not read anyway, need not be waited for."""
    try:
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES:
            read_header(path.read_bytes())
    except UnreadableImageError as error:
        return error.reason is Reason.TOO_LARGE
    except (OSError, MemoryError):
        return False
    except Exception:
        logger.exception("%s: its header cannot be read", printable(path.name))  # and so will the inspector say
    return True


def _state_of(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is written to; nothing when it is gone."""
    try:
        return _state(path.lstat())
    except FileNotFoundError:
        return ()


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _key(found: Found) -> str:
    return f"{found.name}\0{found.status.st_size}\0{found.status.st_mtime_ns}"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
