"""Judged images that were put away have an end, and go before any evidence does."""

import os
import shutil
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.line.sources.judged_images import Judged, judged_of
from edge_inspector.settings import FolderSettings

DAY_NS = 86_400_000_000_000
Disk = namedtuple("Disk", "total used free")  # noqa: PYI024 - as shutil's


def put(folder: Path, day: str, name: str, size: int = 1_000) -> Path:
    """Have an image of a day put away."""
    path = folder / day / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def always() -> bool:
    """Go on."""
    return True


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """By the time that it has lain there: the camera's clock may stand at 1970."""
    old, odd_clock = put(tmp_path, "2020-01-31", "id1--a.png"), put(tmp_path, "1970-01-01", "id2--a.png")
    judged = Judged(tmp_path, 30, None)
    judged.tidy(time.time_ns() + 29 * DAY_NS, always)
    before = [old.exists(), odd_clock.exists()]

    judged.tidy(time.time_ns() + 31 * DAY_NS, always)

    assert before == [True, True]
    assert [old.exists(), odd_clock.exists()] == [False, False]


def test_what_is_too_much_goes_oldest_first(tmp_path: Path) -> None:
    """As much as is needed, and a little more."""
    paths = [put(tmp_path, f"2026-01-{day:02}", "lot/id--a.png", 500_000) for day in range(1, 6)]

    Judged(tmp_path, None, 2).tidy(time.time_ns(), always)

    assert [path.exists() for path in paths] == [False, False, True, True, True]
    assert not (tmp_path / "2026-01-01").exists()


def test_nothing_is_touched_that_we_did_not_put_there(tmp_path: Path) -> None:
    """A `done` of one's own may hold anything."""
    theirs = [put(tmp_path, "2020-01-31", "mine.png"), put(tmp_path, "holidays", "id--b.png")]
    outside = put(tmp_path / "elsewhere", "x", "id--c.png")
    (tmp_path / "2020-02-01").symlink_to(outside.parent)

    Judged(tmp_path, 1, 1).tidy(time.time_ns() + 99 * DAY_NS, always)

    assert all(path.exists() for path in (*theirs, outside))


def test_a_full_disk_takes_judged_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until there is room, and not one more."""
    paths = [put(tmp_path / "done", f"2026-01-{day:02}", "id--a.png") for day in range(1, 6)]
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: Disk(10**12, 0, 10**9 * (1 + sum(not path.exists() for path in paths)))
    )

    Judged(tmp_path / "done", None, None).make_room(2_500, tmp_path, always)

    assert [path.exists() for path in paths] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("keys", "days", "most"),
    [
        ({}, 30, 10_000),
        ({"done_days": 3, "done_mb": 5}, 3, 5),
        ({"done": "/srv/judged"}, None, None),
        ({"done": "/srv/judged", "done_days": 3}, 3, None),
    ],
)
def test_a_place_of_one_s_own_is_kept_unless_told(keys: dict[str, Any], days: int | None, most: int | None) -> None:
    """Somebody chose it, perhaps to keep all images for ever."""
    judged = judged_of(FolderSettings(kind="folder", path=Path("/in"), **keys))

    assert judged is not None
    assert (judged.days, judged.max_mb) == (days, most)
    assert judged_of(FolderSettings(kind="folder", path=Path("/in"), after="delete")) is None


def test_it_stops_when_the_program_ends(tmp_path: Path) -> None:
    """Between two files."""
    path = put(tmp_path, "2020-01-31", "id1--a.png")

    Judged(tmp_path, 1, 1).tidy(time.time_ns() + 99 * DAY_NS, lambda: False)

    assert path.exists()
    assert os.listdir(tmp_path) == ["2020-01-31"]  # noqa: PTH208
