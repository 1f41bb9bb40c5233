"""What lies in a watched folder: the images that may be taken, and what is passed over though somebody may miss it."""

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from edge_inspector.image_names import is_image, is_litter
from edge_inspector.line.environment import Now
from edge_inspector.line.sources.claims import is_sidecar_name
from edge_inspector.line.sources.naming import printable
from edge_inspector.settings import FolderSettings

_DEEP_LOOK = 2_000
"""Entries in sub-folders without a meaning that are looked at in one turn; they are looked at for an alarm alone."""
_REST = 20
"""So many times as long as that look took, the next one waits: a share may be slow."""
_SOON_NS = 1_000_000_000
"""What lies there for less is somebody else's who is about to take it, or is still being written."""
_FORGOTTEN_NS = 60_000_000_000
"""An image that has had a temporary name for so long will not be renamed any more."""
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"GIF8"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"\xff\x0a", *(b"P%d\n" % kind for kind in range(1, 8))),
)
"""How JPEG, PNG, BMP, TIFF, GIF, JPEG 2000, JPEG XL and the portable maps begin."""
_BRANDS = {4: (b"ftyphei", b"ftypmif", b"ftypavif"), 8: (b"WEBP",)}
"""Behind so many bytes: HEIC and AVIF, WebP."""
_HEAD = 16
_NAMED = 3
"""So many things are named in an alarm; the others are counted."""


@dataclass(frozen=True, slots=True)
class Found:
    """An image that lies where images are taken from."""

    name: str
    """Path below the watched folder."""
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class Odd:
    """Something that is not taken, and why."""

    name: str
    """Path below the watched folder."""
    why: str
    patience_ns: int = _SOON_NS


