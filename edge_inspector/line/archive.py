"""Keeps pictures of judged parts, in a thread of its own: what it cannot keep up with it drops and counts."""

import heapq
import os
import queue
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import cv2

from edge_inspector.atomic import write_unsynced
from edge_inspector.inspection import picture as pictures
from edge_inspector.inspection.inspector import Evidence
from edge_inspector.inspection.model import Image, Judgement, Verdict
from edge_inspector.line.source import Now
from edge_inspector.line.ticks import Archived, Fault, Worker
from edge_inspector.settings import ArchiveSettings

PINNED = "PINNED"
"""The folder of pictures that somebody wants kept; they go last."""
ORDER = (Verdict.OK, Verdict.INVALID, Verdict.ERROR, Verdict.REVIEW, Verdict.NG, PINNED)
"""Which pictures go first when there is no room."""
_OVERLAY = "-overlay.jpg"
_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"BM": ".bmp", b"II": ".tif", b"MM": ".tif"}
_DAY_NS = 86_400_000_000_000
_TIDY_NS = 60_000_000_000
_SLACK = 0.95
_BATCH = 10_000
"""Names in memory at a time: a day of a fast line has a million pictures."""


@dataclass(frozen=True, slots=True)
class Keepsake:
    """A judged part's picture, and what its overlay is drawn from."""

    id: str
    verdict: Verdict
    captured_ns: int
    """Unix time."""
    image: bytes | Image = field(repr=False)
    judgement: Judgement = field(repr=False)
    evidence: Evidence | None = field(repr=False)
    threshold: float


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a station's pictures are: `folder/VERDICT/YYYY-MM-DD/HHMMSS.mmm-id.png`."""

    folder: Path

    def place(self, verdict: str, captured_ns: int, arrival_id: str, ending: str) -> Path:
        """Return where a picture belongs."""
        seconds, rest = divmod(captured_ns, 1_000_000_000)
        moment = datetime.fromtimestamp(seconds, UTC)
        name = f"{moment:%H%M%S}.{rest // 1_000_000:03d}-{re.sub(r'[^0-9A-Za-z-]', '_', arrival_id)}{ending}"
        return self.folder / verdict / f"{moment:%Y-%m-%d}" / name

    def find(self, verdict: str, captured_ns: int, arrival_id: str) -> tuple[Path, ...]:
        """Return a part's original and overlay, as far as they are still there; the original first."""
        for kind in (verdict, PINNED):
            place = self.place(kind, captured_ns, arrival_id, "")
            if place.parent.is_dir():
                found = [
                    file
                    for file in place.parent.iterdir()
                    if file.name.startswith((f"{place.name}.", place.name + "-"))
                ]
                if found:
                    return tuple(sorted(found, key=lambda file: file.name.endswith(_OVERLAY)))
        return ()

    def pin(self, files: tuple[Path, ...]) -> tuple[Path, ...]:
        """Have pictures go last, and return where they are now."""
        moved = []
        for file in files:
            target = self.folder / PINNED / file.parent.name / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            moved.append(file.rename(target))
        return tuple(moved)

    def oldest(self, kind: str, before: str = "") -> Iterator[Path]:
        """Yield the pictures of a verdict, oldest first; only those of days before `before` where one is given."""
        for day in sorted(_children(self.folder / kind)):
            if before and day.name >= before:
                return
            yield from _by_name(day)
            with suppress(OSError):
                day.rmdir()

    def sizes(self) -> Iterator[int]:
        """Yield the bytes of each day's pictures."""
        for kind in ORDER:
            for day in _children(self.folder / kind):
                with suppress(OSError), os.scandir(day) as files:
                    yield sum(file.stat().st_size for file in files)


