"""What is wrong with a folder of images is said before hours go into it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from factories import a_part, a_scratch_mask, png, write_masks, write_parts

from edge_inspector.errors import DataError
from edge_inspector.lab.data.data_check import DataCheck, check_data


def check(folder: Path, group: str | None = None) -> DataCheck:
    """Check a folder silently."""
    return check_data(folder, group, lambda _words, _share: None)


def kinds(found: DataCheck) -> list[str]:
    """Return the kinds of the findings."""
    return [finding.kind for finding in found.findings]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 32 good parts, 2 good and 2 scratched test parts with masks."""
    folder = tmp_path_factory.mktemp("set")
    write_parts(folder / "train" / "good", 32)
    write_parts(folder / "test" / "good", 2, first=1000)
    write_parts(folder / "test" / "scratch", 2, scratched=True, first=2000)
    write_masks(folder / "ground_truth" / "scratch", 2, first=2000)
    return folder


@pytest.fixture
def copy(parts: Path, tmp_path: Path) -> Path:
    """Give a copy that may be spoiled."""
    return shutil.copytree(parts, tmp_path / "set")


def test_a_fit_set_has_no_finding(parts: Path) -> None:
    """With how many parts there are, how many would set the threshold, and how many test."""
    found = check(parts)

    assert found.findings == ()
    assert (found.layout, found.good, found.groups, found.calibrate, found.test) == ("train and test", 32, 32, 20, 4)
    assert check(parts / "train" / "good").layout == "good images"


def brighter(image: np.ndarray) -> bytes:
    """Return a PNG that is 60 grey values brighter."""
    return png(np.clip(image.astype(int) + 60, 0, 255).astype(np.uint8))


SPOILS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "torn": ("corrupt", lambda s: (s / "train/good/part-0003.png").write_bytes(png(a_part(3))[:-9])),
    "torn test image": ("corrupt", lambda s: (s / "test/good/part-1000.png").write_bytes(b"torn")),
    "copy": ("duplicate", lambda s: shutil.copy(s / "train/good/part-0003.png", s / "train/good/copy.png")),
    "second shot": (
        "near-duplicate",
        lambda s: (s / "train/good/shot.png").write_bytes(png(a_part(3) ^ (np.arange(160) % 40 == 0)[:, None])),
    ),
    "size": ("size", lambda s: (s / "train/good/odd.png").write_bytes(png(a_part(99)[:100]))),
    "depth": ("depth", lambda s: (s / "train/good/deep.png").write_bytes(png(a_part(99).astype(np.uint16) * 257))),
    "one bright": ("exposure", lambda s: (s / "train/good/bright.png").write_bytes(brighter(a_part(99)))),
    "half bright": (
        "exposure",
        lambda s: [(s / f"train/good/part-{n:04d}.png").write_bytes(brighter(a_part(n))) for n in range(16)],
    ),
    "leak": ("leakage", lambda s: shutil.copy(s / "train/good/part-0003.png", s / "test/good/new.png")),
    "two truths": ("contradiction", lambda s: shutil.copy(s / "test/good/part-1000.png", s / "test/scratch/a.png")),
    "mask without image": (
        "mask",
        lambda s: (s / "ground_truth/scratch/x_mask.png").write_bytes(png(np.zeros((120, 160), np.uint8))),
    ),
    "mask of another size": (
        "mask",
        lambda s: (s / "ground_truth/scratch/part-2000_mask.png").write_bytes(png(np.zeros((60, 80), np.uint8))),
    ),
    "mask all black": (
        "mask",
        lambda s: (s / "ground_truth/scratch/part-2000_mask.png").write_bytes(png(np.zeros((120, 160), np.uint8))),
    ),
    "mask inverted": (
        "mask",
        lambda s: (s / "ground_truth/scratch/part-2000_mask.png").write_bytes(png(255 - a_scratch_mask(2000))),
    ),
    "mask with alpha": (
        "mask",
        lambda s: (s / "ground_truth/scratch/part-2000_mask.png").write_bytes(
            png(np.dstack([a_scratch_mask(2000)] * 4))
        ),
    ),
    "mask of another ending without image": (
        "mask",
        lambda s: (s / "ground_truth/scratch/x.BMP").write_bytes(png(a_scratch_mask(2000))),
    ),
    "mask torn": ("mask", lambda s: (s / "ground_truth/scratch/part-2000_mask.png").write_bytes(b"torn")),
    "image without mask": ("mask", lambda s: (s / "ground_truth/scratch/part-2000_mask.png").unlink()),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_is_wrong_is_found(copy: Path, spoil: str) -> None:
    """Each fault by its kind, with the images concerned, and nothing else but what follows from it."""
    kind, change = SPOILS[spoil]
    change(copy)
    found = check(copy)
    (finding,) = (one for one in found.findings if one.kind == kind)

    assert finding.images
    assert all(str(copy) in image for image in finding.images)
    assert set(kinds(found)) <= {kind, "mask"}


def test_too_few_parts_are_counted_as_parts(tmp_path: Path) -> None:
    """Sixty images of twenty parts are twenty parts: by sub-folder, or by a pattern."""
    for part in range(20):
        write_parts(tmp_path / f"s{part}", 3, first=3 * part)

    for group in (None, r"(s\d+)/"):
        found = check(tmp_path, group)
        assert (found.good, found.groups) == (60, 20)
        assert [one.words for one in found.findings if one.kind == "too few"] == [
            "20 different good parts, at least 30 are needed"
        ]
    assert check(tmp_path, r".*").groups == 60


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["train/ok"], "found train with ok, but no train/good"),
        (["test/good"], "found test. Name the folder of the good images alone"),
        (["good", "scratch"], "found good, scratch. Name the folder"),
        ([], "no image in"),
    ],
    ids=["no train/good", "test alone", "classes", "empty"],
)
def test_another_layout_is_refused(tmp_path: Path, folders: list[str], words: str) -> None:
    """It says which layout was expected and what was found."""
    for folder in folders:
        write_parts(tmp_path / folder, 1)

    with pytest.raises(DataError, match=re.escape(words)):
        check(tmp_path)
    with pytest.raises(DataError, match="is not a folder: expected a folder of images of good parts, or train/good"):
        check(tmp_path / "typo")
