"""What can be set on each detector; read without torch."""

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_inspector.errors import UsageError

Residual: TypeAlias = Literal["ssim", "l1", "l2", "ssim+l1"]
Loss: TypeAlias = Literal["ssim", "l2", "bce"]


class AutoencoderSettings(BaseModel):
    """How any autoencoder is trained to restore spoiled pictures of good parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    loss: Loss
    """What training makes small: 1 - SSIM (MS-SSIM for colour), the squared error, or the binary cross-entropy."""
    tolerance: bool = True
    """Whether the map is in units of how much good parts differ at each place."""
    flip: bool = True
    """Whether mirrored pictures are trained on as well: keeps the network from learning to copy."""
    rate: float = Field(1e-3, gt=0, le=0.1)
    """Highest learning rate."""
    batch: int = Field(8, ge=1, le=256)


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
    """How picture and reconstruction are compared."""
    smoothing: float = Field(2.0, ge=0, le=20)
    """Gaussian over the residual, sigma in map pixels."""
    tolerance_smoothing: float = Field(1.0, gt=0, le=40)
    """Gaussian over the tolerance, sigma in map pixels: how still the part lies."""


class UnetSettings(AutoencoderSettings):
    """System 004's U-Net-like autoencoder: absolute error, sigma 1."""

    kind: Literal["unet"] = "unet"
    loss: Loss = "l2"
    residual: Residual = "l1"
    """How picture and reconstruction are compared."""
    smoothing: float = Field(1.0, ge=0, le=20)
    """Gaussian over the residual, sigma in map pixels."""
    tolerance_smoothing: float = Field(1.0, gt=0, le=40)
    """Gaussian over the tolerance, sigma in map pixels: how still the part lies."""


class PatchSettings(AutoencoderSettings):
    """System 002's autoencoder with a dense code, judged tile by tile; `tolerance`: beside tiles of that place."""

    kind: Literal["patch"] = "patch"
    loss: Loss = "bce"
    tile: int = Field(40, ge=2, le=1024)
    """Side of a tile, map pixels: larger than the largest defect, or the defect is spread over several."""
    boxes: Literal["tile", "pixel"] = "tile"
    """Whether an anomalous tile is shown as a whole (system 002's hardcore mode) or by its anomalous pixels."""
    k: float = Field(0.8, gt=0, le=100)
    """Standard deviations of good tiles' errors from which a tile is anomalous."""


DetectorSettings: TypeAlias = Annotated[CaeSettings | UnetSettings | PatchSettings, Field(discriminator="kind")]
DEFAULT_KIND = "cae:my"
_MODELS: dict[str, type[CaeSettings | UnetSettings | PatchSettings]] = {
    kind: model
    for model in (CaeSettings, UnetSettings, PatchSettings)
    for kind in get_args(model.model_fields["kind"].annotation)
}
KINDS = tuple(_MODELS)
"""Every kind of detector."""


def parse_settings(kind: str, changes: dict[str, str]) -> CaeSettings | UnetSettings | PatchSettings:
    """Return the settings of a detector with some of them changed.

    Raises:
        UsageError: no such kind, no such setting, or a value out of range.
    """
    if kind not in _MODELS:
        raise UsageError(f"detector setting kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    model = _MODELS[kind]
    try:
        return model.model_validate({"kind": kind, **changes}, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        known = ", ".join(model.model_fields)
        raise UsageError(
            f"detector setting {where}: {first['msg']}, got {first['input']!r} (settings: {known})"
        ) from error
