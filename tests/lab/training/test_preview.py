"""What the detector will see, before and after it is trained."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import a_bracket, png, write_brackets

from edge_inspector.bundle import Bundle

Run = Callable[..., tuple[int, str, str]]
LOOK = ("--roi", "56,46,88,68", "--align", "rotate", "--size", "88x68")


@pytest.fixture
def brackets(tmp_path: Path) -> Path:
    """Give an unmoved bracket and three that are moved."""
    folder = write_brackets(tmp_path / "good", 3, first=5)
    (folder / "a.png").write_bytes(png(a_bracket(0)))
    return folder


def test_moved_parts_are_drawn_as_if_they_lay_still(brackets: Path, tmp_path: Path, run: Run) -> None:
    """Each is drawn twice, and shift, turn and correlation are said; regions and mask lie on the part."""
    mask = np.zeros((160, 200), np.uint8)
    mask[84:108, 110:138] = 255
    (tmp_path / "mask.png").write_bytes(png(mask))
    more = ("--region", "60,50,30,30,12", "--mask", tmp_path / "mask.png")
    status, out, _ = run("recipe", "preview", brackets, "--out", tmp_path / "look", *LOOK, *more)
    seen = [cv2.imread(str(path)).astype(float) for path in sorted((tmp_path / "look").glob("*-seen.png"))]

    assert status == 0
    assert len(out.splitlines()) == 5
    assert "a.png: shifted by +0.0 px right" in out
    assert "4 of 4 images can be judged" in out
    assert len(list((tmp_path / "look").glob("*-camera.png"))) == 4
    assert all(np.abs(one - seen[0]).mean() < 8 for one in seen)
    assert all(
        one[45:60, 60:80].mean(axis=(0, 1)) == pytest.approx(seen[0][45:60, 60:80].mean((0, 1)), abs=8) for one in seen
    )
    assert seen[0][50, 70, 1] < seen[0][50, 70, 0] - 20  # the mask's colour


def test_what_cannot_be_aligned_is_named(brackets: Path, tmp_path: Path, run: Run) -> None:
    """With its reason, and the exit status says that something is amiss."""
    (brackets / "flat.png").write_bytes(png(np.full((160, 200, 3), 9, np.uint8)))
    (brackets / "out-of-view.png").write_bytes(png(a_bracket(1, shift=(70, 0))))
    status, out, _ = run("recipe", "preview", brackets, "--out", tmp_path / "look", *LOOK, "--json")
    found = {Path(one["picture"]).stem: one for one in json.loads(out)}

    assert status == 1
    assert "the image is flat" in found["flat"]["refusal"]
    assert "too near the image's edge" in found["out-of-view"]["refusal"]
    assert not (tmp_path / "look" / "flat-seen.png").exists()
    assert found["a"]["found"]
    assert abs(found["a"]["turn"]) < 0.1


def test_a_bundle_shows_what_it_sees(bundle: Bundle, good_parts: Path, tmp_path: Path, run: Run) -> None:
    """A bundle that aligns nothing says so."""
    words = "recipe", "preview", good_parts, "--out", tmp_path / "look", "--bundle", bundle.path, "--count", 2
    status, out, _ = run(*words)

    assert status == 0
    assert out.count("not aligned: seen where the camera shows it") == 2
    assert cv2.imread(str(next((tmp_path / "look").glob("*-seen.png")))).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("--align", "twist"), 64, "expected none, translate, rotate, template"),
        (("--align", "rotate"), 64, "needs --roi"),
        (("--roi", "0,0,900,10"), 64, "--roi is outside the images"),
        (("--region", "1,2,3"), 64, "--region 1,2,3: expected x,y,width,height"),
        (("--region", "1,2,30,40,-1"), 64, "expected x,y,width,height or x,y,width,height,min_area"),
        (("--region", "1,2,30,40,many"), 64, "expected x,y,width,height or x,y,width,height,min_area"),
        (("--region", "1,2,300,40"), 64, "outside the inspected 200x160"),
        (("--template", "1,2,3,4"), 64, "give --align as well"),
        (("--mask", "/no mask.png"), 64, "got no image"),
        (("--bundle", "/no bundle", "--region", "1,2,3,4"), 64, "leave the other options out"),
        (("--bundle", "/no bundle"), 65, "is not a bundle"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    brackets: Path, tmp_path: Path, run: Run, options: tuple[str, ...], status: int, words: str
) -> None:
    """What was said, and what was expected."""
    found, _, complaint = run("recipe", "preview", brackets, "--out", tmp_path / "look", *options)

    assert found == status
    assert words in complaint


def test_images_that_do_not_fit_are_refused(brackets: Path, tmp_path: Path, run: Run) -> None:
    """No file, two of one name, a reference that is smaller than the images, images of several sizes."""
    small = tmp_path / "small.png"
    small.write_bytes(png(cv2.resize(a_bracket(0), (100, 80))))
    twice = (brackets / "a.png", brackets / "a.png")
    for words, expected in (
        ((tmp_path / "none.png",), "none.png: no such file"),
        (twice, "two images are called a"),
        ((brackets, *LOOK, "--reference", small), "it has 100x80 pixels, the others have 200x160"),
        ((brackets / "a.png", small, *LOOK), "several sizes (100x80, 200x160)"),
    ):
        status, _, complaint = run("recipe", "preview", *words, "--out", tmp_path / "look")

        assert status in (64, 65)
        assert expected in complaint
