"""Images are kept as they came, within their limits, and never in the way of a verdict."""

import os
import queue
import shutil
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from brokers import PATIENCE_S, until
from factories import a_judgement, a_part, a_placement, jpeg

from edge_inspector.inspection.inspector import Evidence
from edge_inspector.inspection.model import Reason, Verdict
from edge_inspector.line.archive import archive as archives
from edge_inspector.line.archive.archive import PINNED, Archive, ArchivedImage, ArchiveFolders
from edge_inspector.line.sources.judged_images import Judged
from edge_inspector.line.ticks import Archived, Fault, Worker
from edge_inspector.settings import ArchiveSettings

DAY = 86_400_000_000_000
NOW = 1_700_000_000_123_000_000


def an_archived_image(name: str, reason: Reason = Reason.WITHIN_LIMIT, **changes: Any) -> ArchivedImage:  # noqa: ANN401
    """Return a judged part's image."""
    image = a_part(0)
    amap = np.zeros((60, 80), np.float32)
    values: dict[str, Any] = {
        "id": name,
        "verdict": reason.verdict,
        "captured_ns": NOW,
        "image": jpeg(image),
        "judgement": a_judgement(reason),
        "evidence": Evidence(image, image, np.zeros((1,), np.float32), amap, a_placement(160, 120)),
        "threshold": 1.0,
    }
    return ArchivedImage(**{**values, **changes})


class Bench:
    """An archive without a station."""

    def __init__(self, folder: Path, room: int = 100, **settings: Any) -> None:  # noqa: ANN401 - a test factory
        self.stop = threading.Event()
        self.reports: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.told: list[Any] = []
        self.folders = ArchiveFolders(folder)
        self.archive = Archive(
            self.folders,
            ArchiveSettings(**{"min_free_mb": 1, **settings}),
            Worker("archive", self.stop, self.reports, time.monotonic_ns),
            lambda: NOW,
            queue.Queue(room),
        )

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep images while the block runs, and what is still waiting at its end."""
        thread = threading.Thread(target=self.archive.run)
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join()

    def keep(self, *archived_images: ArchivedImage) -> None:
        """Have images kept, and return when they are."""
        with self.at_work():
            for archived_image in archived_images:
                self.archive.keep(archived_image)
            until(lambda: self.archive.archived_images.empty() and self._has_said(Archived), "the archive is in order")

    def _has_said(self, kind: type) -> bool:
        while not self.reports.empty():
            self.told.append(self.reports.get())
        return any(isinstance(report, kind) for report in self.told)

    def names(self) -> list[str]:
        """Return all files, by verdict and day."""
        return sorted(str(path.relative_to(self.folders.folder)) for path in self.folders.folder.rglob("*.*"))

    def said(self, kind: type) -> list[Any]:
        """Return what was reported of a kind."""
        self._has_said(kind)
        return [report for report in self.told if isinstance(report, kind)]


def test_an_image_is_kept_as_it_came_by_time_and_id(tmp_path: Path) -> None:
    """The file's own bytes; the overlay for what is not OK."""
    bench = Bench(tmp_path)
    good, bad = an_archived_image("a1"), an_archived_image("a2", Reason.DEFECT)

    bench.keep(good, bad)

    assert bench.names() == [
        "NG/2023-11-14/221320.123-a2-overlay.jpg",
        "NG/2023-11-14/221320.123-a2.jpg",
        "OK/2023-11-14/221320.123-a1.jpg",
    ]
    assert bench.folders.find("OK", NOW, "a1")[0].read_bytes() == good.image
    assert [path.name for path in bench.folders.find("NG", NOW, "a2")] == [
        "221320.123-a2.jpg",
        "221320.123-a2-overlay.jpg",
    ]


