"""A claim outlives a power cut before its answer does."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from edge_inspector.line.sources import claims
from edge_inspector.line.sources.claims import CLAIMED, DONE, Claims, read_sidecar


def an_inbox(folder: Path, name: str) -> Claims:
    """Return an inbox in which an image lies."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"picture")
    found = Claims(folder, folder / DONE, "move")
    found.make_folder()
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", {CLAIMED, "."}),
        ("lot/tray/a.png", {CLAIMED, ".", "lot", "lot/tray", f"{CLAIMED}/lot", f"{CLAIMED}/lot/tray"}),
    ],
)
def test_both_ends_of_the_rename_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: set[str]
) -> None:
    """Before the image is handed on: with another disk for the ledger nothing else makes it so."""
    synced: list[tuple[str, bool]] = []

    def note(folder: Path) -> None:
        synced.append((str(folder.relative_to(tmp_path)), (tmp_path / name).exists()))

    monkeypatch.setattr(claims, "sync_folder", note)
    claimed = an_inbox(tmp_path, name).take(name, "id1")

    assert claimed.path.exists()
    assert {folder for folder, _ in synced} == expected
    assert not any(still_there for _, still_there in synced)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_share_that_cannot_sync_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Its server decides; parts are judged all the same."""

    def refuse(_handle: int) -> None:
        raise OSError(number, "no sync here")

    monkeypatch.setattr(os, "fsync", refuse)

    assert an_inbox(tmp_path, "a.png").take("a.png", "id1").path.exists()


def test_a_disk_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is claimed; it is found when the folder is opened again."""

    def fail(_folder: Path) -> None:
        raise OSError(errno.EIO, "broken")

    found = an_inbox(tmp_path, "a.png")
    monkeypatch.setattr(claims, "sync_folder", fail)
    with pytest.raises(OSError, match="broken"):
        found.take("a.png", "id1")

    assert [claimed.arrival_id for claimed in found.left_over()] == ["id1"]


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Give a folder on another file system."""
    with TemporaryDirectory(dir="/dev/shm", prefix="edge-inspector-") as name:
        yield Path(name)


def test_done_may_lie_on_another_file_system(tmp_path: Path, elsewhere: Path) -> None:
    """What is judged is copied there and then removed; what is not a file stays on its own."""
    if elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    found = Claims(tmp_path, elsewhere, "move")
    found.make_folder()
    (tmp_path / "a.png").write_bytes(b"picture")
    (tmp_path / "b.png").symlink_to("nowhere")
    found.take("a.png", "id1")
    found.take("b.png", "id2")

    found.put_away("id1")
    found.put_away("id2")

    assert [path.read_bytes() for path in elsewhere.rglob("id1--a.png")] == [b"picture"]
    assert [path.is_symlink() for path in (tmp_path / DONE).rglob("id2--*")] == [True]
    assert list((tmp_path / CLAIMED).iterdir()) == []
    assert not list(elsewhere.rglob("*.part"))


def test_a_copy_that_fails_leaves_the_image_claimed(tmp_path: Path, elsewhere: Path) -> None:
    """It is said, and tried again; nothing is lost and nothing half is left there."""
    found = an_inbox(tmp_path, "a.png")
    found = Claims(tmp_path, elsewhere / "file", "move")
    (elsewhere / "file").write_bytes(b"no folder")
    found.take("a.png", "id1")
    with pytest.raises(NotADirectoryError):
        found.put_away("id1")

    assert [claimed.arrival_id for claimed in found.left_over()] == ["id1"]


@pytest.mark.parametrize("seconds", [2**33, -(2**33), 253_402_300_800, 2**55, 0])
def test_any_time_of_a_file_can_be_put_away(tmp_path: Path, seconds: int) -> None:
    """A year that no calendar has ended the program, at each start again."""
    found = an_inbox(tmp_path, "a.png")
    os.utime(tmp_path / "a.png", (seconds, seconds))
    found.take("a.png", "id1")

    found.put_away("id1")

    assert len(list((tmp_path / DONE).rglob("id1--a.png"))) == 1


def test_a_name_cut_off_at_a_dot_is_found_again(tmp_path: Path) -> None:
    """With the arrival before it a long name is cut; the rest may look hidden, and is an image all the same."""
    arrival = "0" * 32
    for length in range(215, 226):
        name = "x" * (250 - length) + "." * 1 + "y" * (length - 1) + ".png"
        found = an_inbox(tmp_path, name)
        found.take(name, arrival)
        taken = list(found.left_over())
        found.put_away(arrival)

        assert [one.arrival_id for one in taken] == [arrival], length


@pytest.mark.parametrize("ending", [".json", ".JSON", ".Json"])
def test_the_case_of_a_sidecar_s_ending_does_not_matter(tmp_path: Path, ending: str) -> None:
    """Windows cameras write IMG.JSON; it was never seen, and stayed in the inbox."""
    found = an_inbox(tmp_path, "IMG.JPG")
    (tmp_path / f"IMG{ending}").write_bytes(b"{}")

    claimed = found.take("IMG.JPG", "id1")

    assert read_sidecar(claimed.path) == b"{}"
    assert sorted(path.name for path in tmp_path.iterdir()) == [CLAIMED]