class Listing:
    """Looks at one watched folder; belongs to the thread that takes images in."""

    def __init__(self, settings: FolderSettings, done: Path, monotonic_ns: Now) -> None:
        self._root = settings.path
        self._levels = len(settings.subfolders)
        self._done = os.path.abspath(done)  # noqa: PTH100 - compared as text for every folder
        self._is_ignored = _matcher(settings.ignore)
        self._names_temporary = "ignore" not in settings.model_fields_set
        """Whether nobody said what a temporary name is: then one that stays is told."""
        self._monotonic_ns = monotonic_ns
        self._odd: list[Odd] = []
        self._deep: tuple[Odd, ...] = ()
        self._deep_due_ns = 0
        self._since_ns: dict[str, int] = {}
        self._contents: dict[str, tuple[tuple[int, int], bool]] = {}
        """Of files that are not named like images: size and time, and whether they begin like one."""
        self._looked: set[str] = set()
        self._sidecars: list[str] = []
        self._found: tuple[Found, ...] = ()

    def images(self) -> tuple[Found, ...]:
        """Return the images in the folder and in as many levels of sub-folders as have a meaning, oldest first.

        Raises:
            OSError: the folder is gone or cannot be read; of a sub-folder this is something odd.
        """
        self._odd, self._looked, self._sidecars = [], set(), []
        found = self._images("", 0)
        self._found = tuple(sorted(found, key=lambda one: (one.status.st_mtime_ns, one.name)))
        self._contents = {name: known for name, known in self._contents.items() if name in self._looked}
        return self._found

    def lone_sidecars(self) -> tuple[str, ...]:
        """Return the sidecars that `images` has seen without an image beside them."""
        beside = {os.path.splitext(one.name)[0] for one in self._found}  # noqa: PTH122 - the name may be no text
        return tuple(name for name in self._sidecars if os.path.splitext(name)[0] not in beside)  # noqa: PTH122

    def passed_over(self, *, patience: bool = True, most: int = _DEEP_LOOK) -> tuple[Odd, ...]:
        """Return what `images` has passed over and what lies too deep; only what has stayed a while, with patience."""
        now = self._monotonic_ns()
        if now >= self._deep_due_ns:
            self._deep = tuple(odd for odd in islice(self._too_deep("", 0), most) if odd is not None)
            self._deep_due_ns = now + max(_SOON_NS // 2, _REST * (self._monotonic_ns() - now))
        found = (*self._odd, *self._deep)
        self._since_ns = {odd.name: self._since_ns.get(odd.name, now) for odd in found}
        return tuple(odd for odd in found if not patience or now - self._since_ns[odd.name] >= odd.patience_ns)

    def _images(self, folder: str, depth: int) -> Iterator[Found]:
        with os.scandir(self._root / folder) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)  # noqa: PTH118 - the name may hold bytes that are not text
                try:
                    if self._is_left_alone(entry, name):
                        continue
                    if is_image(entry.name):
                        yield Found(name, entry.stat(follow_symlinks=False))
                    elif not entry.is_dir(follow_symlinks=False):
                        self._look_at(entry, name)
                    elif depth < self._levels and not self._is_done(name):
                        yield from self._images(name, depth + 1)
                except FileNotFoundError:
                    continue  # renamed or removed between the listing and the look: no part yet, or no more
                except OSError as error:
                    self._odd.append(Odd(name, error.strerror or "cannot be looked at"))

    def _is_left_alone(self, entry: "os.DirEntry[str]", name: str) -> bool:
        """Say whether a name is none of ours, and note an image that has kept its temporary name."""
        if is_litter(entry.name):
            return True
        if not self._is_ignored(entry.name):
            return False
        if self._names_temporary and is_image(entry.name):
            self._odd.append(Odd(name, "still has a temporary name (see `ignore`)", _FORGOTTEN_NS))
        return True

    def _look_at(self, entry: "os.DirEntry[str]", name: str) -> None:
        """Note what is neither a folder nor named like an image, where somebody may miss it."""
        if entry.is_symlink():
            if entry.is_dir():
                self._odd.append(Odd(name, "a linked folder: nothing behind a link is taken"))
            return
        status = entry.stat(follow_symlinks=False)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is not None:
            self._odd.append(Odd(name, f"{kind}, no file"))
        elif is_sidecar_name(name):
            self._sidecars.append(name)
        elif self._begins_like_an_image(name, status):
            self._odd.append(Odd(name, "an image by its content, not by the ending of its name"))

    def _begins_like_an_image(self, name: str, status: os.stat_result) -> bool:
        """Say whether a file begins like an image; its beginning is read once, not at every look."""
        self._looked.add(name)
        state = status.st_size, status.st_mtime_ns
        known = self._contents.get(name)
        if known is None or known[0] != state:
            self._contents[name] = known = state, _looks_like_image(_beginning(self._root / name))
        return known[1]

    def _too_deep(self, folder: str, depth: int) -> Iterator[Odd | None]:
        """Yield the images in sub-folders without a meaning, and what of these cannot be looked at; None for others."""
        try:
            entries = sorted(os.scandir(self._root / folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        except OSError as error:
            yield Odd(folder, error.strerror or "cannot be looked at") if depth > self._levels else None
            return
        for entry in entries:
            name = os.path.join(folder, entry.name)  # noqa: PTH118 - the name may hold bytes that are not text
            if is_litter(entry.name) or self._is_ignored(entry.name) or self._is_done(name):
                continue
            if _is_folder(entry) and not is_image(entry.name):
                yield from self._too_deep(name, depth + 1)
            elif depth > self._levels:
                yield Odd(name, self._wrong_place()) if is_image(entry.name) else None

    def _wrong_place(self) -> str:
        if self._levels:
            return f"lies too deep: `subfolders` names {self._levels} level(s)"
        return "lies in a sub-folder, and `subfolders` names none"

    def _is_done(self, name: str) -> bool:
        return os.path.abspath(self._root / name) == self._done  # noqa: PTH100


def in_words(odd: tuple[Odd, ...]) -> str:
    """Return what is passed over, by its first few; empty when nothing is."""
    found = sorted(odd, key=lambda one: one.name)
    named = "; ".join(f"{printable(one.name)}: {one.why}" for one in found[:_NAMED])
    return f"{named}; and {len(found) - _NAMED} more" if len(found) > _NAMED else named


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _beginning(path: Path) -> bytes:
    """Return a file's first bytes; none where it may not be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            return os.read(handle, _HEAD)
        finally:
            os.close(handle)
    except OSError:
        return b""


def _looks_like_image(head: bytes) -> bool:
    return head.startswith(_BEGINNINGS) or any(head.startswith(brands, at) for at, brands in _BRANDS.items())


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return what says whether a name fits one of the patterns, in any case."""
    if not patterns:
        return lambda _name: False
    known = re.compile("|".join(map(fnmatch.translate, patterns)), re.IGNORECASE)
    return lambda name: known.match(name) is not None
