"""A folder of images is looked through once, and what in it is passed over is counted and named."""

import os
from pathlib import Path

import pytest
from factories import a_part, png, write_parts

from edge_inspector.errors import DataError
from edge_inspector.lab.data.data_check import check_data
from edge_inspector.lab.data.dataset import find_good, find_images, find_tests
from edge_inspector.lab.data.folders import list_images
from edge_inspector.lab.data.sets import find_sets

LITTER = (
    *(".Trash-1000/files/a.png", "$RECYCLE.BIN/S-1-5/a.png", "@eaDir/part-0000.png/SYNOFILE_THUMB_M.png"),
    *("#recycle/a.png", ".done/2026-01-31/a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "._part-0000.png"),
)


def put(path: Path) -> None:
    """Write an image that must not be found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(a_part(99, scratched=True)))


def test_bins_thumbnails_and_hidden_files_are_passed_over_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A defective part in a bin was once trained on as a good one, and a Mac's `._x.png` ended the training."""
    write_parts(tmp_path, 3)
    for name in LITTER:
        put(tmp_path / name)
        put(tmp_path / "lot" / name)
    found = find_good(tmp_path, None)

    assert [image.path.name for image in found] == ["part-0000.png", "part-0001.png", "part-0002.png"]
    assert "passed over: 2 files in #recycle, 2 files in $RECYCLE.BIN" in caplog.text
    assert "2 files in @eaDir" in caplog.text
    assert "2 hidden files (for instance ._part-0000.png)" in caplog.text


def test_a_format_that_is_not_read_is_named(tmp_path: Path) -> None:
    """An iPhone's HEIC is an image to whoever put it there."""
    write_parts(tmp_path, 1)
    (tmp_path / "IMG_1.HEIC").write_bytes(b"x")
    (tmp_path / "a.gif").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"x")

    assert list_images(tmp_path).passed_over == (
        "2 images of a format that is not read: convert to PNG (for instance IMG_1.HEIC)",
    )
    (tmp_path / "part-0000.png").unlink()
    with pytest.raises(DataError, match=r"no image in .*passed over: 2 images of a format that is not read"):
        find_images(tmp_path)


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    """Lots as links are found, a loop ends, and no image is there twice."""
    write_parts(tmp_path / "elsewhere", 2)
    folder = write_parts(tmp_path / "good", 1, first=5)
    (folder / "lot1").symlink_to(tmp_path / "elsewhere")
    (folder / "lot2").symlink_to(tmp_path / "elsewhere")
    (folder / "a loop").symlink_to(folder)
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "itself").symlink_to(folder / "itself")
    listing = list_images(folder)

    assert [path.relative_to(folder).as_posix() for path in listing.images] == [
        "lot1/part-0000.png", "lot1/part-0001.png", "part-0005.png",
    ]  # fmt: skip
    assert listing.passed_over[0].startswith("5 links or special files: to nowhere, or to what was looked at already")


def test_what_is_named_like_an_image_and_is_none_is_counted(tmp_path: Path) -> None:
    """A pipe would be waited for without an end."""
    write_parts(tmp_path, 1)
    os.mkfifo(tmp_path / "pipe.png")

    assert list_images(tmp_path).passed_over == (
        "1 link or special file: to nowhere, or to what was looked at already (for instance pipe.png)",
    )


def test_a_folder_that_is_there_comes_before_a_link_to_it(tmp_path: Path) -> None:
    """Groups are named after real folders."""
    write_parts(tmp_path / "z", 1)
    (tmp_path / "a").symlink_to(tmp_path / "z")

    assert [path.parent.name for path in list_images(tmp_path).images] == ["z"]


def test_names_that_are_no_utf_8_are_refused_before_the_work(tmp_path: Path) -> None:
    """The card could not say them: training once ended with a traceback after hours."""
    write_parts(tmp_path, 2)
    os.rename(tmp_path / "part-0000.png", os.fsencode(tmp_path) + b"/teil_\xe4.png")  # noqa: PTH104

    with pytest.raises(DataError, match=r"1 of 2 images have names that are not UTF-8 .*teil_.\.png.*convmv"):
        find_images(tmp_path)


def test_an_empty_class_is_passed_over_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody made the folder beforehand; litter beside the classes is none."""
    write_parts(tmp_path / "test" / "good", 2)
    write_parts(tmp_path / "test" / "scratch", 2, scratched=True, first=10)
    (tmp_path / "test" / "dent").mkdir()
    put(tmp_path / "test" / "@eaDir" / "a.png")

    assert {image.defect for image in find_tests(tmp_path)} == {"good", "scratch"}
    assert "dent: passed over: no image in it" in caplog.text


def test_litter_is_no_layout(tmp_path: Path) -> None:
    """A bin beside `good` once made a folder of good images one of an unknown layout."""
    write_parts(tmp_path / "set" / "train" / "good", 31)
    write_parts(tmp_path / "set" / "test" / "good", 1, first=100)
    put(tmp_path / "set" / "train" / "@eaDir" / "a.png")
    put(tmp_path / ".Trash-0" / "train" / "good" / "a.png")
    put(tmp_path / ".Trash-0" / "test" / "good" / "a.png")
    found = check_data(tmp_path / "set", None, lambda _words, _share: None)

    assert (found.good, found.test, found.findings) == (31, 1, ())
    assert found.passed_over == ("1 file in @eaDir",)
    assert [path.name for path in find_sets(tmp_path)] == ["set"]
