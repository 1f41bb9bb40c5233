"""Where the detector's image lies in the camera image: cut it out, and bring boxes and maps back."""

from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float64]
"""float64 (2, 3): an affine map between edges of pixels; pixel 0 reaches from 0 to 1."""
_Array = TypeVar("_Array", bound=NDArray[np.generic])
_BOX_MARGIN = 2


@dataclass(frozen=True, slots=True)
class Pose:
    """How a part lies beside the reference image: rotated about the image's middle, then shifted."""

    turn: float
    """Degrees, clockwise."""
    shift_x: float
    """Camera pixels to the right."""
    shift_y: float
    """Camera pixels down."""
    middle_x: float
    """Of the camera image."""
    middle_y: float
    correlation: float
    """With the reference: 1 is equal, 0 has nothing in common."""

    def matrix(self) -> Matrix:
        """Return what takes a place of the reference image to the camera image."""
        turn = rotation(self.turn)
        middle = np.array([self.middle_x, self.middle_y])
        shift = np.array([self.shift_x, self.shift_y])
        return np.asarray(np.c_[turn, middle + shift - turn @ middle])

    def numbers(self) -> tuple[tuple[str, float], ...]:
        """Return what is published, by name."""
        return tuple((name, round(float(getattr(self, name)), 3)) for name in _PUBLISHED)

    def __str__(self) -> str:
        right, down, turn = (round(value, 1) + 0.0 for value in (self.shift_x, self.shift_y, self.turn))  # no -0.0
        moved = f"shifted by {right:+.1f} px right and {down:+.1f} px down, rotated by {turn:+.1f} degrees"
        return f"{moved}, correlation {self.correlation:.2f}"


_PUBLISHED = ("shift_x", "shift_y", "turn", "correlation")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the detector's image lies in the camera image."""

    x: int
    y: int
    width: int
    height: int
    map_width: int
    map_height: int
    pose: Pose | None = None
    """How the part lies, where it was looked for: the rectangle is then one of the reference image."""

    @property
    def map_per_camera_area(self) -> float:
        """Map pixels for one camera pixel of this image."""
        return self.map_width * self.map_height / (self.width * self.height)

    def to_camera(self, x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the smallest upright box of camera pixels that holds a box of map pixels."""
        if self.pose is not None:
            return _box_round(self.corners(x, y, width, height), self.pose)
        left, top = x * self.width // self.map_width, y * self.height // self.map_height
        right = -(-(x + width) * self.width // self.map_width)
        bottom = -(-(y + height) * self.height // self.map_height)
        return self.x + left, self.y + top, right - left, bottom - top

    def corners(self, x: float, y: float, width: float, height: float) -> NDArray[np.float64]:
        """Return the corners of a box of map pixels in the camera image, (4, 2), round it."""
        box = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float64)
        matrix = self.matrix()
        return np.asarray(box @ matrix[:, :2].T + matrix[:, 2])

    def outline(self) -> NDArray[np.float64]:
        """Return the corners of the whole detector's image in the camera image, (4, 2)."""
        return self.corners(0, 0, self.map_width, self.map_height)

    def matrix(self) -> Matrix:
        """Return what takes a place of the map to the camera image."""
        inner = np.array(
            [[self.width / self.map_width, 0, self.x], [0, self.height / self.map_height, self.y], [0, 0, 1]]
        )
        return inner[:2] if self.pose is None else self.pose.matrix() @ inner


def rotation(degrees: float) -> NDArray[np.float64]:
    """Return the matrix, (2, 2), that rotates clockwise where y points down."""
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def between_pixels(matrix: Matrix) -> Matrix:
    """Return the same map between the middles of pixels, as OpenCV counts: pixel 0 lies at 0."""
    return np.asarray(np.c_[matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ [0.5, 0.5] - 0.5])


def resize(image: _Array, width: int, height: int) -> _Array:
    """Return `image` at another size; where it becomes smaller, each pixel is the mean of the area that it covers.

    It is halved first as long as it can be: at 5 megapixels an eighth of the time, and at most 5 grey values
    from the exact mean (measured, even on blurred noise).
    """
    while (
        not (image.shape[0] % 2 or image.shape[1] % 2) and image.shape[0] >= 2 * height and image.shape[1] >= 2 * width
    ):
        halved = image.shape[1] // 2, image.shape[0] // 2
        image = cast("_Array", cv2.resize(image, halved, interpolation=cv2.INTER_AREA))
    if image.shape[:2] == (height, width):
        return image
    method = cv2.INTER_AREA if width < image.shape[1] or height < image.shape[0] else cv2.INTER_LINEAR
    return cast("_Array", cv2.resize(image, (width, height), interpolation=method))


def cut_out(image: _Array, placement: Placement) -> _Array:
    """Return the inspected part of a camera image at map size, upright.

    An image that is much larger than the map is shrunk in two steps, so that each pixel of it counts.
    """
    size = placement.map_width, placement.map_height
    if placement.pose is None:
        return resize(cut_upright(image, placement), *size)
    per_map = np.array([placement.width / size[0], placement.height / size[1]])
    near, matrix = _shrunk_near(image, placement, min(1.0, 2 / float(per_map.min())))
    finer = np.maximum(1, np.rint(per_map * min(1.0, 2 / float(per_map.min())))).astype(int)
    matrix = between_pixels(matrix @ np.diag([1 / finer[0], 1 / finer[1], 1]))
    upright = _warped(near, matrix, (int(size[0] * finer[0]), int(size[1] * finer[1])))
    return upright if finer.max() == 1 else cast("_Array", cv2.resize(upright, size, interpolation=cv2.INTER_AREA))


def cut_upright(image: _Array, placement: Placement) -> _Array:
    """Return the inspected part of a camera image in camera pixels, upright, each pixel the nearest one's value."""
    if placement.pose is None:
        return cast(
            "_Array",
            image[placement.y : placement.y + placement.height, placement.x : placement.x + placement.width],
        )
    scale = np.diag([placement.map_width / placement.width, placement.map_height / placement.height, 1])
    matrix = between_pixels(placement.matrix() @ scale)
    return _warped(image, matrix, (placement.width, placement.height), cv2.INTER_NEAREST)


def spread(values: _Array, placement: Placement, camera_shape: tuple[int, ...]) -> tuple[_Array, NDArray[np.bool_]]:
    """Return an array of map size where it lies in a camera image, 0 elsewhere, and where it lies, bool.

    Args:
        values: (height, width) or (height, width, channels) of the map.
        placement: where the map lies.
        camera_shape: height and width of the camera image come first.
    """
    height, width = camera_shape[:2]
    covered = np.zeros((height, width), np.bool_)
    whole = np.zeros((height, width, *values.shape[2:]), values.dtype)
    if placement.pose is None:
        size = placement.width, placement.height
        where = np.s_[placement.y : placement.y + placement.height, placement.x : placement.x + placement.width]
        whole[where] = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR).reshape(whole[where].shape)
        covered[where] = True
        return cast("_Array", whole), covered
    matrix = between_pixels(placement.matrix())
    ones = np.ones((placement.map_height, placement.map_width), np.uint8)
    covered = cv2.warpAffine(ones, matrix, (width, height), flags=cv2.INTER_NEAREST) > 0
    warped = cv2.warpAffine(values, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE).reshape(whole.shape)
    whole[covered] = warped[covered]
    return cast("_Array", whole), np.asarray(covered)


