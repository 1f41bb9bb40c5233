"""Is a part there? One image of each: when it lies still in the middle, or else when it was nearest to it."""

from collections import deque
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.model import Image

Grey: TypeAlias = NDArray[np.float32]
"""The region, small: float32 (height, width), 0 to 255."""

_SIDE = 96
"""The region's longer side is looked at in so many pixels; more only shows the camera's noise."""
_LEARNS = 0.05
"""Share of a new frame in the background, where it does not differ: daylight changes slowly."""
_STILL = 0.004
"""Of the region's sides; the middle of a part that lies still wanders less than this, for the camera's noise."""
_STILL_FRAMES = 4
_CENTRED = 0.1
"""Of the region's width and height; a part's middle is no further from the region's."""
_AWAY = 0.05
"""A part whose middle is so much further than it was is leaving; less is noise."""
_BLIND_FRAMES = _STILL_FRAMES
"""In so many consecutive damaged frames a part may have come and gone."""
_FORGET_FRAMES = 1500
"""A change that lies still for so many frames (a minute at 25 a second) is the new background."""


class Presence:
    """Looks at frame after frame; belongs to one thread. The region must be empty in the first one.

    A part enters when `share` of the region differs from the background, and has left when less than half of that
    does. Two parts that touch are one: there must be a gap between them.
    """

    def __init__(self, region: tuple[int, int, int, int] | None, share: float, change: float) -> None:
        self._region = region
        self._share = share
        self._change = change
        self._background: Grey | None = None
        self._middles: deque[tuple[float, float]] = deque(maxlen=_STILL_FRAMES)
        self._still = 0
        self._present = False
        self._taken = False
        self._best: tuple[float, Image] | None = None
        self._missed = 0

    def miss(self) -> bool:
        """Take in that the next frame is damaged; say, once for each row of them, that a part may have been missed."""
        self._missed += 1
        return self._missed == _BLIND_FRAMES

    def see(self, image: Image) -> Image | None:
        """Take the next frame in; return the image of a part, exactly once for each."""
        self._missed = 0
        grey = _small(image, self._region)
        background = grey if self._background is None else self._background
        difference = grey - background
        differs = np.abs(difference) > self._change
        self._background = background + np.where(differs, np.float32(0), _LEARNS * difference)
        share = float(differs.mean())
        if share < (self._share / 2 if self._present else self._share):
            return self._leave()
        self._present = True
        middle = _middle(differs)
        self._middles.append(middle)
        self._still = self._still + 1 if _wander(self._middles) < _STILL else 0
        if self._still >= _FORGET_FRAMES:
            self._background = grey
        if self._taken:
            return None
        return self._consider(max(abs(middle[0] - 0.5), abs(middle[1] - 0.5)), image)

    def _consider(self, distance: float, image: Image) -> Image | None:
        """Return the image when it will get no better."""
        if self._best is None or distance <= self._best[0]:
            self._best = (distance, image)
        nearest, best = self._best
        if distance <= _CENTRED and self._still:
            self._taken = True
            return image
        if nearest <= _CENTRED and distance > nearest + _AWAY:
            self._taken = True
            return best
        return None

    def _leave(self) -> Image | None:
        """Begin again; a part that was never taken in the middle is shown as near to it as it came."""
        missed = None if self._taken or self._best is None else self._best[1]
        self._present = self._taken = False
        self._best = None
        self._middles.clear()
        self._still = 0
        return missed


def _small(image: Image, region: tuple[int, int, int, int] | None) -> Grey:
    """Return the region, which must lie in the image, as a small grey image."""
    x, y, width, height = region or (0, 0, image.shape[1], image.shape[0])
    part = image[y : y + height, x : x + width]
    scale = _SIDE / max(part.shape[:2])
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    small: Grey = cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    small = small if image.dtype == np.uint8 else small / np.float32(257)
    return small if small.ndim == 2 else np.asarray(small.mean(axis=2), np.float32)


def _middle(differs: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the middle of what differs, as shares of the region's sides."""
    ys, xs = np.nonzero(differs)
    height, width = differs.shape
    return (float(xs.mean()) + 0.5) / width, (float(ys.mean()) + 0.5) / height


def _wander(middles: "deque[tuple[float, float]]") -> float:
    """Return how far a part's middle has wandered in the last frames; far, as long as there are too few."""
    if len(middles) < _STILL_FRAMES:
        return 1.0
    xs, ys = zip(*middles, strict=True)
    return float(max(max(xs) - min(xs), max(ys) - min(ys)))
