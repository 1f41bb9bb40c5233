"""Find the part in an image: how far it is shifted and rotated beside the reference image.

The reference's patch is searched for in the image, made small and rotated back step by step (normalised correlation,
Lewis 1995); the best places are refined by the enhanced correlation coefficient (Evangelidis and Psarakis 2008).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.model import Reason
from edge_inspector.inspection.placement import Placement, Pose, between_pixels, rotation
from edge_inspector.inspection.recipe import Align, Recipe, Region
from edge_inspector.inspection.search import (
    STEP,
    Grey,
    Guess,
    Rotation,
    Scale,
    look,
    make_rotation,
    make_scale,
    resized,
    steps_to,
    warped,
)
from edge_inspector.inspection.silhouette import long_axis

_FINE_SIDE, _FINE_PATCH = 192, 64
"""Pixels of the longer side, of the image and of what is looked for: whichever needs the larger image."""
_COARSE_SIDE, _COARSE_PATCH = 64, 24
_SMALL_TURN = 45.0
"""Beyond it the silhouette says which rotations to try first: trying all of them takes longer."""
_REFINED = 2
"""Places that are refined."""
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 1e-3)
_BLUR = 3
_MARGIN = 0.06
"""Round what is refined, a share of its longer side."""
_FLAT = 2.0
"""Standard deviation of the grey values below which there is nothing to find a part by."""
_OVERHANG = 1.0
"""Camera pixels by which the region may lie outside the image."""


@dataclass(frozen=True, slots=True)
class Aligner:
    """Finds one part in images of one camera."""

    align: Align
    region: Region
    """That must be in the image, in camera pixels of the reference."""
    camera_width: int
    camera_height: int
    axis: float | None
    """Of the reference's silhouette, degrees."""
    coarse: Scale = field(repr=False)
    fine: Scale = field(repr=False)
    turns: tuple[Rotation, ...] = field(repr=False)
    """All that are tried where no silhouette speaks for some."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the images that `find` takes."""
        return self.fine.width, self.fine.height

    def find(self, image: Grey) -> Pose:
        """Return how the part lies.

        Args:
            image: the whole camera image, grey, shrunk to `size`.

        Raises:
            UnreadableImageError: NOT_ALIGNED: the part is nowhere, or a piece of the region is outside the image.
        """
        contrast = float(cv2.meanStdDev(image)[1][0, 0])
        if contrast < _FLAT:
            raise _refusal(f"the image is flat (contrast {contrast:.1f}): there is nothing to find the part by")
        align, best = self.align, None
        for turns in self._rounds(image):
            found = self._best(image, turns)
            best = found if best is None or (found and found.correlation > best.correlation) else best
            if best is not None and best.correlation >= (1 + align.least) / 2:
                break  # sure enough: a part that is damaged may have another silhouette than it should
        if best is None or best.correlation < align.least:
            closest = "nothing is like it" if best is None else f"the best place has correlation {best.correlation:.2f}"
            raise _refusal(f"the part is nowhere in the image: {closest}, at least {align.least:.2f} is needed")
        self._refuse_overhang(best)
        return best

    def _rounds(self, image: Grey) -> Iterator[Sequence[Rotation]]:
        """Yield the rotations to try: near those that the silhouette speaks for, then all."""
        most = self.align.max_rotation
        axis = long_axis(image) if most > _SMALL_TURN and self.axis is not None else None
        if axis is not None and self.axis is not None:
            ends = (axis - self.axis, axis - self.axis + 180)  # a silhouette does not tell head from feet
            turns = ((end + step + 180) % 360 - 180 for end in ends for step in (-STEP, 0.0, STEP))
            yield [make_rotation(self.coarse, turn) for turn in turns if abs(turn) <= most]
        yield self.turns

    def _best(self, image: Grey, turns: Sequence[Rotation]) -> Pose | None:
        """Return the best refined place of the most promising ones."""
        small = self.coarse.shrink(image)
        guesses = [guess for guess in (look(small, self.coarse, turn) for turn in turns) if guess is not None]
        guesses.sort(key=lambda guess: -guess.correlation)
        poses = [pose for pose in (self._refined(image, guess) for guess in guesses[:_REFINED]) if pose is not None]
        return max(poses, key=lambda pose: pose.correlation, default=None)

    def _refined(self, image: Grey, guess: Guess) -> Pose | None:
        """Return the place near a guess where image and patch agree best; None where there is none."""
        fine, margin = self.fine, max(4, round(_MARGIN * max(self.fine.patch.shape)))
        corner, size = np.array([fine.x, fine.y]), 2 * fine.middle
        turn, shift = rotation(guess.turn), guess.shift * size
        # What is near the guess is rotated upright first: OpenCV's method knows no rotation beyond 90 degrees.
        start = np.c_[turn, turn @ (corner - margin - fine.middle) + fine.middle + shift]
        near = warped(
            image, between_pixels(start), (fine.patch.shape[1] + 2 * margin, fine.patch.shape[0] + 2 * margin)
        )
        motion = cv2.MOTION_EUCLIDEAN if self.align.max_rotation else cv2.MOTION_TRANSLATION
        found = np.array([[1, 0, margin], [0, 1, margin]], np.float32)
        try:
            correlation, found = cv2.findTransformECC(fine.patch, near, found, motion, _CRITERIA, None, _BLUR)
        except cv2.error:
            return None  # OpenCV's word for: it does not converge, or nothing overlaps
        rest = float(np.rad2deg(np.arctan2(found[1, 0], found[0, 0])))
        angle = (guess.turn + rest + 180) % 360 - 180
        if not np.isfinite([*found.ravel(), correlation]).all() or abs(rest) > 2 * STEP:
            return None
        if abs(angle) > self.align.max_rotation + STEP:
            return None
        place = turn @ (found[:, 2] + 0.5 - found[:, :2] @ [0.5, 0.5]) + start[:, 2]  # of the patch's corner
        moved = place - rotation(angle) @ (corner - fine.middle) - fine.middle
        shifted = moved / size * [self.camera_width, self.camera_height]
        middle = self.camera_width / 2, self.camera_height / 2
        return Pose(angle, float(shifted[0]), float(shifted[1]), *middle, float(correlation))

    def _refuse_overhang(self, pose: Pose) -> None:
        region = self.region
        corners = Placement(region.x, region.y, region.width, region.height, 1, 1, pose).outline()
        outside = max(-corners.min(), *(corners.max(0) - [self.camera_width, self.camera_height]))
        if outside > _OVERHANG:
            raise _refusal(f"the part is too near the image's edge: {pose}; {outside:.0f} px of it are outside")