def _shrunk_near(image: _Array, placement: Placement, share: float) -> tuple[_Array, Matrix]:
    """Return what lies round the inspected part, shrunk to `share`, and what takes a place of the map there."""
    height, width = image.shape[:2]
    outline = placement.outline()
    left, top = np.maximum(0, np.floor(outline.min(0)) - _BOX_MARGIN).astype(int)
    right, bottom = np.minimum([width, height], np.ceil(outline.max(0)) + _BOX_MARGIN).astype(int)
    near = image[top:bottom, left:right]
    size = max(1, round(near.shape[1] * share)), max(1, round(near.shape[0] * share))
    small = near if share == 1 else cv2.resize(near, size, interpolation=cv2.INTER_AREA)
    scale = np.array([size[0] / near.shape[1], size[1] / near.shape[0]])
    matrix = placement.matrix()
    return cast("_Array", small), np.c_[matrix[:, :2], matrix[:, 2] - [left, top]] * scale[:, None]


def _warped(image: _Array, matrix: Matrix, size: tuple[int, int], method: int = cv2.INTER_LINEAR) -> _Array:
    """Return an image of `size` whose pixels lie in `image` where `matrix` says; the edge is repeated."""
    flags = method | cv2.WARP_INVERSE_MAP
    return cast("_Array", cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _box_round(corners: NDArray[np.float64], pose: Pose) -> tuple[int, int, int, int]:
    """Return the box round some places of the camera image, inside that image and not empty."""
    most = round(2 * pose.middle_x), round(2 * pose.middle_y)
    left, top = (int(np.clip(np.floor(corners[:, k].min() + 1e-6), 0, most[k] - 1)) for k in (0, 1))
    right, bottom = (int(np.clip(np.ceil(corners[:, k].max() - 1e-6), 1, most[k])) for k in (0, 1))
    return left, top, max(1, right - left), max(1, bottom - top)
