"""Keeps images of judged parts, in a thread of its own: what it cannot keep up with it drops and counts."""

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
from edge_inspector.image_names import ending_for
from edge_inspector.inspection import overlays as images
from edge_inspector.inspection.inspector import Evidence
from edge_inspector.inspection.model import Image, Judgement, Verdict
from edge_inspector.line.environment import Now
from edge_inspector.line.sources.judged_images import Judged
from edge_inspector.line.ticks import Archived, Fault, Worker
from edge_inspector.settings import ArchiveSettings

PINNED = "PINNED"
"""The folder of images that somebody wants kept; they go last."""
ORDER = (Verdict.OK, Verdict.INVALID, Verdict.ERROR, Verdict.REVIEW, Verdict.NG, PINNED)
"""Which images go first when there is no room."""
_OVERLAY = "-overlay.jpg"
_DAY_NS = 86_400_000_000_000
_TIDY_NS = 60_000_000_000
_JUDGED_NS = 600_000_000_000
"""So often the judged images are looked through: there may be very many."""
_SLACK = 0.95
_BATCH = 10_000
"""Names in memory at a time: a day of a fast line has a million images."""


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """A judged part's image, and what its overlay is drawn from."""

    id: str
    verdict: Verdict
    captured_ns: int
    """Unix time."""
    image: bytes | Image = field(repr=False)
    judgement: Judgement = field(repr=False)
    evidence: Evidence | None = field(repr=False)
    threshold: float


