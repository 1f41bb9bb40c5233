"""From the bytes of a file to the detector's picture, and from its map back to camera pixels."""

from dataclasses import dataclass
from typing import TypeAlias, assert_never, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.header import UnreadablePictureError, read_header
from edge_inspector.inspection.model import Image, Picture, Reason
from edge_inspector.inspection.recipe import Recipe, Region, Window

_SHAPE_TOLERANCE = 0.02
_LEAST_SCALE = 0.5
_LOCAL_SIGMA, _LOCAL_GAIN, _LOCAL_FLOOR = 40.0, 45.0, 4.0
"""Pixels of the detector's picture; grey values a unit of spread; grey values below which nothing is amplified."""

IgnoreMask: TypeAlias = NDArray[np.bool_]
"""bool (height, width) of the map; True where nothing is judged."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the detector's picture lies in the camera picture."""

    x: int
    y: int
    width: int
    height: int
    map_width: int
    map_height: int

    @property
    def map_per_camera_area(self) -> float:
        """Map pixels for one camera pixel of this picture."""
        return self.map_width * self.map_height / (self.width * self.height)

    def to_camera(self, x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the smallest box of camera pixels that holds a box of map pixels."""
        left, top = x * self.width // self.map_width, y * self.height // self.map_height
        right = -(-(x + width) * self.width // self.map_width)
        bottom = -(-(y + height) * self.height // self.map_height)
        return self.x + left, self.y + top, right - left, bottom - top


def decode(data: bytes, channels: int) -> Image:
    """Return the picture that a JPEG, PNG, BMP or TIFF file holds, turned as its EXIF says.

    Returns:
        uint8 or uint16, (height, width) where `channels` is 1, else (height, width, 3) blue-green-red.

    Raises:
        UnreadablePictureError: empty, no picture, cut off, too large, or of a depth that no camera gives.
        MemoryError: there is no memory for it; that is no fault of the picture's.
    """
    read_header(data)
    colour = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), colour | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(f"no memory for a picture: {error.err}") from error
        raise UnreadablePictureError(Reason.NOT_A_PICTURE, f"cannot be decoded: {error.err}") from error
    if image is None:
        raise UnreadablePictureError(Reason.NOT_A_PICTURE, f"{len(data)} bytes that cannot be decoded")
    if image.dtype not in (np.uint8, np.uint16):
        raise UnreadablePictureError(Reason.WRONG_FORMAT, f"expected 8 or 16 bits a pixel, got {image.dtype}")
    return cast("Image", image)


def as_image(image: bytes | Image, channels: int) -> Image:
    """Return the pixels of an arrival: decoded, or a camera's own in as many channels as asked for."""
    match image:
        case bytes():
            return decode(image, channels)
        case np.ndarray():
            if channels == 1 and image.ndim == 3:
                return cast("Image", cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
            if channels == 3 and image.ndim == 2:
                return cast("Image", cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
            return image
        case _:
            assert_never(image)


def prepare(image: Image, recipe: Recipe) -> tuple[Picture, Placement]:
    """Return the detector's picture, uint8 (height, width, channels), and where it lies in the camera picture.

    Raises:
        UnreadablePictureError: the region does not fit, or the depth is not the one that taught the part.
    """
    seen, placement = shrink(image, recipe)
    return as_picture(seen, recipe), placement


def shrink(image: Image, recipe: Recipe) -> tuple[NDArray[np.uint8], Placement]:
    """Return what the camera saw of the part at the detector's size, uint8, in the camera's channels.

    Raises:
        UnreadablePictureError: the region does not fit, or the depth is not the one that taught the part.
    """
    placement = place(image, recipe)
    cut = image[placement.y : placement.y + placement.height, placement.x : placement.x + placement.width]
    return _to_8_bits(resize(cut, recipe.width, recipe.height), recipe.window), placement


def resize(image: Image, width: int, height: int) -> Image:
    """Return `image` at another size; where it becomes smaller, each pixel is the mean of the area that it covers.

    It is halved first as long as it can be: at 5 megapixels an eighth of the time, and at most 5 grey values
    from the exact mean (measured, even on blurred noise).
    """
    while (
        not (image.shape[0] % 2 or image.shape[1] % 2) and image.shape[0] >= 2 * height and image.shape[1] >= 2 * width
    ):
        halved = image.shape[1] // 2, image.shape[0] // 2
        image = cast("Image", cv2.resize(image, halved, interpolation=cv2.INTER_AREA))
    if image.shape[:2] == (height, width):
        return image
    method = cv2.INTER_AREA if width < image.shape[1] or height < image.shape[0] else cv2.INTER_LINEAR
    return cast("Image", cv2.resize(image, (width, height), interpolation=method))


def as_picture(seen: NDArray[np.uint8], recipe: Recipe) -> Picture:
    """Return the detector's picture of what the camera saw, uint8 (height, width, channels)."""
    picture = _normalise_locally(seen) if recipe.normalise == "local" else seen
    if recipe.channels == 1:
        return np.ascontiguousarray(picture)[..., None]
    return cast("Picture", cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def as_grey(seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey or blue-green-red picture in grey."""
    return seen if seen.ndim == 2 else cast("NDArray[np.uint8]", cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY))


def place(image: NDArray[np.generic], recipe: Recipe) -> Placement:
    """Return where the detector's picture lies in `image`.

    Raises:
        UnreadablePictureError: not the size that taught the part, or the recipe's region does not fit into it.
    """
    height, width = image.shape[:2]
    if not recipe.sizes_vary:
        _refuse_other_size(width, height, recipe)
    region = recipe.region or Region(x=0, y=0, width=width, height=height)
    if region.x + region.width > width or region.y + region.height > height:
        raise UnreadablePictureError(
            Reason.WRONG_FORMAT,
            f"the region {region.width}x{region.height} at {region.x},{region.y} is outside {width}x{height} pixels",
        )
    return Placement(region.x, region.y, region.width, region.height, recipe.width, recipe.height)


def _refuse_other_size(width: int, height: int, recipe: Recipe) -> None:
    """Refuse a picture that another camera, or another setting, must have taken: stretched to fit, it could be OK."""
    taught = recipe.camera_width, recipe.camera_height
    same_shape = abs(width * taught[1] / (height * taught[0]) - 1) <= _SHAPE_TOLERANCE
    if not same_shape or width < taught[0] * _LEAST_SCALE:
        raise UnreadablePictureError(
            Reason.WRONG_FORMAT, f"{width}x{height} pixels, the part was taught from {taught[0]}x{taught[1]}"
        )


def _normalise_locally(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return each place's distance from its wide surroundings, in units of how much these vary, round mid-grey.

    A Gaussian of 40 pixels, taken at a quarter of the size: what is that smooth loses nothing.
    """
    values = picture.astype(np.float32)
    distance = values - _wide_blur(values)
    spread = np.sqrt(_wide_blur(distance * distance))
    normalised = 128 + _LOCAL_GAIN * distance / (spread + _LOCAL_FLOOR)
    clipped: NDArray[np.uint8] = np.clip(np.rint(normalised), 0, 255).astype(np.uint8)
    return clipped


def _wide_blur(values: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = values.shape[:2]
    small = cv2.resize(values, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), _LOCAL_SIGMA / 4)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _to_8_bits(image: Image, window: Window | None) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        if window is not None:
            raise UnreadablePictureError(Reason.WRONG_FORMAT, "an 8-bit picture, the part was taught from 16-bit ones")
        return cast("NDArray[np.uint8]", image)
    if window is None:
        raise UnreadablePictureError(Reason.WRONG_FORMAT, "a 16-bit picture, the part was taught from 8-bit ones")
    scaled = (image.astype(np.float32) - window.low) * (255 / (window.high - window.low))
    clipped: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return clipped
