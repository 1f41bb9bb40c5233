"""What lies in a watched folder: nothing in it is passed over in silence, and nothing odd stops what lies beside."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.line.sources.listing import Listing, in_words
from edge_inspector.settings import FolderSettings

SECOND = 1_000_000_000


class Looking:
    """A listing of a folder, and its clock."""

    def __init__(self, folder: Path, **keys: Any) -> None:  # noqa: ANN401 - a test factory
        self.now_ns = 0
        self.folder = folder
        settings = FolderSettings(kind="folder", path=folder, **keys)
        self.listing = Listing(settings, settings.done or folder / ".done", lambda: self.now_ns)

    def put(self, name: str, content: bytes = b"x") -> None:
        """Have a file there."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)

    def names(self) -> list[str]:
        """Return the images that may be taken."""
        return [found.name for found in self.listing.images()]

    def told(self, after_s: int = 2) -> str:
        """Return what is told of what has stayed so long."""
        self.names()
        self.listing.passed_over()
        self.now_ns += after_s * SECOND
        self.names()
        return in_words(self.listing.passed_over())


@pytest.mark.parametrize(
    ("keys", "name", "content", "said"),
    [
        ({}, "2026-01-31/a.jpg", b"x", "2026-01-31/a.jpg: lies in a sub-folder, and `subfolders` names none"),
        ({"subfolders": ("part",)}, "nut/lot7/a.jpg", b"x", "nut/lot7/a.jpg: lies too deep: `subfolders` names 1"),
        ({}, "noending", b"\xff\xd8\xff\xe0", "noending: an image by its content"),
        ({}, "a.heic", b"\0\0\0\x18ftypheic", "a.heic: an image by its content"),
        ({}, "a.dat", b"RIFF\0\0\0\0WEBP", "a.dat: an image by its content"),
    ],
)
def test_an_image_that_nobody_takes_is_named(
    tmp_path: Path, keys: dict[str, Any], name: str, content: bytes, said: str
) -> None:
    """A camera that makes a folder a day, or writes another ending, must not be met with silence."""
    looking = Looking(tmp_path, **keys)
    looking.put(name, content)

    assert looking.names() == []
    assert looking.told().startswith(said)


def no_rights(path: Path) -> None:
    """Make a folder in which nothing can be looked at, root's too: its name leads nowhere."""
    path.symlink_to(path.name)


def a_socket(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.symlink_to(path.parent.parent), "a linked folder"),
        (no_rights, "Too many levels of symbolic links"),
        (a_socket, "a socket"),
        (os.mkfifo, "a pipe"),
    ],
    ids=["linked-folder", "loop", "socket", "pipe"],
)
def test_what_is_odd_is_named_and_stops_nothing(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    """Images beside it are taken all the same."""
    (tmp_path / "in").mkdir()
    looking = Looking(tmp_path / "in", subfolders=("part",))
    make(looking.folder / "odd")
    looking.put("nut/a.jpg")

    assert looking.names() == ["nut/a.jpg"]
    assert looking.told().startswith(f"odd: {why}")


@pytest.mark.parametrize("subfolders", [(), ("part",)])
def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subfolders: tuple[str, ...]
) -> None:
    """The inbox is a disk of its own, and has a lost+found."""
    looking, look = Looking(tmp_path, subfolders=subfolders), os.scandir
    (tmp_path / "lost+found").mkdir()
    looking.put("nut/a.jpg" if subfolders else "a.jpg")

    def scandir(path: Path) -> object:
        if "lost" in str(path):
            raise PermissionError(13, "Permission denied")
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)

    assert len(looking.names()) == 1
    assert looking.told() == "lost+found: Permission denied"


@pytest.mark.parametrize(
    "name", ["a.tmp", "tmp_1.jpg", "TMP_1.JPG", "1.jpg.part", "1.jpg.filepart", ".1.jpg", "Thumbs.db", "notes.txt"]
)
def test_what_senders_are_still_writing_is_left_alone(tmp_path: Path, name: str) -> None:
    """It is renamed when it is complete; logs beside the images are nobody's business."""
    looking = Looking(tmp_path)
    looking.put(name)

    assert looking.names() == []
    assert looking.told() == ""


def test_an_image_that_keeps_its_temporary_name_is_named(tmp_path: Path) -> None:
    """The sender died before it renamed it; or the camera calls all its images so, and nobody would take any."""
    looking = Looking(tmp_path)
    looking.put("tmp_1.jpg")

    assert looking.told(after_s=20) == ""
    assert "tmp_1.jpg: still has a temporary name" in looking.told(after_s=60)


def test_what_the_settings_leave_alone_is_left_alone_for_ever(tmp_path: Path) -> None:
    """Somebody said so: a camera's thumbnails, a folder of old images."""
    looking = Looking(tmp_path, ignore=("*_thumb.jpg", "old"))
    looking.put("1_THUMB.jpg")
    looking.put("old/a.jpg")
    looking.put("tmp_1.jpg")

    assert looking.names() == ["tmp_1.jpg"]
    assert looking.told(after_s=1000) == ""


def test_judged_images_in_the_folder_are_not_looked_at(tmp_path: Path) -> None:
    """`done` may be a folder without a dot inside the watched one."""
    looking = Looking(tmp_path, done=tmp_path / "judged", subfolders=("part",))
    looking.put("judged/2026-01-31/id--a.jpg")
    looking.put("judged/b.jpg")

    assert looking.names() == []
    assert looking.told() == ""


def test_the_alarm_ends_with_what_it_names(tmp_path: Path) -> None:
    """Somebody moved the image where it belongs."""
    looking = Looking(tmp_path)
    looking.put("day/a.jpg")
    assert looking.told()

    (tmp_path / "day" / "a.jpg").rename(tmp_path / "a.jpg")

    assert looking.told() == ""


def test_many_odd_things_are_counted(tmp_path: Path) -> None:
    """Three are named: the first of a thousand tells as much as all."""
    looking = Looking(tmp_path)
    for number in range(10):
        looking.put(f"day/{number}.jpg")

    assert looking.told().endswith("and 7 more")
