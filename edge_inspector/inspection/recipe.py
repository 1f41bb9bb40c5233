"""What "inspect this part" means, in numbers that are kept with the bundle."""

from collections.abc import Collection
from typing import Annotated, Literal, Self, TypeAlias

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def float32_up(value: float) -> float:
    """Return the smallest float32 that is not below `value`.

    A map is float32; a limit that is not would compare one way with the map and another with its level.
    """
    nearest = np.float32(value)
    # As Python floats: numpy compares a float32 with a Python float in float32, where the two are always equal.
    return float(nearest if float(nearest) >= value else np.nextafter(nearest, np.float32(np.inf)))


Limit = Annotated[float, Field(gt=0, le=1e38, allow_inf_nan=False), AfterValidator(float32_up)]


Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]
QualityCheck: TypeAlias = Literal["dark", "saturated", "low_contrast", "blurred", "moved", "wrong_part"]
"""What a picture is held against before its verdict counts."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Region(_Frozen):
    """A rectangle of the camera picture, in camera pixels."""

    x: int = Field(ge=0)
    y: int = Field(ge=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Window(_Frozen):
    """The grey values of a 16-bit camera that become 0 and 255; learned once, never per picture."""

    low: int = Field(ge=0, le=65535)
    high: int = Field(ge=0, le=65535)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"expected low < high, got {self.low} and {self.high}")
        return self


class Decision(_Frozen):
    """When a part is rejected: a blob of `min_area` camera pixels at `threshold` anomaly."""

    threshold: Limit
    review: Limit | None = None
    min_area: float = Field(gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _review_below_threshold(self) -> Self:
        if self.review is not None and self.review > self.threshold:
            raise ValueError(f"expected review <= threshold, got {self.review} > {self.threshold}")
        return self

    @property
    def lowest(self) -> float:
        """The limit from which a blob is shown."""
        return self.threshold if self.review is None else self.review


class QualityLimits(_Frozen):
    """Beyond which a picture is INVALID; None is never. Learned with room to spare (lab/limits.py)."""

    dark: Finite | None = None
    """Least brightness, 0 to 255."""
    saturated: Finite | None = None
    """Greatest share of white pixels."""
    low_contrast: Finite | None = None
    """Least standard deviation of the grey values."""
    blurred: Finite | None = None
    """Least focus."""
    moved: Finite | None = None
    """Greatest offset from the reference picture, in shares of the picture's side."""
    wrong_part: Finite | None = None
    """Greatest unlikeness to the most similar good picture."""

    def without(self, names: Collection[str]) -> Self:
        """Return the limits with some of them switched off."""
        return self.model_copy(update=dict.fromkeys(names))


class UsualQuality(_Frozen):
    """What the tune pictures measured, one number a picture: drift is held against it."""

    brightness: tuple[Finite, ...] = ()
    focus: tuple[Finite, ...] = ()
    offset: tuple[Finite, ...] = ()


class Recipe(_Frozen):
    """How a camera picture becomes the detector's picture, and the detector's map a verdict."""

    part: str
    width: int = Field(gt=0, le=4096)
    """Of the detector's picture and of its map."""
    height: int = Field(gt=0, le=4096)
    channels: int = Field(ge=1, le=3)
    """1 grey, 3 colour."""
    camera_width: int = Field(gt=0)
    """Of the pictures that taught the part (their median where they differ)."""
    camera_height: int = Field(gt=0)
    sizes_vary: bool = False
    """Whether the part was taught from pictures of different sizes; else another size or shape is refused."""
    region: Region | None = None
    normalise: Literal["none", "local"] = "none"
    """`local` takes slow changes of illumination out of every picture."""
    window: Window | None = None
    """Set where the camera gives 16 bits."""
    decision: Decision
    quality: QualityLimits = QualityLimits()
    """No limits in a bundle from before there were any."""
    usual: UsualQuality = UsualQuality()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.channels == 2:
            raise ValueError("expected 1 or 3 channels, got 2")
        area = self.decision.min_area * self.map_per_camera_area
        if not round(area) <= self.width * self.height:
            raise ValueError(f"min_area of {self.decision.min_area} camera pixels is larger than the picture")
        return self

    @property
    def map_per_camera_area(self) -> float:
        """Map pixels for one camera pixel of the pictures that taught the part."""
        width = self.region.width if self.region else self.camera_width
        height = self.region.height if self.region else self.camera_height
        return self.width * self.height / (width * height)

    @property
    def min_area_px(self) -> int:
        """The smallest blob that counts, in map pixels: where the decision is made."""
        return max(1, round(self.decision.min_area * self.map_per_camera_area))
