"""The images that a station has taken: claimed by a rename, put away when they are answered."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from edge_inspector.atomic import move, sync_folder
from edge_inspector.image_names import ENDINGS
from edge_inspector.wire.messages import in_calendar

CLAIMED, DONE = ".claimed", ".done"
BETWEEN = "--"
"""Between an arrival and the name that the camera gave; what has it was put there by us."""
_JOINS = "~"
"""Between a part's arrival and the id of a further image of it."""
_LATE = "late"
"""Instead of an arrival, before the name of a sidecar that came when its image had been answered."""
_OF_ONE_FILE = frozenset(
    {errno.EPERM, errno.EACCES, errno.EBUSY, errno.EXDEV, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EISDIR}
)
"""What a file may say that cannot be renamed while its neighbours can: another owner's, a mount, one made immutable."""
_LONGEST_SIDECAR = 65_536
_SIDECAR = ".json"
_SPELLED = (_SIDECAR, ".JSON", ".Json")
_NAME_MAX = 254
"""One less than the file system takes: `.json` may be longer than the image's ending."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An image that was taken."""

    arrival_id: str
    """The part's; several images of one part share it."""
    name: str
    """The image's path below the watched folder, as the camera named it."""
    path: Path


@dataclass(frozen=True, slots=True)
class Claims:
    """The claimed folder, with the same sub-folders as the watched one."""

    inbox: Path
    done: Path
    after: Literal["move", "delete", "keep"]

    def make_folder(self) -> None:
        """Make the place for claimed images; on a share that is only read there is none."""
        if self.after != "keep":
            self._folder.mkdir(exist_ok=True)

    def take(self, name: str, arrival_id: str, *, joining: str = "") -> Claimed:
        """Claim an image and, after it, the sidecar beside it.

        Args:
            name: path below the watched folder.
            arrival_id: a new one.
            joining: the part's arrival, where this is a further image of it.

        Raises:
            FileNotFoundError: the image was taken back, or the claimed folder is gone.
            OSError: the disk failed.
        """
        folder, file = os.path.split(name)
        claim = f"{joining}{_JOINS}{arrival_id}" if joining else arrival_id
        if folder and self._folder.is_dir():
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
        path = self._folder / folder / _claim_name(claim, file)
        (self.inbox / name).rename(path)
        self._sync(path.parent, (self.inbox / name).parent)
        self._take_sidecar(name, path)
        return Claimed(joining or arrival_id, name, path)

    def _sync(self, *folders: Path) -> None:
        """Have a claim survive a power cut before its answer does: the answered image would come back as a new part.

        Raises:
            OSError: the disk failed; the image is found claimed when the folder is opened again.
        """
        between = {
            above for folder in folders for above in (folder, *folder.parents) if above.is_relative_to(self.inbox)
        }
        for folder in sorted(between, reverse=True):
            sync_folder(folder)

    def left_over(self) -> Iterator[Claimed]:
        """Yield what an earlier run claimed, in the order of arrival."""
        found = _files_below(self._folder) if self.after != "keep" else ()
        for path in sorted(found, key=lambda path: path.name):
            claim, _, original = path.name.partition(BETWEEN)
            if _is_image(original):
                name = os.path.join(path.parent.relative_to(self._folder), original)  # noqa: PTH118
                self._take_sidecar(name, path)
                yield Claimed(claim.partition(_JOINS)[0], os.path.normpath(name), path)

    def put_away(self, arrival_id: str) -> None:
        """Move or delete the images of an answered part; `keep` leaves everything as it is.

        Raises:
            OSError: `done` is full, read-only or gone; what is not put away stays claimed.
        """
        mine = (arrival_id + BETWEEN, arrival_id + _JOINS)
        for path in _files_below(self._folder) if self.after != "keep" else ():
            if path.name.startswith(mine):
                self._put_away(path)

    def put_away_late(self, name: str) -> None:
        """Move or delete a sidecar whose image has gone: it would be taken for the next image of that name."""
        target = self._day_folder(self.inbox / name) / f"{_LATE}{BETWEEN}{os.path.basename(name)}"  # noqa: PTH119
        if self.after == "delete":
            (self.inbox / name).unlink(missing_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            move(self.inbox / name, target)

    def is_of_one_file(self, error: OSError) -> bool:
        """Say whether a claim failed for that file alone: then the others are taken all the same."""
        rights = os.W_OK | os.X_OK
        return error.errno in _OF_ONE_FILE and all(os.access(one, rights) for one in (self.inbox, self._folder))

    def is_there(self) -> bool:
        """Whether the claimed folder is; somebody may have tidied it up."""
        return self._folder.is_dir()

    @property
    def _folder(self) -> Path:
        return self.inbox / CLAIMED

    def _take_sidecar(self, name: str, path: Path) -> None:
        """Claim the sidecar too, unless it was, or there is none: what it says is looked at elsewhere."""
        with suppress(OSError):
            if not path.with_suffix(_SIDECAR).exists():
                sidecar_of(self.inbox / name).rename(path.with_suffix(_SIDECAR))

    def _put_away(self, path: Path) -> None:
        with suppress(FileNotFoundError):  # the other thread that puts things away was first
            mode = path.lstat().st_mode
            if self.after == "delete" and not stat.S_ISDIR(mode):
                path.unlink()
                return
            # What is not a file cannot be copied, should `done` lie on another file system.
            folder = self._day_folder(path, self.done if stat.S_ISREG(mode) else self.inbox / DONE)
            folder /= path.parent.relative_to(self._folder)
            folder.mkdir(parents=True, exist_ok=True)
            move(path, folder / path.name)

    def _day_folder(self, path: Path, done: Path | None = None) -> Path:
        seconds = in_calendar(path.lstat().st_mtime_ns) // 1_000_000_000
        return (done or self.done) / datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def sidecar_of(image: Path) -> Path:
    """Return where the JSON file beside an image is, or would be; its ending may be written in any case."""
    spelled = (image.with_suffix(ending) for ending in _SPELLED)
    return next((path for path in spelled if os.path.lexists(path)), image.with_suffix(_SIDECAR))


def is_sidecar_name(name: str) -> bool:
    """Say whether a file of this name is a sidecar."""
    return name.lower().endswith(_SIDECAR)


def read_sidecar(image: Path) -> bytes | None:
    """Return the content of the JSON file beside an image; None where there is none that may be opened."""
    path = sidecar_of(image)
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LONGEST_SIDECAR:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _files_below(folder: Path) -> tuple[Path, ...]:
    """Return what lies in a folder and its sub-folders; a folder that is named like an image was claimed as one."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names, with their undecodable bytes
    except FileNotFoundError:
        return ()
    found: list[Path] = []
    for name in names:
        path = folder / name
        inside = not _is_image(name) and path.is_dir() and not path.is_symlink()
        found.extend(_files_below(path) if inside else (path,))
    return tuple(found)


def _is_image(name: str) -> bool:
    """Say whether a claimed file was taken as an image: it was, though its cut-off name may look hidden now."""
    return os.path.splitext(f"_{name}")[1].lower() in ENDINGS  # noqa: PTH122 - the name may hold bytes that are not text


def _claim_name(claim: str, name: str) -> str:
    """Return the claimed file's name, its beginning cut off where the file system would refuse the length."""
    prefix = f"{claim}{BETWEEN}"
    room = _NAME_MAX - len(prefix.encode())
    raw = os.fsencode(name)
    return prefix + os.fsdecode(raw[-room:])