@dataclass(slots=True)
class _Tally:
    """What the archive's thread knows of itself."""

    size: int
    tidied_ns: int
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Archive:
    """Writes what was kept and removes what is too old or too much; never in the way of a verdict."""

    shelf: Shelf
    settings: ArchiveSettings
    worker: Worker
    now_ns: Now = field(repr=False)
    """Unix time."""
    keepsakes: "queue.Queue[Keepsake]" = field(repr=False)
    dropped: "queue.SimpleQueue[str]" = field(default_factory=queue.SimpleQueue, repr=False)

    def keep(self, keepsake: Keepsake) -> None:
        """Take a picture without waiting; the judging thread calls this."""
        if not _is_among(self.settings.keep, keepsake.verdict):
            return
        try:
            self.keepsakes.put_nowait(keepsake)
        except queue.Full:
            self.dropped.put(keepsake.id)

    def run(self) -> None:
        """Keep pictures until stopped, and then what still waits."""
        self.worker.step_back()
        tally = _Tally(0, self.worker.monotonic_ns())
        for size in self.shelf.sizes():
            tally.size += size
            self.worker.tick()
        self._tidy(tally)
        while not (self.worker.stopping() and self.keepsakes.empty()):
            self.worker.tick()
            try:
                keepsake = self.keepsakes.get(timeout=0.5)
            except queue.Empty:
                keepsake = None
            if keepsake is not None:
                self._write(keepsake, tally)
            self._report(tally)
            if tally.size > self.settings.max_mb * 1_000_000 or self._is_due(tally):
                self._tidy(tally)

    def _is_due(self, tally: _Tally) -> bool:
        return self.worker.monotonic_ns() - tally.tidied_ns >= _TIDY_NS

    def _write(self, keepsake: Keepsake, tally: _Tally) -> None:
        """Write original and overlay; a full disk costs this picture, and says so."""
        free = self._free_mb()
        if free is not None and free < self.settings.min_free_mb:
            self._tidy(tally)
            free = self._free_mb()
        if free is None or free < self.settings.min_free_mb:
            tally.dropped += 1
            self._fault(f"{free} MB free at {self.shelf.folder}, less than {self.settings.min_free_mb} MB")
            return
        try:
            for ending, content in _files(keepsake, overlay=_is_among(self.settings.overlays, keepsake.verdict)):
                place = self.shelf.place(keepsake.verdict, keepsake.captured_ns, keepsake.id, ending)
                place.parent.mkdir(parents=True, exist_ok=True)
                write_unsynced(place, content)
                tally.size += len(content)
        except (OSError, cv2.error) as error:
            tally.dropped += 1
            self._fault(f"{self.shelf.folder}: {error}")
        else:
            self.worker.reports.put(Fault("archive", "", active=False))

    def _report(self, tally: _Tally) -> None:
        while not self.dropped.empty():
            self.dropped.get()
            tally.dropped += 1
        self.worker.reports.put(Archived(tally.size, tally.dropped))

    def _fault(self, why: str) -> None:
        self.worker.reports.put(Fault("archive", f"pictures are not kept: {why}; verdicts go on"))

    def _free_mb(self) -> int | None:
        try:
            self.shelf.folder.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(self.shelf.folder).free // 1_000_000
        except OSError:
            return None

    def _tidy(self, tally: _Tally) -> None:
        """Remove what is too old, and then as much as is too much, in the order of `ORDER`."""
        tally.tidied_ns = self.worker.monotonic_ns()
        for kind in ORDER[:-1]:
            days = self.settings.ok_days if kind == Verdict.OK else self.settings.not_ok_days
            before = datetime.fromtimestamp((self.now_ns() - days * _DAY_NS) // 1_000_000_000, UTC).strftime("%Y-%m-%d")
            for file in self.shelf.oldest(kind, before):
                if self.worker.stopping():
                    break
                tally.size -= self._remove(file)
        self._make_room(tally)

    def _make_room(self, tally: _Tally) -> None:
        """Once there is too little room, make a little more than is needed: looking for the oldest takes time."""
        most, least = self.settings.max_mb * 1_000_000, self.settings.min_free_mb
        if tally.size <= most and self._has_free(least):
            return
        for kind in ORDER:
            for file in self.shelf.oldest(kind):
                if self.worker.stopping() or (tally.size <= most * _SLACK and self._has_free(least / _SLACK)):
                    return
                tally.size -= self._remove(file)

    def _has_free(self, least_mb: float) -> bool:
        free = self._free_mb()
        return free is None or free >= least_mb

    def _remove(self, file: Path) -> int:
        """Remove a picture and return its size."""
        self.worker.tick()
        try:
            size = file.stat().st_size
            file.unlink()
        except OSError:
            return 0
        return size


def _is_among(which: str, verdict: Verdict) -> bool:
    return which == "all" or (which == "not_ok" and verdict is not Verdict.OK)


def _files(keepsake: Keepsake, *, overlay: bool) -> Iterator[tuple[str, bytes]]:
    """Yield endings and contents: the original as it came (camera pixels without loss), and the overlay."""
    image = keepsake.image
    if isinstance(image, bytes):
        yield _SUFFIXES.get(image[:2], ".bin"), image
    else:
        yield ".png", cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    if overlay and keepsake.evidence is not None:
        evidence = keepsake.evidence
        shown = pictures.overlay(evidence.image, evidence.amap, keepsake.threshold, evidence.placement, evidence.window)
        boxed = pictures.draw_boxes(shown, keepsake.judgement.blobs, max(shown.shape[:2]))
        yield _OVERLAY, cv2.imencode(".jpg", boxed, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _by_name(folder: Path) -> Iterator[Path]:
    """Yield a folder's files by name, as many as it may have; whoever takes them may remove them."""
    names = [""]
    while names:
        try:
            with os.scandir(folder) as files:
                names = heapq.nsmallest(_BATCH, (file.name for file in files if file.name > names[-1]))
        except OSError:
            return
        yield from (folder / name for name in names)


def _children(folder: Path) -> tuple[Path, ...]:
    try:
        return tuple(folder.iterdir())
    except OSError:
        return ()