def make_aligner(recipe: Recipe, reference: Grey) -> Aligner:
    """Return what finds the part of a recipe.

    Args:
        recipe: asks for an alignment.
        reference: the whole reference image, grey, of `reference_size`.

    Raises:
        ValueError: no alignment is asked for, a reference of another size, or a flat one.
    """
    align, region = recipe.align, recipe.region
    if align is None or region is None:
        raise ValueError("the recipe asks for no alignment")
    if reference.shape[1::-1] != reference_size(recipe):
        raise ValueError(f"expected a reference of {reference_size(recipe)}, got {reference.shape[1::-1]}")
    box = align.template or region
    camera = recipe.camera_width, recipe.camera_height
    fine = make_scale(reference, box, camera)
    coarse = make_scale(resized(reference, _size(recipe, box, _COARSE_SIDE, _COARSE_PATCH)), box, camera)
    contrast = float(cv2.meanStdDev(fine.patch)[1][0, 0])
    if contrast < _FLAT:
        raise ValueError(f"there is nothing to find the part by: the reference is flat there (contrast {contrast:.1f})")
    return Aligner(
        align=align,
        region=region,
        camera_width=recipe.camera_width,
        camera_height=recipe.camera_height,
        axis=long_axis(reference),
        coarse=coarse,
        fine=fine,
        turns=tuple(make_rotation(coarse, degrees) for degrees in steps_to(align.max_rotation)),
    )


def reference_size(recipe: Recipe) -> tuple[int, int]:
    """Return width and height at which the reference is kept, and an image is looked at to find the part."""
    box = (recipe.align and recipe.align.template) or recipe.region
    if box is None:
        raise ValueError("the recipe asks for no alignment")
    return _size(recipe, box, _FINE_SIDE, _FINE_PATCH)


def _size(recipe: Recipe, box: Region, side: int, patch: int) -> tuple[int, int]:
    width, height = recipe.camera_width, recipe.camera_height
    share = min(1.0, max(side / max(width, height), patch / max(box.width, box.height)))
    return max(1, round(width * share)), max(1, round(height * share))


def _refusal(words: str) -> UnreadableImageError:
    return UnreadableImageError(Reason.NOT_ALIGNED, words)
