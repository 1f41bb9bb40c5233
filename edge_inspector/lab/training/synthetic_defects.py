"""Draw synthetic defects into good images: the only defects that a station has before its first bad part.

Those that choose a detector are of other kinds than those that judge it: else the card would flatter.

Each planter takes an image, float32 (height, width, channels) in 0..255, and gives it back with a defect; where the
two differ is the mask. Sizes are a share of the shorter side, contrasts grey values.
Sources of the ideas: CutPaste (Li et al. 2021), Perlin patches of DRAEM (Zavrtanik et al. 2021).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Canvas: TypeAlias = NDArray[np.float32]
DrawDefect: TypeAlias = Callable[[Canvas, float, float, np.random.Generator], Canvas]

_TRIED = 24
"""Places among which a component and a bare place are looked for."""
_VISIBLE = 8.0
"""Grey values by which a pixel must change to count as defective."""


@dataclass(frozen=True, slots=True)
class SyntheticDefect:
    """An image with a defect whose place is known."""

    kind: str
    size: float
    """Share of the shorter side."""
    contrast: float
    """Grey values."""
    image: NDArray[np.uint8]
    """uint8 (height, width, channels)."""
    mask: NDArray[np.bool_]
    """bool (height, width), True on the defect."""


def draw_defect(
    image: NDArray[np.uint8], kind: str, size: float, contrast: float, rng: np.random.Generator
) -> SyntheticDefect:
    """Return `image` with one defect of `kind`.

    Tries ten places; where the defect can hardly be seen in all of them (white on white) the last one stands.

    Raises:
        KeyError: no such kind; see `DEFECT_KINDS`.
    """
    draw = DEFECT_KINDS[kind]
    before = image.astype(np.float32)
    after, mask = before, np.zeros(image.shape[:2], np.bool_)
    for _ in range(10):
        after = np.clip(draw(before.copy(), size, contrast, rng), 0, 255)
        mask = np.abs(after - before).max(-1) >= _VISIBLE
        if mask.sum() >= 4:
            break
    return SyntheticDefect(kind, size, contrast, np.rint(after).astype(np.uint8), mask)


def _scratch(canvas: Canvas, size: float, contrast: float, rng: np.random.Generator) -> Canvas:
    """Draw a thin curved line, darker or brighter than what is under it."""
    height, width, _ = canvas.shape
    length = 2.5 * size * min(height, width)
    start = rng.uniform((0.15 * width, 0.15 * height), (0.85 * width, 0.85 * height))
    angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.8, 0.8)
    along = np.linspace(0, 1, 24)
    angles = angle + bend * along
    points = start + np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * length / 24, 0)
    stroke = np.zeros((height, width), np.float32)
    thickness = max(1, round(0.012 * min(height, width)))
    cv2.polylines(stroke, [np.int32(points * 16)], False, 1.0, thickness, cv2.LINE_AA, 4)
    return _added(canvas, _sign(rng) * contrast * stroke)


def _stain(canvas: Canvas, size: float, contrast: float, rng: np.random.Generator) -> Canvas:
    """Darken or lighten a soft-edged ellipse."""
    weight = _ellipse(canvas, size, rng)
    weight = cv2.GaussianBlur(weight, (0, 0), max(0.8, 0.1 * size * min(canvas.shape[:2])))
    return _added(canvas, _sign(rng) * contrast * weight)


def _dent(canvas: Canvas, size: float, contrast: float, rng: np.random.Generator) -> Canvas:
    """Shade one flank of a hollow and light the other."""
    weight = cv2.GaussianBlur(_ellipse(canvas, size, rng), (0, 0), max(1.0, 0.2 * size * min(canvas.shape[:2])))
    slope_x, slope_y = (cv2.Sobel(weight, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    angle = rng.uniform(0, 2 * np.pi)
    shade = slope_x * np.cos(angle) + slope_y * np.sin(angle)
    return _added(canvas, 2 * contrast * shade / max(float(np.abs(shade).max()), 1e-6))


def _cut_paste(canvas: Canvas, size: float, contrast: float, rng: np.random.Generator) -> Canvas:
    """Lay a piece of the image, rotated, where it does not belong."""
    height, width, channels = canvas.shape
    side = max(4, round(1.2 * size * min(height, width)))
    from_y, to_y = rng.integers(0, height - side, 2)
    from_x, to_x = rng.integers(0, width - side, 2)
    piece = np.rot90(canvas[from_y : from_y + side, from_x : from_x + side], int(rng.integers(1, 4)))
    weight = cv2.resize(_ellipse(np.empty((side, side, 1), np.float32), 0.9, rng, centred=True), (side, side))[
        ..., None
    ]
    shift = _sign(rng) * contrast / 3
    target = canvas[to_y : to_y + side, to_x : to_x + side]
    canvas[to_y : to_y + side, to_x : to_x + side] = (
        target * (1 - weight) + (piece.reshape(side, side, channels) + shift) * weight
    )
    return canvas


def _perlin(canvas: Canvas, size: float, contrast: float, rng: np.random.Generator) -> Canvas:
    """Change an irregular patch by smooth noise."""
    height, width, _ = canvas.shape
    weight = _ellipse(canvas, 1.6 * size, rng)
    coarse = rng.standard_normal((max(2, round(2 / size)), max(2, round(2 / size * width / height)))).astype(np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    weight = cv2.GaussianBlur(weight * (noise > 0), (0, 0), 1.0)
    return _added(canvas, _sign(rng) * contrast * weight)


def _twice(canvas: Canvas, size: float, _contrast: float, rng: np.random.Generator) -> Canvas:
    """Lay the most structured of some places, a component where there are any, over the barest."""
    component, *_, bare = _places(canvas, size, rng)
    return _laid(canvas, canvas[component].copy(), bare)


def _missing(canvas: Canvas, size: float, _contrast: float, rng: np.random.Generator) -> Canvas:
    """Lay the barest of some places over the most structured."""
    component, *_, bare = _places(canvas, size, rng)
    return _laid(canvas, canvas[bare].copy(), component)


def _swapped(canvas: Canvas, size: float, _contrast: float, rng: np.random.Generator) -> Canvas:
    """Exchange the two most structured of some places."""
    first, *others = _places(canvas, size, rng)
    second = next((one for one in others if _are_apart(one, first)), others[0])
    pieces = canvas[first].copy(), canvas[second].copy()
    return _laid(_laid(canvas, pieces[1], first), pieces[0], second)


def _are_apart(one: tuple[slice, slice], other: tuple[slice, slice]) -> bool:
    return any(abs(a.start - b.start) >= a.stop - a.start for a, b in zip(one, other, strict=True))


def _places(canvas: Canvas, size: float, rng: np.random.Generator) -> list[tuple[slice, slice]]:
    """Return some square places, the most structured first."""
    height, width, _ = canvas.shape
    side = max(4, round(1.5 * size * min(height, width)))
    corners = zip(rng.integers(0, height - side + 1, _TRIED), rng.integers(0, width - side + 1, _TRIED), strict=True)
    places = [(slice(int(y), int(y) + side), slice(int(x), int(x) + side)) for y, x in corners]
    return sorted(places, key=lambda place: -float(canvas[place].std(axis=(0, 1)).max()))


def _laid(canvas: Canvas, piece: Canvas, place: tuple[slice, slice]) -> Canvas:
    """Return the canvas with a piece at a place, its edge soft."""
    side = piece.shape[0]
    weight = np.zeros((side + 2, side + 2), np.float32)
    weight[1:-1, 1:-1] = 1
    weight = cv2.GaussianBlur(weight, (3, 3), 0)[1:-1, 1:-1, None]
    canvas[place] = canvas[place] * (1 - weight) + piece * weight
    return canvas


def _ellipse(canvas: Canvas, size: float, rng: np.random.Generator, *, centred: bool = False) -> NDArray[np.float32]:
    height, width = canvas.shape[:2]
    weight = np.zeros((height, width), np.float32)
    low, high = (0.5, 0.5) if centred else (0.12, 0.88)
    centre = rng.uniform(low, high) * width, rng.uniform(low, high) * height
    axes = 0.5 * size * min(height, width) * rng.uniform(0.6, 1.0, 2)
    cv2.ellipse(weight, (centre, tuple(2 * np.maximum(axes, 1)), rng.uniform(0, 180)), 1.0, -1, cv2.LINE_AA)
    return weight


def _added(canvas: Canvas, change: NDArray[np.float32]) -> Canvas:
    return np.asarray(canvas + change[..., None], np.float32)


def _sign(rng: np.random.Generator) -> float:
    return -1.0 if rng.random() < 0.5 else 1.0


CHOOSING: dict[str, DrawDefect] = {"cut-paste": _cut_paste, "perlin": _perlin}
"""By these, weights, epochs and detectors are chosen."""
SURFACE: dict[str, DrawDefect] = {"scratch": _scratch, "stain": _stain, "dent": _dent}
"""By these the card says whether a detector is fit: nothing was chosen by them."""
COMPONENT: dict[str, DrawDefect] = {"twice": _twice, "missing": _missing, "swapped": _swapped}
"""What the card says of components; of no contrast, and of no meaning where a part has no components."""
DEFECT_KINDS = CHOOSING | SURFACE | COMPONENT
