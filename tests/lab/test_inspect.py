"""Pictures judged by hand give what the broker would get, and show what they were judged by."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import a_part, png, write_parts

from edge_inspector.bundle import Bundle, open_inspector
from edge_inspector.errors import DataError
from edge_inspector.inspection.inspector import Inspector
from edge_inspector.lab.inspect import files_of, inspect_files


@pytest.fixture(scope="module")
def inspector(bundle: Bundle) -> Inspector:
    """Give the taught bundle's inspector."""
    return open_inspector(bundle, threads=1, clock_ns=lambda: 0)


def test_every_file_has_one_result(bundle: Bundle, inspector: Inspector, tmp_path: Path) -> None:
    """In order, with ids of their own also for equal files, and a torn one is INVALID."""
    folder = write_parts(tmp_path, 2, first=900)
    (folder / "copy.png").write_bytes((folder / "part-0900.png").read_bytes())
    (folder / "torn.png").write_bytes(png(a_part(0))[:-5])
    files = [folder / name for name in ("part-0900.png", "copy.png", "torn.png", "part-0901.png")]
    results = list(inspect_files(bundle, inspector, files, None, lambda: 10**18))

    assert [result.seq for result in results] == [1, 2, 3, 4]
    assert [result.verdict for result in results[:2]] == [results[0].verdict] * 2
    assert results[2].verdict == "INVALID"
    assert len({result.id for result in results}) == 4
    assert all(result.bundle is not None and result.bundle.id == bundle.id for result in results)


def test_what_a_verdict_was_made_from_is_saved(bundle: Bundle, inspector: Inspector, tmp_path: Path) -> None:
    """Boxes and overlay in the camera's size; map, mask and reconstruction in the detector's."""
    (tmp_path / "part.png").write_bytes(png(a_part(950, scratched=True)))
    list(inspect_files(bundle, inspector, [tmp_path / "part.png"], tmp_path / "out", lambda: 0))
    shapes = {path.stem: cv2.imread(str(path)).shape[:2] for path in (tmp_path / "out" / "part").glob("*.png")}
    amap = np.load(tmp_path / "out" / "part" / "map.npy")

    assert shapes == {
        "boxes": (120, 160), "overlay": (120, 160), "heat": (64, 64),
        "picture": (64, 64), "mask": (64, 64), "reconstruction": (64, 64),
    }  # fmt: skip
    assert amap.dtype == np.float32
    assert amap.max() >= bundle.recipe.decision.threshold


def test_a_file_that_does_not_exist_is_named(bundle: Bundle, inspector: Inspector, tmp_path: Path) -> None:
    """A typing error is not a bad part."""
    with pytest.raises(DataError, match=r"typo\.png: no such file"):
        list(inspect_files(bundle, inspector, [tmp_path / "typo.png"], None, lambda: 0))


def test_two_images_of_one_name_are_both_saved(bundle: Bundle, inspector: Inspector, tmp_path: Path) -> None:
    """The second once overwrote what the first one showed."""
    for folder in ("s1", "s2"):
        write_parts(tmp_path / folder, 1, first=7)
    files = [tmp_path / "s1" / "part-0007.png", tmp_path / "s2" / "part-0007.png"]
    (tmp_path / "s1" / "part-0007.bmp").write_bytes(files[0].read_bytes())
    files.append(tmp_path / "s1" / "part-0007.bmp")
    list(inspect_files(bundle, inspector, files, tmp_path / "out", lambda: 0))

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "s1-part-0007.bmp", "s1-part-0007.png", "s2-part-0007.png",
    ]  # fmt: skip


def test_a_name_that_is_no_utf_8_is_judged(bundle: Bundle, inspector: Inspector, tmp_path: Path) -> None:
    """It once was a traceback; what is saved has a name that can be written."""
    file = tmp_path / "teil_\udce4.png"
    file.write_bytes(png(a_part(3)))
    results = list(inspect_files(bundle, inspector, [file], tmp_path / "out", lambda: 0))

    assert results[0].model_dump_json()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["teil_\ufffd.png".removesuffix(".png")]
    assert (tmp_path / "out" / "teil_\ufffd" / "boxes.png").is_file()


def test_a_folder_stands_for_its_images(tmp_path: Path) -> None:
    """Without bins and hidden files, as everywhere."""
    write_parts(tmp_path / "lot", 2)
    write_parts(tmp_path / "lot" / "@eaDir", 1)

    assert [file.name for file in files_of([tmp_path / "x.png", tmp_path / "lot"])] == [
        "x.png", "part-0000.png", "part-0001.png",
    ]  # fmt: skip
