"""Images to train from, taken by the camera that will judge."""

import json
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import cv2
import pytest
from brokers import PATIENCE_S
from factories import a_part, png

from edge_inspector.lab.data.dataset import find_good
from edge_inspector.line.collect.collect import Waiting, collect, for_collecting
from edge_inspector.line.collect.image_collection import ImageCollection, Taken
from edge_inspector.line.environment import Environment
from edge_inspector.line.ledger.ledger import open_ledger
from edge_inspector.line.sources.opening import open_source
from edge_inspector.line.sources.source import Source
from edge_inspector.settings import CaptureSettings, FolderSettings, SourceSettings

NUMBERS = count()


def a_source(settings: SourceSettings, folder: Path) -> Source:
    """Return a source as `collect` opens it."""
    environment = Environment(time.time_ns, time.monotonic_ns, lambda: f"id{next(NUMBERS)}", Random(1))  # noqa: S311 - jitter
    return open_source(
        for_collecting(settings),
        "st1",
        lambda: "washer",
        environment=environment,
        open_ledger=lambda: open_ledger(folder / "ledger.db", lambda: "ledger-1", time.time_ns),
        wait=time.sleep,
    )


def gather(settings: SourceSettings, folder: Path, number: int, **keys: Any) -> tuple[list[Taken], list[str]]:  # noqa: ANN401
    """Collect into `folder`/good with patience; return what was taken, and what was said meanwhile."""
    end = time.monotonic() + PATIENCE_S
    source = a_source(settings, folder)
    found = list(
        collect(source, ImageCollection(folder / "good", **keys), number, stopping=lambda: time.monotonic() > end)
    )
    taken = [one for one in found if isinstance(one, Taken)]
    return taken, [one.detail for one in found if isinstance(one, Waiting) and one.detail]


def an_inbox(folder: Path, **images: bytes) -> Path:
    """Return a watched folder with images."""
    inbox = folder / "inbox"
    for name, content in images.items():
        path = inbox / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.png").write_bytes(content)
    return inbox


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Write a film of a second."""
    path = tmp_path / "camera.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    for number in range(25):
        writer.write(a_part(number))
    writer.release()
    return path


def test_a_camera_s_images_are_kept_as_they_are(video: Path, tmp_path: Path) -> None:
    """PNG, never JPEG; named by the serial that was given, and `train` finds as many parts as images."""
    settings = CaptureSettings(kind="capture", device=str(video), interval_ms=50, trigger="mqtt")
    taken, _ = gather(settings, tmp_path, 5, serial="fixture7")

    assert [one.path.name for one in taken] == [f"fixture7-{number:04}.png" for number in range(1, 6)]
    assert all(cv2.imread(str(one.path)).shape == (120, 160, 3) for one in taken)
    assert len(find_good(tmp_path / "good", None)) == 5


def test_a_folder_keeps_its_images(tmp_path: Path) -> None:
    """They are parts too, and will be answered when the daemon runs; names and groups go with them."""
    images = {f"lot{number % 2}__S{number}": png(a_part(number)) for number in range(4)}
    inbox = an_inbox(tmp_path, **images, lot0__bad=b"")
    keys = {"settle_ms": 0, "closed_ms": 0, "unfinished_ms": 0, "scan_ms": 50}
    settings = FolderSettings(kind="folder", path=inbox, subfolders=("group",), **keys)
    taken, said = gather(settings, tmp_path, 4)
    groups = {image.path.name: image.group for image in find_good(tmp_path / "good", None)}

    assert {str(one.path.relative_to(tmp_path / "good")) for one in taken} == {
        "lot0/S0.png",
        "lot1/S1.png",
        "lot0/S2.png",
        "lot1/S3.png",
    }
    assert groups["S0.png"] == groups["S2.png"] != groups["S1.png"]
    assert len(list(inbox.rglob("*.png"))) == 5
    assert any("the image file is empty" in words for words in said)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A second run adds to the first."""
    inbox = an_inbox(tmp_path, S1=png(a_part(1)))
    settings = FolderSettings(kind="folder", path=inbox, settle_ms=0, scan_ms=50)
    first, _ = gather(settings, tmp_path, 1)
    again, _ = gather(settings, tmp_path, 1, group="monday")
    third, _ = gather(settings, tmp_path, 1)

    names = [str(one.path.relative_to(tmp_path / "good")) for one in (*first, *again, *third)]
    assert names == ["S1.png", "monday/S1.png", "S1-0001.png"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--count", "3", "--serial", "f7"), 0, "3/3 f7-0003.png: sharpness"),
        (("--count", "2", "--station", "st9"), 64, "expected one of st1"),
        (("--count", "0"), 64, "--count"),
        (("--count", "999", "--seconds", "1.5"), 1, "1/999"),
        (("--count", "1", "--serial", "../x"), 65, "cannot name a file"),
    ],
)
def test_the_command(video: Path, tmp_path: Path, words: tuple[str, ...], status: int, said: str) -> None:
    """Its exit status says whether all images came."""
    config = tmp_path / "settings.toml"
    config.write_text(
        'state_dir = "state"\n[[station]]\nname = "st1"\n[station.source]\nkind = "capture"\n'
        f'device = "{video.name}"\ninterval_ms = 40\n[[station.part]]\nname = "washer"\nbundle = "b"\n'
    )
    command = [sys.executable, "-m", "edge_inspector.cli", "collect", "good", "--config", str(config), "--json", *words]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=PATIENCE_S)

    assert found.returncode == status
    assert said in found.stderr
    assert "Traceback" not in found.stderr
    if status in (0, 1):
        assert [(tmp_path / one["path"]).exists() for one in json.loads(found.stdout)].count(False) == 0
