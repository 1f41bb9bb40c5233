"""A mask belongs to one picture, has its size, and no defect in it gets lost."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import a_part, jpeg, write_parts
from numpy.typing import NDArray

from edge_inspector.errors import DataError
from edge_inspector.inspection.placement import Placement
from edge_inspector.lab.dataset import TestPicture as KnownPicture
from edge_inspector.lab.dataset import find_tests
from edge_inspector.lab.masks import read_mask, refuse_orphans

PLACEMENT = Placement(0, 0, 160, 120, 40, 30)


def written(path: Path, mask: NDArray[np.uint8]) -> Path:
    """Write a mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), mask)
    return path


def a_mask(*points: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a black 160 x 120 mask with white pixels (x, y)."""
    mask = np.zeros((120, 160), np.uint8)
    for x, y in points:
        mask[y, x] = 255
    return mask


def test_a_mask_comes_to_the_map_s_size(tmp_path: Path) -> None:
    """Half a map pixel is enough, less is not."""
    mask = a_mask()
    mask[40:80, 42:81] = 255
    shrunk = read_mask(written(tmp_path / "a.png", mask), (120, 160, 3), PLACEMENT)
    rows, columns = np.nonzero(shrunk)

    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 19, 10, 19)


@pytest.mark.parametrize("points", [[(81, 61)], [(159, 119)], [(x, 7) for x in range(4, 92)]])
def test_a_thin_defect_does_not_vanish(tmp_path: Path, points: list[tuple[int, int]]) -> None:
    """The prior system's masks lost lines of three pixels; here a single pixel stays."""
    shrunk = read_mask(written(tmp_path / "a.png", a_mask(*points)), (120, 160), PLACEMENT)

    assert all(shrunk[y // 4, x // 4] for x, y in points)


def test_a_mask_is_cut_to_the_region_that_is_judged(tmp_path: Path) -> None:
    """What lies outside is nobody's miss."""
    mask = a_mask()
    mask[:20] = 255
    mask[60:64, 100:104] = 255
    shrunk = read_mask(written(tmp_path / "a.png", mask), (120, 160), Placement(80, 40, 40, 40, 20, 20))

    assert np.argwhere(shrunk).tolist() == [[10, 10], [10, 11], [11, 10], [11, 11]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.full((64, 64), 255, np.uint8), "expected a mask of 160x120 like its picture, got 64x64"),
        (a_mask(), "all black"),
        (a_mask() + 255, "all white"),
        (np.dstack([a_mask((1, 1))] * 3 + [a_mask((1, 1))]), "has an alpha channel"),
    ],
)
def test_a_wrong_mask_is_refused(tmp_path: Path, mask: NDArray[np.uint8], message: str) -> None:
    """Another size would be compared with another place."""
    with pytest.raises(DataError, match=message):
        read_mask(written(tmp_path / "a.png", mask), (120, 160), PLACEMENT)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    """A torn file is not an empty mask."""
    (tmp_path / "a.png").write_bytes(b"torn")

    with pytest.raises(DataError, match="got no picture"):
        read_mask(tmp_path / "a.png", (120, 160), PLACEMENT)


def test_a_mask_without_a_picture_is_named(tmp_path: Path) -> None:
    """Its picture was renamed or lost; masks of good parts say nothing and may lie there."""
    kept = written(tmp_path / "ground_truth" / "hole" / "a_mask.png", a_mask((1, 1)))
    written(tmp_path / "ground_truth" / "hole" / "b_mask.png", a_mask((1, 1)))
    written(tmp_path / "ground_truth" / "good" / "c_mask.png", a_mask())
    pictures = [KnownPicture(tmp_path / "test" / "hole" / "a.jpg", "hole", kept)]

    with pytest.raises(DataError, match=r"1 of 3 masks belong to no picture .*b_mask\.png.* expected test/hole/b "):
        refuse_orphans(tmp_path, pictures)


@pytest.mark.parametrize(
    "name",
    [
        *("a_mask.png", "a.png", "a.bmp", "A_MASK.PNG", "a_gt.tif", "a.jpg.png", "a.JPG"),
        *("a/a.png", "a/mask.png", "a/a_mask.PNG"),
    ],
)
def test_a_mask_is_found_whatever_its_tool_calls_it(tmp_path: Path, name: str) -> None:
    """Beside `x_mask.png`, which alone was seen: a mask with another ending once counted as no mask, silently."""
    write_parts(tmp_path / "test" / "good", 1)
    (tmp_path / "test" / "hole").mkdir(parents=True)
    (tmp_path / "test" / "hole" / "a.jpg").write_bytes(jpeg(a_part(1, scratched=True)))
    mask = written(tmp_path / "ground_truth" / "hole" / name, a_mask((80, 60)))
    pictures = find_tests(tmp_path)
    refuse_orphans(tmp_path, pictures)

    assert [picture.mask for picture in pictures] == [mask, None] if pictures[0].defect == "hole" else [None, mask]


def test_two_masks_of_one_picture_are_refused(tmp_path: Path) -> None:
    """Nobody knows which is meant."""
    write_parts(tmp_path / "test" / "good", 1)
    write_parts(tmp_path / "test" / "hole", 1)
    for name in ("part-0000.png", "part-0000_mask.png"):
        written(tmp_path / "ground_truth" / "hole" / name, a_mask((80, 60)))

    with pytest.raises(DataError, match=r"are both masks of part-0000\.png"):
        find_tests(tmp_path)


def test_a_mask_of_two_pictures_is_refused(tmp_path: Path) -> None:
    """Two sub-folders with equal names share no truth."""
    write_parts(tmp_path / "test" / "good", 1)
    for lot in ("a", "b"):
        write_parts(tmp_path / "test" / "hole" / lot, 1, first=7)
    written(tmp_path / "ground_truth" / "hole" / "part-0007.png", a_mask((80, 60)))

    with pytest.raises(DataError, match=r"part-0007\.png is the mask of 2 pictures"):
        refuse_orphans(tmp_path, find_tests(tmp_path))


@pytest.mark.parametrize("ending", [".bmp", ".JPG", ".tif"])
def test_a_mask_that_nothing_uses_is_named_whatever_its_ending(tmp_path: Path, ending: str) -> None:
    """Only `*.png` were looked at."""
    mask = written(tmp_path / "ground_truth" / "hole" / f"b{ending}", a_mask((1, 1)))

    with pytest.raises(DataError, match=rf"1 of 1 masks belong to no picture .*{mask.name}"):
        refuse_orphans(tmp_path, [])


def test_labels_of_one_and_masks_as_jpeg_are_understood(tmp_path: Path) -> None:
    """Labelling tools write 1; JPEG's black is not quite black."""
    mask = a_mask()
    mask[40:80, 40:80] = 255
    truths = [
        read_mask(written(tmp_path / name, values), (120, 160), PLACEMENT)
        for name, values in (("a.png", mask), ("b.png", mask // 255), ("c.jpg", mask), ("d.png", mask // 255 * 3))
    ]

    assert all(np.array_equal(truth, truths[0]) for truth in truths)


def test_a_mask_that_is_mostly_white_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Some tools draw the defect black."""
    mask = a_mask((1, 1))
    read_mask(written(tmp_path / "a.png", 255 - mask), (120, 160), PLACEMENT)

    assert "a.png is white over 100 %: white marks the defect; is it inverted?" in caplog.text
