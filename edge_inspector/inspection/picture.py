"""What a person is shown: a thumbnail with boxes, a heat map on a fixed scale."""

from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.model import AnomalyMap, Blob, Image
from edge_inspector.inspection.placement import Placement, resize, spread
from edge_inspector.inspection.preprocess import to_8_bits
from edge_inspector.inspection.recipe import Window

ColourImage: TypeAlias = NDArray[np.uint8]
"""uint8 (height, width, 3), blue-green-red."""

THUMBNAIL_SIDE = 480
_RED, _AMBER = (45, 45, 235), (0, 170, 255)
_START_OF_IMAGE = b"\xff\xd8"


def draw_boxes(image: Image, blobs: tuple[Blob, ...], side: int, window: Window | None = None) -> ColourImage:
    """Return `image` with its longer side at most `side`, 8 bits (see `as_8_bit_colour`), and a box round each blob."""
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    shown = as_8_bit_colour(_resized(image, scale), window)
    for blob in blobs:
        corner = int(blob.x * scale), int(blob.y * scale)
        opposite = round((blob.x + blob.width) * scale), round((blob.y + blob.height) * scale)
        cv2.rectangle(shown, corner, opposite, _RED if blob.over_threshold else _AMBER, 2)
    return shown


def thumbnail(
    image: Image, blobs: tuple[Blob, ...], name: str, max_bytes: int, window: Window | None = None
) -> tuple[bytes, int, int]:
    """Return a JPEG of at most `max_bytes` with the boxes drawn and `id=<name>` in its comment, its width and height.

    The comment joins the picture to its verdict where MQTT 5 properties are lost.
    """
    comment = f"id={name}".encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    side = THUMBNAIL_SIDE
    while True:
        shown = draw_boxes(image, blobs, side, window)
        for quality in (80, 60, 40):
            data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            if len(data) + len(segment) <= max_bytes or (side <= 64 and quality == 40):
                return _START_OF_IMAGE + segment + data[2:], shown.shape[1], shown.shape[0]
        side //= 2


def heat_map(amap: AnomalyMap, threshold: float) -> ColourImage:
    """Return the map in colours: dark 0, the limit in the middle, bright at twice the limit and above.

    The scale is the calibration's, never the picture's own, so that two parts can be compared by eye.
    """
    grey = np.clip(np.nan_to_num(amap, nan=np.inf) * (127.5 / threshold), 0, 255).astype(np.uint8)
    return cast("ColourImage", cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO))


def overlay(
    image: Image, amap: AnomalyMap, threshold: float, placement: Placement, window: Window | None = None
) -> ColourImage:
    """Return `image` with the heat map laid half over the inspected region."""
    shown = as_8_bit_colour(image, window)
    heat, covered = spread(heat_map(amap, threshold), placement, shown.shape)
    return np.where(covered[..., None], cv2.addWeighted(shown, 0.5, heat, 0.5, 0), shown)


def as_8_bit_colour(image: Image, window: Window | None = None) -> ColourImage:
    """Return an image that can be shown: of 16 bits the recipe's window, without one the upper eight.

    A camera's 10 or 12 bits have nothing in the upper eight: without the window they would be shown black.
    """
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8) if window is None else to_8_bits(image, window)
    shown = image
    return cast("ColourImage", shown if shown.ndim == 3 else cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR))


def _resized(image: Image, scale: float) -> Image:
    if scale == 1.0:
        return image.copy()
    return resize(image, max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
