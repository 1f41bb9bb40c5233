"""What "inspect this part" means, in numbers that are kept with the bundle."""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)


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
"""What an image is held against before its verdict counts."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True, extra="forbid")


class Region(_Frozen):
    """A rectangle of the camera image, in camera pixels."""

    x: int = Field(ge=0)
    y: int = Field(ge=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)

    def holds(self, other: Self) -> bool:
        """Say whether `other` lies inside."""
        right, bottom = other.x + other.width, other.y + other.height
        inside = other.x >= self.x and other.y >= self.y
        return inside and right <= self.x + self.width and bottom <= self.y + self.height

    def overlaps(self, other: Self) -> bool:
        """Say whether the two have a pixel in common."""
        across = self.x < other.x + other.width and other.x < self.x + self.width
        return across and self.y < other.y + other.height and other.y < self.y + self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height} at {self.x},{self.y}"


class Align(_Frozen):
    """How the part is looked for in every image, so that the detector always sees it in the same place."""

    kind: Literal["translate", "rotate", "template"]
    max_rotation: float = Field(ge=0, le=180, alias="most_turn")
    """Degrees to either side."""
    template: Region | None = None
    """What is looked for, in camera pixels of the reference image; the inspected region where not set."""
    least: float = Field(ge=0, le=1)
    """Correlation with the reference under which the part counts as not found."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        if (self.kind == "template") != (self.template is not None):
            raise ValueError("expected a template with the kind template, and with no other")
        if (self.kind == "translate" and self.max_rotation) or (self.kind == "rotate" and not self.max_rotation):
            raise ValueError(f"expected a rotation of 0 to translate and more to rotate, got {self.max_rotation:g}")
        return self


class Unit(_Frozen):
    """A region that has a minimum area of its own, under the threshold of all."""

    region: Region
    """Camera pixels, of the reference image where the part is aligned."""
    min_area: float = Field(gt=0, allow_inf_nan=False)
    """Camera pixels."""
    typical: Limit = Field(default=1.0, alias="usual")
    """The middle level of the unit over tune images: units are compared in multiples of it."""


class Window(_Frozen):
    """The grey values of a 16-bit camera that become 0 and 255; learned once, never per image."""

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
    """Beyond which an image is INVALID; None is never. Learned with room to spare (lab/training/limits.py)."""

    dark: Finite | None = None
    """Least brightness, 0 to 255."""
    saturated: Finite | None = None
    """Greatest share of white pixels."""
    low_contrast: Finite | None = None
    """Least standard deviation of the grey values."""
    blurred: Finite | None = None
    """Least focus."""
    moved: Finite | None = None
    """Greatest offset from the reference image, in shares of the image's side."""
    wrong_part: Finite | None = None
    """Greatest unlikeness to the most similar good image."""

    def without(self, names: Collection[str]) -> Self:
        """Return the limits with some of them switched off."""
        return self.model_copy(update=dict.fromkeys(names))


class TypicalQuality(_Frozen):
    """What the tune images measured, one number an image: drift is held against it."""

    brightness: tuple[Finite, ...] = ()
    focus: tuple[Finite, ...] = ()
    offset: tuple[Finite, ...] = ()


