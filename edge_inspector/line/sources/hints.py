"""What the file system says of a folder by itself: names of files that are complete. Hints, never the truth."""

import errno
import logging
import os
import queue
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import inotify_move_event_grouper
from watchdog.observers.inotify import InotifyObserver

logger = logging.getLogger(__name__)

# watchdog holds back a file that was renamed away for half a second, to pair it with where it went, and every later
# event behind it. We rename every image away ourselves and need no pairs.
inotify_move_event_grouper.InotifyMoveEventGrouper.delay = 0.0


@dataclass(frozen=True, slots=True)
class Hint:
    """An event's word on a file."""

    name: str
    """Path below the watched folder."""
    moved: bool
    """Renamed into its place; else closed after writing."""


class _Hints(FileSystemEventHandler):
    """Passes on the names of files that are complete; runs in watchdog's thread."""

    def __init__(self, folder: Path, hints: "queue.SimpleQueue[Hint]") -> None:
        self._folder = folder
        self._hints = hints

    def dispatch(self, event: FileSystemEvent) -> None:
        moved = isinstance(event, FileMovedEvent)
        path = event.dest_path if moved else event.src_path
        if path and isinstance(event, FileMovedEvent | FileClosedEvent):
            self._hints.put(Hint(os.path.relpath(os.fsdecode(path), self._folder), moved))


class hints_from:  # noqa: N801 - reads as the verb it is
    """Watch a folder while the block runs; where the system cannot, or has no watches left, the scan alone must do."""

    def __init__(self, folder: Path, hints: "queue.SimpleQueue[Hint]", *, deep: bool) -> None:
        self._observer = InotifyObserver(generate_full_events=True)
        self._folder = folder
        self._hints = hints
        self._deep = deep

    def __enter__(self) -> None:
        wanted = [FileMovedEvent, FileClosedEvent]
        hints = _Hints(self._folder, self._hints)
        self._observer.schedule(hints, str(self._folder), recursive=self._deep, event_filter=wanted)
        try:
            self._observer.start()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise
            logger.warning("%s: %s; images are found by listing it alone", self._folder, error)

    def __exit__(self, *_: object) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