@dataclass(frozen=True, slots=True)
class ArchiveFolders:
    """Where a station's images are: `folder/VERDICT/YYYY-MM-DD/HHMMSS.mmm-id.png`."""

    folder: Path

    def place(self, verdict: str, captured_ns: int, arrival_id: str, ending: str) -> Path:
        """Return where an image belongs."""
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
        """Have images go last, and return where they are now."""
        moved = []
        for file in files:
            target = self.folder / PINNED / file.parent.name / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            moved.append(file.rename(target))
        return tuple(moved)

    def oldest(self, kind: str, before: str = "") -> Iterator[Path]:
        """Yield the images of a verdict, oldest first; only those of days before `before` where one is given."""
        for day in sorted(_children(self.folder / kind)):
            if before and day.name >= before:
                return
            yield from _by_name(day)
            with suppress(OSError):
                day.rmdir()

    def sizes(self) -> Iterator[int]:
        """Yield the bytes of each day's images."""
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
    judged_ns: int | None = None
    """When the judged images were looked through."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Writes what was kept and removes what is too old or too much; never in the way of a verdict."""

    folders: ArchiveFolders
    settings: ArchiveSettings
    worker: Worker
    now_ns: Now = field(repr=False)
    """Unix time."""
    archived_images: "queue.Queue[ArchivedImage]" = field(repr=False)
    dropped: "queue.SimpleQueue[str]" = field(default_factory=queue.SimpleQueue, repr=False)
    judged: Judged | None = None
    """Second copies of what is kept here; they go before anything here does."""

    def keep(self, archived_image: ArchivedImage) -> None:
        """Take an image without waiting; the judging thread calls this."""
        if not _is_among(self.settings.keep, archived_image.verdict):
            return
        try:
            self.archived_images.put_nowait(archived_image)
        except queue.Full:
            self.dropped.put(archived_image.id)

    def run(self) -> None:
        """Keep images until stopped, and then what still waits."""
        self.worker.step_back()
        tally = _Tally(0, self.worker.monotonic_ns())
        for size in self.folders.sizes():
            tally.size += size
            self.worker.tick()
        self._tidy(tally)
        while not (self.worker.stopping() and self.archived_images.empty()):
            self.worker.tick()
            try:
                archived_image = self.archived_images.get(timeout=0.5)
            except queue.Empty:
                archived_image = None
            if archived_image is not None:
                self._write(archived_image, tally)
            self._report(tally)
            if tally.size > self.settings.max_mb * 1_000_000 or self._is_due(tally):
                self._tidy(tally)

    def _is_due(self, tally: _Tally) -> bool:
        return self.worker.monotonic_ns() - tally.tidied_ns >= _TIDY_NS

    def _write(self, archived_image: ArchivedImage, tally: _Tally) -> None:
        """Write original and overlay; a full disk costs this image, and says so."""
        free = self._free_mb()
        if free is not None and free < self.settings.min_free_mb:
            self._tidy(tally)
            free = self._free_mb()
        if free is None or free < self.settings.min_free_mb:
            tally.dropped += 1
            self._fault(f"{free} MB free at {self.folders.folder}, less than {self.settings.min_free_mb} MB")
            return
        try:
            for ending, content in _files(
                archived_image, overlay=_is_among(self.settings.overlays, archived_image.verdict)
            ):
                place = self.folders.place(
                    archived_image.verdict, archived_image.captured_ns, archived_image.id, ending
                )
                place.parent.mkdir(parents=True, exist_ok=True)
                write_unsynced(place, content)
                tally.size += len(content)
        except (OSError, cv2.error) as error:
            tally.dropped += 1
            self._fault(f"{self.folders.folder}: {error}")
        else:
            self.worker.reports.put(Fault("archive", "", active=False))

    def _report(self, tally: _Tally) -> None:
        while not self.dropped.empty():
            self.dropped.get()
            tally.dropped += 1
        self.worker.reports.put(Archived(tally.size, tally.dropped))

    def _fault(self, why: str) -> None:
        self.worker.reports.put(Fault("archive", f"images are not kept: {why}; verdicts go on"))

    def _free_mb(self) -> int | None:
        try:
            self.folders.folder.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(self.folders.folder).free // 1_000_000
        except OSError:
            return None

    def _tidy(self, tally: _Tally) -> None:
        """Remove what is too old, then as much as is too much: judged images first, then in the order of `ORDER`."""
        tally.tidied_ns = self.worker.monotonic_ns()
        self._tidy_judged(tally)
        for kind in ORDER[:-1]:
            days = self.settings.ok_days if kind == Verdict.OK else self.settings.not_ok_days
            before = datetime.fromtimestamp((self.now_ns() - days * _DAY_NS) // 1_000_000_000, UTC).strftime("%Y-%m-%d")
            for file in self.folders.oldest(kind, before):
                if self.worker.stopping():
                    break
                tally.size -= self._remove(file)
        self._make_room(tally)

    def _tidy_judged(self, tally: _Tally) -> None:
        if self.judged is None:
            return
        if tally.judged_ns is None or tally.tidied_ns - tally.judged_ns >= _JUDGED_NS:
            tally.judged_ns = tally.tidied_ns
            self.judged.tidy(self.now_ns(), self._goes_on)
        self._free_mb()  # makes the archive's folder, whose disk is asked for
        self.judged.make_room(self.settings.min_free_mb, self.folders.folder, self._goes_on)

    def _goes_on(self) -> bool:
        self.worker.tick()
        return not self.worker.stopping()

    def _make_room(self, tally: _Tally) -> None:
        """Once there is too little room, make a little more than is needed: looking for the oldest takes time."""
        most, least = self.settings.max_mb * 1_000_000, self.settings.min_free_mb
        if tally.size <= most and self._has_free(least):
            return
        for kind in ORDER:
            for file in self.folders.oldest(kind):
                if self.worker.stopping() or (tally.size <= most * _SLACK and self._has_free(least / _SLACK)):
                    return
                tally.size -= self._remove(file)

    def _has_free(self, least_mb: float) -> bool:
        free = self._free_mb()
        return free is None or free >= least_mb

    def _remove(self, file: Path) -> int:
        """Remove an image and return its size."""
        self.worker.tick()
        try:
            size = file.stat().st_size
            file.unlink()
        except OSError:
            return 0
        return size


def _is_among(which: str, verdict: Verdict) -> bool:
    return which == "all" or (which == "not_ok" and verdict is not Verdict.OK)


def _files(archived_image: ArchivedImage, *, overlay: bool) -> Iterator[tuple[str, bytes]]:
    """Yield endings and contents: the original as it came (camera pixels without loss), and the overlay."""
    image = archived_image.image
    if isinstance(image, bytes):
        yield ending_for(image) or ".bin", image
    else:
        yield ".png", cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    if overlay and archived_image.evidence is not None:
        evidence = archived_image.evidence
        shown = images.overlay(
            evidence.image, evidence.amap, archived_image.threshold, evidence.placement, evidence.window
        )
        boxed = images.draw_boxes(shown, archived_image.judgement.blobs, max(shown.shape[:2]))
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