class Recipe(_Frozen):
    """How a camera image becomes the detector's image, and the detector's map a verdict."""

    part: str
    width: int = Field(gt=0, le=4096)
    """Of the detector's image and of its map."""
    height: int = Field(gt=0, le=4096)
    channels: int = Field(ge=1, le=3)
    """1 grey, 3 colour."""
    camera_width: int = Field(gt=0)
    """Of the images that trained the part (their median where they differ)."""
    camera_height: int = Field(gt=0)
    sizes_vary: bool = False
    """Whether the part was trained from images of different sizes; else another size or shape is refused."""
    region: Region | None = None
    normalise: Literal["none", "local"] = "none"
    """`local` takes slow changes of illumination out of every image."""
    window: Window | None = None
    """Set where the camera gives 16 bits."""
    decision: Decision
    quality: QualityLimits = QualityLimits()
    """No limits in a bundle from before there were any."""
    typical: TypicalQuality = Field(default=TypicalQuality(), alias="usual")
    align: Align | None = None
    """None: the part lies still, and is seen where the camera shows it."""
    units: tuple[Unit, ...] = ()
    """Where the map is judged; all of it, with the decision's minimum area, where there are none."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.channels == 2:
            raise ValueError("expected 1 or 3 channels, got 2")
        area = self.decision.min_area * self.map_per_camera_area
        if not round(area) <= self.width * self.height:
            raise ValueError(f"min_area of {self.decision.min_area} camera pixels is larger than the image")
        if self.align is not None:
            self._check_align(self.align)
        self._check_units()
        return self

    def _check_align(self, align: Align) -> None:
        camera = Region(x=0, y=0, width=self.camera_width, height=self.camera_height)
        if self.region is None or self.sizes_vary:
            raise ValueError("a part is aligned by a region of it, in images of one size")
        for name, region in (("region", self.region), ("template", align.template or self.region)):
            if not camera.holds(region):
                raise ValueError(f"the {name} {region} is outside {self.camera_width}x{self.camera_height} pixels")

    def _check_units(self) -> None:
        for place, unit in enumerate(self.units):
            if not self.inspected.holds(unit.region):
                raise ValueError(f"the unit {unit.region} is outside the inspected {self.inspected}")
            seen = self.on_map(unit.region)
            for other in self.units[:place]:
                if other.region.overlaps(unit.region) or self.on_map(other.region).overlaps(seen):
                    raise ValueError(
                        f"the units {other.region} and {unit.region} overlap: a pixel of the map has one minimum area"
                    )
            if self.to_map_area(unit.min_area) > seen.width * seen.height:
                raise ValueError(f"min_area of {unit.min_area:g} camera pixels is larger than the unit {unit.region}")

    @model_serializer(mode="wrap")
    def _without_what_it_has_not(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not used: a bundle from before there was such a thing keeps its recipe's digest."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if value or name not in ("align", "units")}

    @property
    def inspected(self) -> Region:
        """What the detector sees of an image, camera pixels."""
        return self.region or Region(x=0, y=0, width=self.camera_width, height=self.camera_height)

    @property
    def map_per_camera_area(self) -> float:
        """Map pixels for one camera pixel of the images that trained the part."""
        return self.width * self.height / (self.inspected.width * self.inspected.height)

    @property
    def min_area_px(self) -> int:
        """The smallest blob that counts, in map pixels: where the decision is made."""
        return self.to_map_area(self.decision.min_area)

    @property
    def smallest_blob(self) -> str:
        """The smallest blob that counts, in words."""
        areas = sorted({unit.min_area for unit in self.units} or {self.decision.min_area})
        return f"{areas[0]:.0f} px" if len(areas) == 1 else f"{areas[0]:.0f} to {areas[-1]:.0f} px, by region,"

    def to_map_area(self, camera_pixels: float) -> int:
        """Return an area in map pixels, at least 1."""
        return max(1, round(camera_pixels * self.map_per_camera_area))

    def on_map(self, region: Region) -> Region:
        """Return where a rectangle of the inspected region lies on the map, in map pixels, at least one.

        Two that touch in the camera image touch on the map and do not overlap, unless one is thinner than a pixel.
        """
        inspected = self.inspected
        across, down = self.width / inspected.width, self.height / inspected.height
        left, right = (round((x - inspected.x) * across) for x in (region.x, region.x + region.width))
        top, bottom = (round((y - inspected.y) * down) for y in (region.y, region.y + region.height))
        left, top = min(left, self.width - 1), min(top, self.height - 1)
        return Region(x=left, y=top, width=max(1, right - left), height=max(1, bottom - top))
