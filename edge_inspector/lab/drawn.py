"""Masks as people and labelling tools draw them: white on black, 1 on 0, one class a number."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.errors import DataError
from edge_inspector.inspection.header import UnreadablePictureError, read_header

_MOST = 0.5
"""Share of an image from which a mask looks as if black and white were exchanged."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A mask file's values, black 0."""

    path: Path
    values: NDArray[np.uint8] | NDArray[np.uint16] = field(repr=False)
    """(height, width): of each pixel its brightest channel."""
    lossy: bool
    """JPEG, whose black is not quite black."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.values.shape[1], self.values.shape[0]

    @property
    def white(self) -> NDArray[np.bool_]:
        """Where the mask is nearer to its white than to black; its white may be 1, as labelling tools write it."""
        return np.asarray(self.values > self.values.max() / 2) if self.values.any() else self.values > 0

    @property
    def marked(self) -> NDArray[np.bool_]:
        """Where anything is drawn: each class of defect may have a number of its own."""
        return self.white if self.lossy else self.values > 0


def read_drawn(path: Path) -> Drawn:
    """Return what a mask file holds.

    Raises:
        DataError: no image, one that is cut, or one with transparency.
    """
    try:
        data = path.read_bytes()
        read_header(data)
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except OSError as error:
        raise DataError(f"{path}: expected a mask, got no picture: {error.strerror}") from error
    except UnreadablePictureError as error:
        raise DataError(f"{path}: expected a mask, got no picture: {error.reason.meaning} ({error.detail})") from error
    if values is None or values.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path}: expected a mask, got no picture of 8 or 16 bits")
    if values.ndim == 3 and values.shape[2] == 4:
        if values[..., 3].min() < np.iinfo(values.dtype).max:
            raise DataError(
                f"{path} has an alpha channel: nobody can know whether its colour or its transparency marks the place. "
                "Save it without transparency, white on black"
            )
        values = values[..., :3]
    grey = values.max(2) if values.ndim == 3 else values
    return Drawn(path, grey, lossy=data[:2] == b"\xff\xd8")


def looks_inverted(mask: NDArray[np.bool_]) -> bool:
    """Say whether most of a mask is marked: black and white may be exchanged."""
    return float(mask.mean()) > _MOST