def test_a_camera_s_pixels_are_kept_without_loss(tmp_path: Path) -> None:
    """PNG: what was judged can be judged again."""
    bench = Bench(tmp_path)
    pixels = a_part(3)

    bench.keep(an_archived_image("a1", image=pixels))

    assert np.array_equal(cv2.imread(str(bench.folders.find("OK", NOW, "a1")[0]), cv2.IMREAD_UNCHANGED), pixels)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"keep": "all", "overlays": "none"}, ["NG", "OK"]),
        ({"keep": "not_ok", "overlays": "not_ok"}, ["NG", "NG"]),
        ({"keep": "all", "overlays": "all"}, ["NG", "NG", "OK", "OK"]),
        ({"keep": "none", "overlays": "all"}, []),
    ],
)
def test_the_settings_say_what_is_kept(tmp_path: Path, settings: dict[str, str], kept: list[str]) -> None:
    """Originals and overlays by verdict."""
    bench = Bench(tmp_path, **settings)

    bench.keep(an_archived_image("a1"), an_archived_image("a2", Reason.DEFECT))

    assert [name.split("/")[0] for name in bench.names()] == kept


def put(folders: ArchiveFolders, verdict: str, days_ago: int, name: str, size: int = 100_000) -> None:
    """Put an image on the shelf as an earlier run did."""
    place = folders.place(verdict, NOW - days_ago * DAY, name, ".jpg")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(bytes(size))


def test_the_oldest_ok_go_first_ng_and_pinned_last(tmp_path: Path) -> None:
    """Whatever its age, no NG image goes while there is an OK one."""
    kinds = (Verdict.OK, Verdict.INVALID, Verdict.ERROR, Verdict.REVIEW, Verdict.NG, PINNED)
    left = []
    for megabytes in range(12, 0, -2):
        bench = Bench(tmp_path / str(megabytes), max_mb=megabytes + 1, not_ok_days=999, ok_days=999)
        for age, kind in enumerate(reversed(kinds)):
            for number in range(2):
                put(bench.folders, kind, age + number + 1, f"a{number}", 1_000_000)
        bench.keep()
        left.append({name.split("/")[0] for name in bench.names()})

    assert left == [set(kinds[gone:]) for gone in range(6)]


def test_within_a_verdict_the_oldest_go_first(tmp_path: Path) -> None:
    """By when they were taken."""
    bench = Bench(tmp_path, max_mb=1)
    for age in range(1, 21):
        put(bench.folders, "OK", age, f"a{age:02}")

    bench.keep()
    left = sorted(name.split("-")[-1][1:3] for name in bench.names())

    assert left == [f"{age:02}" for age in range(1, len(left) + 1)]
    assert 8 <= len(left) <= 10


def test_what_is_too_old_goes_and_pinned_stays(tmp_path: Path) -> None:
    """OK after 30 days, others after 365, pinned never by age."""
    bench = Bench(tmp_path)
    for kind in ("OK", "NG", PINNED):
        for age in (20, 40, 400):
            put(bench.folders, kind, age, f"{kind}{age}")

    bench.keep()
    left = [name.split("-")[-1].removesuffix(".jpg") for name in bench.names()]

    assert sorted(left) == ["NG20", "NG40", "OK20", "PINNED20", "PINNED40", "PINNED400"]


def test_a_pinned_image_is_still_found(tmp_path: Path) -> None:
    """Under the verdict that it had."""
    bench = Bench(tmp_path)
    bench.keep(an_archived_image("a1"))

    bench.folders.pin(bench.folders.find("OK", NOW, "a1"))

    assert bench.names() == ["PINNED/2023-11-14/221320.123-a1.jpg"]
    assert bench.folders.find("OK", NOW, "a1")


def test_too_little_free_space_stops_the_archive_and_says_so(tmp_path: Path) -> None:
    """The image is dropped and counted; keeping goes on when there is room again."""
    bench = Bench(tmp_path, min_free_mb=90_000_000)

    bench.keep(an_archived_image("a1"), an_archived_image("a2"))
    reports = bench.said(object)
    faults = [report for report in reports if isinstance(report, Fault)]

    assert bench.names() == []
    assert "verdicts go on" in faults[0].message
    assert [report for report in reports if isinstance(report, Archived)][-1].dropped == 2


