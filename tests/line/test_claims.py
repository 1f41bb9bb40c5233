"""A claim outlives a power cut before its answer does."""

import errno
import os
from pathlib import Path

import pytest

from edge_inspector.line import claims
from edge_inspector.line.claims import CLAIMED, DONE, Claims


def an_inbox(folder: Path, name: str) -> Claims:
    """Return an inbox in which a picture lies."""
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
    """Before the picture is handed on: with another disk for the ledger nothing else makes it so."""
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
    """The picture is claimed; it is found when the folder is opened again."""

    def fail(_folder: Path) -> None:
        raise OSError(errno.EIO, "broken")

    found = an_inbox(tmp_path, "a.png")
    monkeypatch.setattr(claims, "sync_folder", fail)
    with pytest.raises(OSError, match="broken"):
        found.take("a.png", "id1")

    assert [claimed.arrival_id for claimed in found.left_over()] == ["id1"]
