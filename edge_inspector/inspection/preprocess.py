"""From the bytes of a file to the detector's image, and from its map back to camera pixels."""

from dataclasses import replace
from typing import TypeAlias, assert_never, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.align import Aligner
from edge_inspector.inspection.decoder import imdecode
from edge_inspector.inspection.header import UnreadableImageError, read_header
from edge_inspector.inspection.model import Image, ModelInput, Reason
from edge_inspector.inspection.placement import Placement, cut_out
from edge_inspector.inspection.recipe import Recipe, Region, Window

_SHAPE_TOLERANCE = 0.02
_LEAST_SCALE = 0.5
_LOCAL_SIGMA, _LOCAL_GAIN, _LOCAL_FLOOR = 40.0, 45.0, 4.0
"""Pixels of the detector's image; grey values a unit of spread; grey values below which nothing is amplified."""

IgnoreMask: TypeAlias = NDArray[np.bool_]
"""bool (height, width) of the map; True where nothing is judged."""


def decode(data: bytes, channels: int) -> Image:
    """Return the image that a JPEG, PNG, BMP, TIFF or WebP file holds, rotated as its EXIF says.

    Returns:
        uint8 or uint16, (height, width) where `channels` is 1, else (height, width, 3) blue-green-red.

    Raises:
        UnreadableImageError: empty, no image, cut off, damaged, several images, too large, or of a depth that no
            camera gives.
        MemoryError: there is no memory for it; that is no fault of the image's.
    """
    read_header(data)
    colour = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    try:
        image, fault = imdecode(data, colour | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(f"no memory for an image: {error.err}") from error
        raise UnreadableImageError(Reason.NOT_AN_IMAGE, f"cannot be decoded: {error.err}") from error
    if image is None:
        raise UnreadableImageError(Reason.NOT_AN_IMAGE, f"{len(data)} bytes that cannot be decoded")
    if fault:
        raise UnreadableImageError(Reason.NOT_AN_IMAGE, f"damaged JPEG: {fault}")
    if image.dtype not in (np.uint8, np.uint16):
        raise UnreadableImageError(Reason.WRONG_FORMAT, f"expected 8 or 16 bits a pixel, got {image.dtype}")
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


def prepare(image: Image, recipe: Recipe, aligner: Aligner | None = None) -> tuple[ModelInput, Placement]:
    """Return the detector's image, uint8 (height, width, channels), and where it lies in the camera image.

    Raises:
        UnreadableImageError: as `shrink`.
    """
    seen, placement = shrink(image, recipe, aligner)
    return as_model_input(seen, recipe), placement


def shrink(image: Image, recipe: Recipe, aligner: Aligner | None = None) -> tuple[NDArray[np.uint8], Placement]:
    """Return what the camera saw of the part at the detector's size, uint8, in the camera's channels.

    Raises:
        UnreadableImageError: as `place`, or the depth is not the one that trained the part.
    """
    placement = place(image, recipe, aligner)
    return cut(image, placement, recipe), placement


def cut(image: Image, placement: Placement, recipe: Recipe) -> NDArray[np.uint8]:
    """Return what lies at `placement` at the detector's size, uint8, in the camera's channels.

    Raises:
        UnreadableImageError: the depth is not the one that trained the part.
    """
    return to_8_bits(cut_out(image, placement), recipe.window)


def reduce(image: Image, size: tuple[int, int], window: Window | None) -> NDArray[np.uint8]:
    """Return a whole camera image in 8 bits of grey at `size`, width and height, none larger than the image's.

    Of a much larger image sixteen places of each pixel are looked at: enough to find a part, and ten times as fast.
    """
    finer = 4 * size[0], 4 * size[1]
    near = image if image.shape[1] < finer[0] or image.shape[0] < finer[1] else cv2.resize(image, finer)
    small = near if near.shape[1::-1] == size else cv2.resize(near, size, interpolation=cv2.INTER_AREA)
    return as_grey(to_8_bits(cast("Image", small), window))


def as_model_input(seen: NDArray[np.uint8], recipe: Recipe) -> ModelInput:
    """Return the detector's image of what the camera saw, uint8 (height, width, channels)."""
    model_input = _normalise_locally(seen) if recipe.normalise == "local" else seen
    if recipe.channels == 1:
        return np.ascontiguousarray(model_input)[..., None]
    return cast("ModelInput", cv2.cvtColor(model_input, cv2.COLOR_BGR2RGB))


def as_grey(seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey or blue-green-red image in grey."""
    return seen if seen.ndim == 2 else cast("NDArray[np.uint8]", cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY))


def place(image: Image, recipe: Recipe, aligner: Aligner | None = None) -> Placement:
    """Return where the detector's image lies in `image`.

    Args:
        image: a camera image.
        recipe: how it is looked at.
        aligner: finds the part; there where the recipe asks for it, and nowhere else.

    Raises:
        UnreadableImageError: not the size that trained the part, the recipe's region does not fit into it, or the part
            cannot be found.
    """
    placement = _upright(image, recipe)
    if (recipe.align is None) != (aligner is None):
        raise ValueError("the recipe and what is given with it do not agree whether the part is aligned")
    if aligner is None:
        return placement
    return replace(placement, pose=aligner.find(reduce(image, aligner.size, recipe.window)))


def _upright(image: Image, recipe: Recipe) -> Placement:
    """Return where the detector's image lies in the camera image, or in the reference where parts are aligned."""
    height, width = image.shape[:2]
    if recipe.align is not None and (width, height) != (recipe.camera_width, recipe.camera_height):
        raise _other_size(width, height, recipe)  # the part is looked for at the reference's scale
    if not recipe.sizes_vary:
        _refuse_other_size(width, height, recipe)
    region = recipe.region or Region(x=0, y=0, width=width, height=height)
    if region.x + region.width > width or region.y + region.height > height:
        raise UnreadableImageError(
            Reason.WRONG_FORMAT,
            f"the region {region.width}x{region.height} at {region.x},{region.y} is outside {width}x{height} pixels",
        )
    return Placement(region.x, region.y, region.width, region.height, recipe.width, recipe.height)


def _refuse_other_size(width: int, height: int, recipe: Recipe) -> None:
    """Refuse an image that another camera, or another setting, must have taken: stretched to fit, it could be OK."""
    trained = recipe.camera_width, recipe.camera_height
    same_shape = abs(width * trained[1] / (height * trained[0]) - 1) <= _SHAPE_TOLERANCE
    if not same_shape or width < trained[0] * _LEAST_SCALE:
        raise _other_size(width, height, recipe)


def _other_size(width: int, height: int, recipe: Recipe) -> UnreadableImageError:
    trained = f"{recipe.camera_width}x{recipe.camera_height}"
    return UnreadableImageError(Reason.WRONG_FORMAT, f"{width}x{height} pixels, the part was trained from {trained}")


def _normalise_locally(model_input: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return each place's distance from its wide surroundings, in units of how much these vary, round mid-grey.

    A Gaussian of 40 pixels, taken at a quarter of the size: what is that smooth loses nothing.
    """
    values = model_input.astype(np.float32)
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


def to_8_bits(image: Image, window: Window | None) -> NDArray[np.uint8]:
    """Return 8 bits: an 8-bit image itself, of a 16-bit one what lies in the window.

    Raises:
        UnreadableImageError: a window and an 8-bit image, or a 16-bit image and none.
    """
    if image.dtype == np.uint8:
        if window is not None:
            raise UnreadableImageError(Reason.WRONG_FORMAT, "an 8-bit image, the part was trained from 16-bit ones")
        return cast("NDArray[np.uint8]", image)
    if window is None:
        raise UnreadableImageError(Reason.WRONG_FORMAT, "a 16-bit image, the part was trained from 8-bit ones")
    scaled = (image.astype(np.float32) - window.low) * (255 / (window.high - window.low))
    clipped: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return clipped
