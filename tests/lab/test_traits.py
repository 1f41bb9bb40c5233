"""What a camera uses of its 16 bits is found in training, and everything that compares or shows images goes by it."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import a_part, png
from numpy.typing import NDArray

from edge_inspector.bundle import Bundle, open_inspector
from edge_inspector.inspection.picture import thumbnail
from edge_inspector.lab.data_check import check_data
from edge_inspector.lab.dataset import find_good
from edge_inspector.lab.inspect import inspect_files
from edge_inspector.lab.suspects import save_overlays
from edge_inspector.lab.traits import miniatures_of, traits_of, window_of


def deep(seed: int, bits: int, **changes: bool) -> NDArray[np.uint16]:
    """Return a grey part as a camera of 10, 12 or 16 bits gives it: with its values in the lower bits."""
    grey = cv2.cvtColor(a_part(seed, **changes), cv2.COLOR_BGR2GRAY)  # type: ignore[arg-type]
    return grey.astype(np.uint16) << (bits - 8)


def write_deep(folder: Path, count: int, bits: int) -> Path:
    """Write that many of them."""
    folder.mkdir(parents=True)
    for seed in range(count):
        (folder / f"{seed:03}.png").write_bytes(png(deep(seed, bits)))
    return folder


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
def test_parts_differ_however_many_bits_the_camera_uses(tmp_path: Path, bits: int) -> None:
    """40 images of 40 parts: with 10 of 16 bits they once counted as one."""
    folder = write_deep(tmp_path / "deep", 40, bits)
    found = check_data(folder, None, lambda _words, _share: None)

    assert len({picture.group for picture in find_good(folder, None)}) == 40
    assert found.groups == 40
    assert not found.findings


def test_two_shots_of_a_part_are_one_part_in_twelve_bits_too(tmp_path: Path) -> None:
    """A camera's noise makes no second part."""
    folder = write_deep(tmp_path / "deep", 20, 12)
    noise = np.random.default_rng(0).integers(0, 24, (120, 160)).astype(np.uint16)
    (folder / "again.png").write_bytes(png(deep(3, 12) + noise - 12))

    assert len({picture.group for picture in find_good(folder, None)}) == 20


def test_the_range_in_use_is_that_of_all_images_together() -> None:
    """With a tenth of room, within 16 bits; of 8 bits all is in use."""
    traits = [traits_of(np.linspace(low, low + 1000, 10_000).reshape(100, 100).astype(np.uint16)) for low in (0, 3000)]
    window = window_of(traits)

    assert window.low == 0
    assert window.high == pytest.approx(4400, abs=5)
    assert miniatures_of(traits).min() >= 0
    assert miniatures_of(traits).max() <= 255
    assert miniatures_of([traits_of(np.full((64, 64), 77, np.uint8))]).mean() == 77


@pytest.fixture(scope="module")
def deep_bundle(tmp_path_factory: pytest.TempPathFactory, teach_washer: Callable[..., Bundle]) -> Bundle:
    """Give a washer that was trained from 12 bits in 16."""
    folder = tmp_path_factory.mktemp("deep")
    return teach_washer(write_deep(folder / "good", 40, 12), folder / "bundle")


def test_what_a_person_is_shown_of_twelve_bits_can_be_seen(deep_bundle: Bundle, tmp_path: Path) -> None:
    """Boxes, overlays and thumbnails by the recipe's window: cut to the upper eight bits they were black."""
    (tmp_path / "a.png").write_bytes(png(deep(500, 12, scratched=True)))
    inspector = open_inspector(deep_bundle, threads=1, clock_ns=lambda: 0)
    list(inspect_files(deep_bundle, inspector, [tmp_path / "a.png"], tmp_path / "out", lambda: 0))
    saved = save_overlays(deep_bundle, inspector, tmp_path / "overlays")
    evidence = inspector.inspect(deep(500, 12)).evidence
    assert evidence is not None
    thumb = cv2.imdecode(np.frombuffer(thumbnail(evidence.image, (), "a", 20_000, evidence.window)[0], np.uint8), 0)
    shown = [cv2.imread(str(file), 0) for file in ((tmp_path / "out").rglob("boxes.png"))]

    assert deep_bundle.recipe.window is not None
    assert 2500 < deep_bundle.recipe.window.high < 4096
    assert len(shown) == 1
    assert saved
    for image in (*shown, thumb):
        assert image.max() > 180
        assert np.percentile(image, 1) < 80
    assert all(cv2.imread(str(file), 0).max() > 80 for file in saved)  # half of it is the heat map
