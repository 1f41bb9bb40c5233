"""Where in a small image may a patch lie, and at which rotation? A search over all places and rotations."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.placement import Matrix, between_pixels, rotation
from edge_inspector.inspection.recipe import Region

Grey: TypeAlias = NDArray[np.uint8]
"""uint8 (height, width)."""

STEP = 4.0
"""Degrees between two rotations that are tried."""
_RIM = 0.15
"""Round the image, a share of the patch's sides."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The reference image at one size, and what is looked for in it."""

    width: int
    height: int
    x: int
    y: int
    patch: Grey = field(repr=False)

    @property
    def middle(self) -> NDArray[np.float64]:
        """Of the image."""
        return np.array([self.width / 2, self.height / 2])

    def shrink(self, image: Grey) -> Grey:
        """Return a larger image at this size."""
        size = self.width, self.height
        return image if image.shape[1::-1] == size else resized(image, size)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation to try: how the small image is rotated back."""

    degrees: float
    rotation: NDArray[np.float64] = field(repr=False)
    back: Matrix = field(repr=False)
    """Between the middles of pixels, from the upright image to the small one."""
    width: int
    height: int
    """Of the upright image: all of the small one lies in it, and a rim."""


@dataclass(frozen=True, slots=True)
class Guess:
    """Where the part may lie."""

    correlation: float
    turn: float
    shift: NDArray[np.float64]
    """Shares of the image's width and height."""


def make_scale(reference: Grey, box: Region, camera: tuple[int, int]) -> Scale:
    """Return the reference at its size, and the patch that lies at `box`, camera pixels of an image of `camera`."""
    height, width = reference.shape
    across, down = width / camera[0], height / camera[1]
    x, y = int(box.x * across), int(box.y * down)
    right, bottom = max(x + 1, int((box.x + box.width) * across)), max(y + 1, int((box.y + box.height) * down))
    return Scale(width, height, x, y, np.ascontiguousarray(reference[y:bottom, x:right]))


def make_rotation(scale: Scale, degrees: float) -> Rotation:
    """Return a rotation, clockwise, of images of this scale."""
    matrix = rotation(degrees)
    rim = _RIM * np.array(scale.patch.shape[1::-1])  # a part that hangs over the edge is to be found there
    width, height = (int(side) for side in np.rint(np.abs(matrix) @ [scale.width, scale.height] + 2 * rim))
    back = np.c_[matrix, scale.middle - matrix @ [width / 2, height / 2]]
    return Rotation(degrees, matrix, between_pixels(back), width, height)


def look(image: Grey, scale: Scale, turn: Rotation) -> Guess | None:
    """Return where the patch is most like the image, rotated back; None where it is larger than that."""
    if turn.width < scale.patch.shape[1] or turn.height < scale.patch.shape[0]:
        return None
    upright = warped(image, turn.back, (turn.width, turn.height))
    likeness = cv2.matchTemplate(upright, scale.patch, cv2.TM_CCOEFF_NORMED)
    _, correlation, _, (x, y) = cv2.minMaxLoc(likeness)
    moved = np.array([x - scale.x + (scale.width - turn.width) / 2, y - scale.y + (scale.height - turn.height) / 2])
    return Guess(correlation, turn.degrees, turn.rotation @ moved / [scale.width, scale.height])


def steps_to(most: float) -> Sequence[float]:
    """Return the degrees to try, from -most to most."""
    count = int(np.ceil(most / STEP))
    return [float(turn) for turn in np.linspace(-most, most, 2 * count + 1)]


def warped(image: Grey, matrix: Matrix, size: tuple[int, int]) -> Grey:
    """Return an image of `size` whose pixels lie in `image` where `matrix` says; the edge is repeated."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cast("Grey", cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def resized(image: Grey, size: tuple[int, int]) -> Grey:
    """Return an image shrunk to width and height."""
    return cast("Grey", cv2.resize(image, size, interpolation=cv2.INTER_AREA))
