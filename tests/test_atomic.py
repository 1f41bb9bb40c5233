"""No reader ever sees half a file or half a folder."""

import errno
import os
from pathlib import Path

import pytest

from edge_inspector.atomic import new_folder, write_file
from edge_inspector.errors import DataError


def names_in(folder: Path) -> list[str]:
    """Return all names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Whoever opens the file finds the old content or the new one, and nothing else lies about."""
    file = tmp_path / "state"
    file.write_bytes(b"old")
    with file.open("rb") as reader:
        write_file(file, b"new")

        assert reader.read() == b"old"
    assert file.read_bytes() == b"new"
    assert names_in(tmp_path) == ["state"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A full disk costs the new content, never the old."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "inside").write_bytes(b"old")

    with pytest.raises(OSError, match="directory"):
        write_file(folder, b"a file cannot replace a folder")

    assert (folder / "inside").read_bytes() == b"old"
    assert names_in(tmp_path) == ["state"]


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    """A daemon that looks while a bundle is being written sees no bundle yet."""
    out = tmp_path / "deep" / "bundle"
    with new_folder(out) as folder:
        (folder / "a").write_bytes(b"1")

        assert not out.exists()
    assert names_in(out) == ["a"]
    assert names_in(out.parent) == ["bundle"]
    assert os.stat(out).st_mode & 0o777 == 0o755  # noqa: PTH116 - the mode that others need to read it


def test_a_folder_that_fails_vanishes(tmp_path: Path) -> None:
    """A training that is interrupted leaves nothing that looks like a bundle."""

    def broken_off() -> None:
        with new_folder(tmp_path / "bundle") as folder:
            (folder / "a").write_bytes(b"1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()

    assert names_in(tmp_path) == []


def test_a_folder_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    """What was accepted stays as it was."""
    (tmp_path / "bundle").mkdir()

    with pytest.raises(DataError, match="exists already"), new_folder(tmp_path / "bundle"):
        pass


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_share_that_cannot_sync_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """CIFS and vboxsf refuse to sync a folder: good work ended with exit status 74 there."""

    def refuse(_handle: int) -> None:
        raise OSError(number, "no sync here")

    monkeypatch.setattr(os, "fsync", refuse)
    write_file(tmp_path / "state", b"new")
    with new_folder(tmp_path / "bundle") as part:
        (part / "a").write_bytes(b"a")

    assert (tmp_path / "state").read_bytes() == b"new"
    assert (tmp_path / "bundle" / "a").read_bytes() == b"a"


def test_a_disk_that_fails_to_sync_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk says is no matter of kinds of file system."""

    def fail(_handle: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="broken"):
        write_file(tmp_path / "state", b"new")
