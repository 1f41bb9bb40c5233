"""`--mask` ignores something and not all; one that does neither is refused by name."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import a_recipe
from numpy.typing import NDArray

from edge_inspector.errors import UsageError
from edge_inspector.inspection.recipe import Region
from edge_inspector.lab.draft import read_ignore

HALF = np.zeros((120, 160), np.uint8)
HALF[:60] = 255


def written(path: Path, mask: NDArray[np.generic]) -> Path:
    """Write a mask."""
    cv2.imwrite(str(path), mask)
    return path


@pytest.mark.parametrize(
    "mask",
    [HALF, HALF // 255, HALF.astype(np.uint16) * 257, np.dstack([HALF] * 3), np.dstack([HALF] * 3 + [HALF | 255])],
    ids=["0 and 255", "0 and 1", "16 bits", "colour", "alpha, all opaque"],
)
def test_white_is_ignored_however_it_is_written(tmp_path: Path, mask: NDArray[np.generic]) -> None:
    """A mask of 0 and 1 once ignored nothing, without a word."""
    ignore = read_ignore(written(tmp_path / "mask.png", mask), a_recipe())

    assert ignore[:32].all()
    assert not ignore[32:].any()


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (HALF * 0, r"mask\.png ignores nothing of what is inspected"),
        (HALF | 255, r"mask\.png ignores everything of what is inspected"),
        (HALF // 255 * 3, r"mask\.png: its brightest value is 3"),
        (np.dstack([HALF | 255] * 3 + [HALF]), r"mask\.png has an alpha channel"),
    ],
    ids=["black", "white", "labels", "alpha"],
)
def test_a_mask_without_a_meaning_is_refused(tmp_path: Path, mask: NDArray[np.generic], words: str) -> None:
    """With its name, before the training."""
    with pytest.raises(UsageError, match=words):
        read_ignore(written(tmp_path / "mask.png", mask), a_recipe())


def test_what_is_white_beside_the_region_ignores_nothing(tmp_path: Path) -> None:
    """The mask is drawn on the camera's image, the region is what counts."""
    recipe = a_recipe(region=Region(x=0, y=70, width=64, height=50))

    with pytest.raises(UsageError, match="ignores nothing"):
        read_ignore(written(tmp_path / "mask.png", HALF), recipe)


def test_a_mask_that_ignores_most_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It may be inverted; it may also be meant."""
    mask = 255 - HALF
    mask[30:] = 255
    read_ignore(written(tmp_path / "mask.png", mask), a_recipe())

    assert "ignores 75 % of what is inspected: white is ignored; is it inverted?" in caplog.text
