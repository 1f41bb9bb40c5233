"""Judged images that were put away: which are too old, too much, or in the way of what must have room."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_inspector.line.environment import Now
from edge_inspector.line.sources.claims import BETWEEN, DONE
from edge_inspector.line.ticks import Worker
from edge_inspector.settings import FolderSettings

_DAY_NS = 86_400_000_000_000
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SLACK = 0.95
_EVERY_S = 600.0
_LEAST_FREE_MB = 2_000
"""As the archive's default."""
_SHARE = 10
"""A small disk of its own need not have as much room as the archive wants: a tenth will do."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The folder `done` of a watched folder: day folders, in which nothing is touched that we did not put there."""

    folder: Path
    days: int | None
    """None is for ever."""
    max_mb: int | None
    """None is any number."""

    def tidy(self, now_ns: int, going_on: Callable[[], bool]) -> None:
        """Remove what is too old at `now_ns` (Unix time) and then, day by day, as much as is too much."""
        if self.days is not None:
            for file in self._files(going_on, before=_day_after(now_ns - self.days * _DAY_NS)):
                if _has_lain(file, now_ns) >= self.days * _DAY_NS:
                    _remove(file)
        self._keep_size(going_on)
        self._drop_empty()

    def make_room(self, least_mb: int, archive: Path, going_on: Callable[[], bool]) -> None:
        """Remove the oldest images while the disk has less room than the archive, at `archive`, wants."""
        if self._has_room(least_mb, archive):
            return
        for file in self._files(going_on):
            _remove(file)
            if self._has_room(least_mb / _SLACK, archive):
                return

    def _keep_size(self, going_on: Callable[[], bool]) -> None:
        """Once there is too much, remove a little more than that: the next look shall find it in order."""
        if self.max_mb is None:
            return
        most = self.max_mb * 1_000_000
        size = sum(_size(file) for file in self._files(going_on))
        if size <= most:
            return
        for file in self._files(going_on):
            if size <= most * _SLACK:
                return
            size -= _size(file)
            _remove(file)

    def _has_room(self, least_mb: float, archive: Path) -> bool:
        try:
            disk = shutil.disk_usage(self.folder)
            if os.stat(self.folder).st_dev != os.stat(archive).st_dev:  # noqa: PTH116
                least_mb = min(least_mb, disk.total / _SHARE / 1_000_000)
        except OSError:
            return True  # there is nothing to remove, or nothing to be known
        return disk.free >= least_mb * 1_000_000

    def _files(self, going_on: Callable[[], bool], before: str = "") -> Iterator[Path]:
        """Yield what we put there, day by day; only of days before `before` where one is given."""
        for day in self._days():
            if before and day.name >= before:
                return
            for file in _below(day, ours=False):
                if not going_on():
                    return
                yield file

    def _days(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if _DAY.fullmatch(path.name) and not path.is_symlink())
        except OSError:
            return []

    def _drop_empty(self) -> None:
        """Remove the folders that have nothing in them any more; today's may be about to be used."""
        for day in self._days()[:-1]:
            for folder, _, _ in os.walk(day, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()


@dataclass(frozen=True, slots=True)
class Housekeeper:
    """Tidies judged images where no archive does: on the PC of a camera that sends its images to a pool."""

    judged: Judged
    state: Path
    """The folder of a disk that must have room, too."""
    worker: Worker
    now_ns: Now

    def run(self) -> None:
        """Tidy until stopped."""
        self.worker.step_back()
        while not self.worker.stopping():
            self.judged.tidy(self.now_ns(), self._goes_on)
            self.judged.make_room(_LEAST_FREE_MB, self.state, self._goes_on)
            self.worker.stop.wait(_EVERY_S)

    def _goes_on(self) -> bool:
        return not self.worker.stopping()


def judged_of(settings: FolderSettings) -> Judged | None:
    """Return where a folder's judged images are; None where none are put away."""
    if settings.after != "move":
        return None
    days, most = settings.done_limits
    return Judged(settings.done or settings.path / DONE, days, most)


def _below(folder: Path, *, ours: bool) -> Iterator[Path]:
    """Yield the files in a folder that have an arrival in their names, or lie in a folder that has; one at a time."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            mine = ours or BETWEEN in entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _below(folder / entry.name, ours=mine)
            elif mine:
                yield folder / entry.name


def _day_after(unix_ns: int) -> str:
    return datetime.fromtimestamp((unix_ns + _DAY_NS) // 1_000_000_000, UTC).strftime("%Y-%m-%d")


def _has_lain(file: Path, now_ns: int) -> int:
    """Return how long a file has been here; its own time is the camera's, whose clock may stand at 1970."""
    try:
        return now_ns - file.lstat().st_ctime_ns
    except OSError:
        return 0


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:
        return 0


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink()
