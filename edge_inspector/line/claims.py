"""The pictures that a station has taken: claimed by a rename, put away when they are answered."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from edge_inspector.atomic import sync_folder
from edge_inspector.image_names import is_image

CLAIMED, DONE = ".claimed", ".done"
_BETWEEN = "--"
_JOINS = "~"
"""Between a part's arrival and the id of a further picture of it."""
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
"""What shares say that cannot sync a folder; there the server decides what a power cut undoes."""
_LONGEST_SIDECAR = 65_536
_NAME_MAX = 254
"""One less than the file system takes: `.json` may be longer than the picture's ending."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A picture that was taken."""

    arrival_id: str
    """The part's; several pictures of one part share it."""
    name: str
    """The picture's path below the watched folder, as the camera named it."""
    path: Path


@dataclass(frozen=True, slots=True)
class Claims:
    """The claimed folder, with the same sub-folders as the watched one."""

    inbox: Path
    done: Path
    after: Literal["move", "delete", "keep"]

    def make_folder(self) -> None:
        """Make the place for claimed pictures; on a share that is only read there is none."""
        if self.after != "keep":
            self._folder.mkdir(exist_ok=True)

    def take(self, name: str, arrival_id: str, *, joining: str = "") -> Claimed:
        """Claim a picture and, after it, the sidecar beside it.

        Args:
            name: path below the watched folder.
            arrival_id: a new one.
            joining: the part's arrival, where this is a further picture of it.

        Raises:
            FileNotFoundError: the picture was taken back, or the claimed folder is gone.
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
        """Have a claim survive a power cut before its answer does: the answered picture would come back as a new part.

        Raises:
            OSError: the disk failed; the picture is found claimed when the folder is opened again.
        """
        between = {
            above for folder in folders for above in (folder, *folder.parents) if above.is_relative_to(self.inbox)
        }
        for folder in sorted(between, reverse=True):
            try:
                sync_folder(folder)
            except OSError as error:
                if error.errno not in _NO_SYNC:
                    raise

    def left_over(self) -> Iterator[Claimed]:
        """Yield what an earlier run claimed, in the order of arrival."""
        found = _files_below(self._folder) if self.after != "keep" else ()
        for path in sorted(found, key=lambda path: path.name):
            claim, _, original = path.name.partition(_BETWEEN)
            if is_image(original):
                name = os.path.join(path.parent.relative_to(self._folder), original)  # noqa: PTH118
                self._take_sidecar(name, path)
                yield Claimed(claim.partition(_JOINS)[0], os.path.normpath(name), path)

    def put_away(self, arrival_id: str) -> None:
        """Move or delete the pictures of an answered part; `keep` leaves everything as it is."""
        mine = (arrival_id + _BETWEEN, arrival_id + _JOINS)
        for path in _files_below(self._folder) if self.after != "keep" else ():
            if path.name.startswith(mine):
                self._put_away(path)

    def is_there(self) -> bool:
        """Whether the claimed folder is; somebody may have tidied it up."""
        return self._folder.is_dir()

    @property
    def _folder(self) -> Path:
        return self.inbox / CLAIMED

    def _take_sidecar(self, name: str, path: Path) -> None:
        """Claim the sidecar too, unless it was, or there is none: what it says is looked at elsewhere."""
        with suppress(OSError):
            if not sidecar_of(path).exists():
                sidecar_of(self.inbox / name).rename(sidecar_of(path))

    def _put_away(self, path: Path) -> None:
        if self.after == "delete" and not path.is_dir():
            path.unlink(missing_ok=True)
            return
        day = datetime.fromtimestamp(path.lstat().st_mtime, UTC).strftime("%Y-%m-%d")
        folder = self.done / day / path.parent.relative_to(self._folder)
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)


def sidecar_of(picture: Path) -> Path:
    """Return where the JSON file beside a picture is."""
    return picture.with_suffix(".json")


def read_sidecar(picture: Path) -> bytes | None:
    """Return the content of the JSON file beside a picture; None where there is none that may be opened."""
    path = sidecar_of(picture)
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LONGEST_SIDECAR:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _files_below(folder: Path) -> tuple[Path, ...]:
    """Return what lies in a folder and its sub-folders; a folder that is named like a picture was claimed as one."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names, with their undecodable bytes
    except FileNotFoundError:
        return ()
    found: list[Path] = []
    for name in names:
        path = folder / name
        inside = not is_image(name) and path.is_dir() and not path.is_symlink()
        found.extend(_files_below(path) if inside else (path,))
    return tuple(found)


def _claim_name(claim: str, name: str) -> str:
    """Return the claimed file's name, its beginning cut off where the file system would refuse the length."""
    prefix = f"{claim}{_BETWEEN}"
    room = _NAME_MAX - len(prefix.encode())
    raw = os.fsencode(name)
    return prefix + os.fsdecode(raw[-room:])
