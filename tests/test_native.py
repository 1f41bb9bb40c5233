"""Names that are not UTF-8 never reach OpenVINO or OpenCV, which end the process at them."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import a_part, png

import edge_inspector
from edge_inspector.bundle import NETWORK, Bundle
from edge_inspector.engines.openvino import GraphCache
from edge_inspector.errors import DataError
from edge_inspector.native import native_path

ODD = os.fsdecode(b"teil-\xe4")
"""As Windows wrote it in 1998."""
PACKAGE = Path(edge_inspector.__file__).parent


def test_a_path_in_utf_8_stays_as_it_is() -> None:
    """Any language."""
    assert native_path(Path("/b/Gehäuse/座金")) == "/b/Gehäuse/座金"


def test_a_path_that_is_no_utf_8_is_refused_by_name() -> None:
    """The name is shown in letters that any terminal takes."""
    with pytest.raises(DataError, match=r"/b/teil-\\xe4: expected a path in UTF-8"):
        native_path(Path("/b") / ODD)


@pytest.mark.parametrize("command", ["inspect", "evaluate", "card", "calibrate", "bench"])
def test_a_bundle_at_such_a_path_is_refused(
    bundle: Bundle, tmp_path: Path, run: Callable[..., tuple[int, str, str]], command: str
) -> None:
    """By every command that opens one, with the status of bad data."""
    odd = Path(shutil.copytree(bundle.path, tmp_path / ODD))
    image = tmp_path / "picture.png"
    image.write_bytes(png(a_part(0)))
    words: dict[str, tuple[str | Path, ...]] = {
        "inspect": (image,),
        "evaluate": (tmp_path,),
        "calibrate": ("--ok", tmp_path, "--out", tmp_path / "new"),
    }
    status, _, told = run(command, odd, *words.get(command, ()))

    assert status == 65
    assert r"teil-\xe4: expected a path in UTF-8" in told


@pytest.mark.parametrize("command", ["train", "calibrate"])
def test_such_a_place_for_a_bundle_is_refused_before_the_work(
    bundle: Bundle, good_parts: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]], command: str
) -> None:
    """Not after hours of training."""
    words = {"train": (good_parts, "--part", "washer"), "calibrate": (bundle.path, "--ok", good_parts)}
    status, _, told = run(command, *words[command], "--out", tmp_path / ODD)

    assert status == 65
    assert r"teil-\xe4: expected a path in UTF-8" in told
    assert list(tmp_path.iterdir()) == []


def test_such_a_folder_for_saved_images_is_refused(
    bundle: Bundle, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    """OpenCV would end the process while it writes."""
    image = tmp_path / "picture.png"
    image.write_bytes(png(a_part(0)))

    status, _, told = run("inspect", bundle.path, image, "--save", tmp_path / ODD)

    assert (status, "expected a path in UTF-8" in told) == (65, True)


def test_such_a_folder_for_compiled_graphs_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """A state folder may lie anywhere."""
    with pytest.raises(DataError, match="expected a path in UTF-8"):
        GraphCache(tmp_path / ODD).compiled(bundle.path / NETWORK, "f32", 1)


def test_every_path_goes_through_the_check() -> None:
    """Whoever adds a call to a native library learns it here."""
    calls = r"(?:imread|imwrite|imreadmulti|imwritemulti)\(|(?:read_model|compile_model)\((?!product|network\))"
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(rf"\.(?:{calls})(?!native_path\()", line)
    ]

    assert found == []