def test_judged_images_go_before_anything_here_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are second copies; the archive was emptied, NG and all, while they were never touched."""
    bench = Bench(tmp_path / "archive")
    bench.keep(*(an_archived_image(f"a{number}", Reason.DEFECT) for number in range(3)))
    kept = bench.names()
    day = tmp_path / ".done" / "2026-01-31"
    day.mkdir(parents=True)
    for number in range(10):
        (day / f"a{number}--S{number}.png").write_bytes(b"x")

    def disk_usage(_folder: Path) -> SimpleNamespace:
        free = 2_000_000 * (10 - len(list(day.iterdir())) if day.exists() else 10)
        return SimpleNamespace(total=10**12, used=0, free=free)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    settings = ArchiveSettings(min_free_mb=8)
    full = Bench(tmp_path / "archive")
    full.archive = replace(full.archive, settings=settings, judged=Judged(tmp_path / ".done", None, None))
    full.keep()

    assert full.names() == kept
    assert 3 <= len(list(day.iterdir())) <= 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """As a full disk."""
    tmp_path.chmod(0o500)
    bench = Bench(tmp_path / "archive")
    bench.keep(an_archived_image("a1"))
    tmp_path.chmod(0o700)

    assert any(fault.active for fault in bench.said(Fault))


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    """The archive's place is not a folder: dropped, counted, no crash."""
    (tmp_path / "archive").write_text("not a folder")
    bench = Bench(tmp_path / "archive")

    bench.keep(an_archived_image("a1"))

    assert [fault.code for fault in bench.said(Fault) if fault.active] == ["archive"]


def test_a_slow_disk_costs_images_and_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judging thread hands over and goes on; what finds no room is dropped and counted."""
    gate, opened = threading.Event(), []
    write: Callable[[Path, bytes], None] = archives.write_unsynced

    def slow(path: Path, content: bytes) -> None:
        opened.append(gate.wait(PATIENCE_S))
        write(path, content)

    monkeypatch.setattr(archives, "write_unsynced", slow)
    bench = Bench(tmp_path, room=2)
    with bench.at_work():
        bench.archive.keep(an_archived_image("a0"))
        until(bench.archive.archived_images.empty, "the first image is being written")
        for number in range(1, 10):
            bench.archive.keep(an_archived_image(f"a{number}"))
        gate.set()
        until(lambda: len(bench.names()) == 3, "what had room is kept")

    assert all(opened), "keeping waited for the disk"
    assert bench.said(Archived)[-1].dropped == 7


def test_an_id_from_outside_cannot_leave_the_folder(tmp_path: Path) -> None:
    """It is part of a file name."""
    bench = Bench(tmp_path / "archive")

    bench.keep(an_archived_image("../../../evil"))

    assert [name.split("/")[0] for name in bench.names()] == ["OK"]
    assert bench.folders.find("OK", NOW, "../../../evil")


def test_a_day_of_a_fast_line_takes_no_memory_when_it_is_looked_at(tmp_path: Path) -> None:
    """Every minute all names of the day were read: the memory grew by 340 bytes a part until midnight."""
    bench = Bench(tmp_path)
    today = bench.folders.place("OK", NOW, "first", ".jpg")
    today.parent.mkdir(parents=True)
    for number in range(5000):
        today.with_name(f"{number:06}-{'x' * 32}.jpg").touch()
    tracemalloc.start()
    bench.keep()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(list(today.parent.iterdir())) == 5000
    assert peak < 500_000


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_the_oldest_come_first_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Read in parts, over days, each once, while they are removed; and days that are too young are left out."""
    monkeypatch.setattr(archives, "_BATCH", batch)
    folders = ArchiveFolders(tmp_path)
    files = [
        folders.place("OK", NOW + day * DAY + number * 1_000_000, "id", ".jpg")
        for day in range(3)
        for number in range(7)
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    assert list(folders.oldest("OK", files[-1].parent.name)) == files[:14]
    assert [file.unlink() or file for file in folders.oldest("OK")] == files
    assert list((tmp_path / "OK").iterdir()) == []
