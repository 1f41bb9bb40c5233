"""What can be set on each detector; read without torch."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edge_inspector.errors import UsageError

Residual: TypeAlias = Literal["ssim", "l1", "l2", "ssim+l1"]


class CaeSettings(BaseModel):
    """A convolutional autoencoder, trained to restore spoiled pictures of good parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cae:my", "cae:mvtec"] = "cae:my"
    residual: Residual = "ssim+l1"
    """How picture and reconstruction are compared."""
    tolerance: bool = True
    """Whether the map is in units of how much good parts differ at each place."""
    smoothing: float = Field(2.0, ge=0, le=20)
    """Gaussian over the residual, sigma in map pixels."""
    tolerance_smoothing: float = Field(1.0, gt=0, le=40)
    """Gaussian over the tolerance, sigma in map pixels: how still the part lies."""
    flip: bool = True
    """Whether mirrored pictures are trained on as well: keeps the network from learning to copy."""
    rate: float = Field(1e-3, gt=0, le=0.1)
    """Highest learning rate."""
    batch: int = Field(8, ge=1, le=256)


DetectorSettings: TypeAlias = Annotated[CaeSettings, Field(discriminator="kind")]
DEFAULT_KIND = "cae:my"


def parse_settings(kind: str, changes: dict[str, str]) -> CaeSettings:
    """Return the settings of a detector with some of them changed.

    Raises:
        UsageError: no such kind, no such setting, or a value out of range.
    """
    try:
        return TypeAdapter(CaeSettings).validate_python({"kind": kind, **changes}, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        known = ", ".join(CaeSettings.model_fields)
        raise UsageError(
            f"detector setting {where}: {first['msg']}, got {first['input']!r} (settings: {known})"
        ) from error
