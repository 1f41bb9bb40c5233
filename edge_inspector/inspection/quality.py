"""Is this an image that one may judge? Light, sharpness, place, and whether it shows this part at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.model import ModelInput, Reason
from edge_inspector.inspection.preprocess import as_grey
from edge_inspector.inspection.recipe import QualityLimits

Miniature: TypeAlias = NDArray[np.uint8]
"""uint8 (16, 16): what is left of an image when only its coarse look counts."""
Spectrum: TypeAlias = NDArray[np.float32]
"""float32 (64, 64, 2): real and imaginary part."""

MINIATURE_SIDE = 16
_SATURATED = 250
_SIDE = 64
_LEAST_SPREAD = 2.0
"""Grey values of standard deviation below which a miniature is no more like a part than an empty table is."""
_WINDOW = cv2.createHanningWindow((_SIDE, _SIDE), cv2.CV_32F)


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of an image. Nothing here says whether the part is good."""

    brightness: float
    """Mean grey value, 0 to 255."""
    contrast: float
    """Standard deviation of the grey values."""
    saturated: float
    """Share of pixels that are white or nearly so."""
    focus: float
    """Standard deviation of the Laplacian in units of the contrast: the light's strength does not count."""
    offset_x: float
    """By how much the part lies further right than in the reference, in shares of the image's width."""
    offset_y: float
    """Further down, in shares of the height."""
    unlikeness: float
    """1 - correlation with the most similar good image: 0 is equal, 1 has nothing in common."""

    def numbers(self) -> tuple[tuple[str, float], ...]:
        """Return what is published, by name."""
        return tuple((name, round(float(getattr(self, name)), 4)) for name in self.__slots__)

    @property
    def offset(self) -> float:
        """The larger of both offsets, in shares of the image's side."""
        return max(abs(self.offset_x), abs(self.offset_y))


@dataclass(frozen=True, slots=True)
class Gate:
    """Measures an image beside the good ones, and names what makes it one that cannot be judged."""

    limits: QualityLimits
    reference: Spectrum = field(repr=False)
    good: NDArray[np.float32] = field(repr=False)
    """Unit vectors of good miniatures, float32 (count, 256)."""

    def measure(self, seen: NDArray[np.uint8], model_input: ModelInput) -> Quality:
        """Return the quality of an image.

        Args:
            seen: as the camera gave it, at the detector's size, uint8 grey or blue-green-red.
            model_input: what the detector looks at.
        """
        grey = as_grey(seen)
        mean, spread = cv2.meanStdDev(grey)
        contrast = float(spread[0, 0])
        edges = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0])
        x, y = offset_between(spectrum_of(model_input), self.reference)
        alike = self.good @ direction_of(miniature_of(model_input))
        return Quality(
            brightness=float(mean[0, 0]),
            contrast=contrast,
            saturated=float(np.count_nonzero(grey >= _SATURATED) / grey.size),
            focus=edges / max(contrast, 1.0),
            offset_x=x,
            offset_y=y,
            unlikeness=1 - float(alike.max()),
        )

    def refuse(self, quality: Quality) -> tuple[Reason, str] | None:
        """Return why the image cannot be judged, the likeliest cause first, with every number; None when it can."""
        found = tuple(_excesses(quality, self.limits))
        return (found[0][0], "; ".join(words for _, words in found)) if found else None


def _excesses(quality: Quality, limits: QualityLimits) -> Iterator[tuple[Reason, str]]:
    """Yield what is beyond its limit: light before sharpness before what is in the image, as one causes the next."""
    if limits.dark is not None and quality.brightness < limits.dark:
        yield Reason.DARK, f"brightness {quality.brightness:.0f}, at least {limits.dark:.0f} is usual"
    if limits.saturated is not None and quality.saturated > limits.saturated:
        yield Reason.SATURATED, f"{quality.saturated:.0%} of it is white, at most {limits.saturated:.0%} is usual"
    if limits.low_contrast is not None and quality.contrast < limits.low_contrast:
        yield Reason.LOW_CONTRAST, f"contrast {quality.contrast:.1f}, at least {limits.low_contrast:.1f} is usual"
    if limits.blurred is not None and quality.focus < limits.blurred:
        yield Reason.BLURRED, f"sharpness {quality.focus:.3f}, at least {limits.blurred:.3f} is usual"
    if limits.wrong_part is not None and quality.unlikeness > limits.wrong_part:
        yield (
            Reason.WRONG_PART,
            f"unlike every good image by {quality.unlikeness:.2f}, at most {limits.wrong_part:.2f} is usual",
        )
    if limits.moved is not None and quality.offset > limits.moved:
        yield (
            Reason.MOVED,
            f"moved by {quality.offset_x:+.1%} right and {quality.offset_y:+.1%} down, usual is {limits.moved:.1%}",
        )


def make_gate(limits: QualityLimits, reference: ModelInput, good: Sequence[Miniature]) -> Gate:
    """Return the gate of a part.

    Args:
        limits: what is beyond them cannot be judged.
        reference: the image that a part's place is measured against, as the detector sees it.
        good: miniatures of good images, at least one.
    """
    return Gate(limits, spectrum_of(reference), np.stack([direction_of(miniature) for miniature in good]))


def miniature_of(model_input: ModelInput) -> Miniature:
    """Return the coarse look of a detector's image."""
    size = MINIATURE_SIDE, MINIATURE_SIDE
    return cast("Miniature", cv2.resize(_grey_of(model_input), size, interpolation=cv2.INTER_AREA))


def direction_of(miniature: Miniature) -> NDArray[np.float32]:
    """Return a miniature without its brightness and contrast, float32 (256), of length 1; a flat one is shorter."""
    values = miniature.astype(np.float32).ravel()
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), _LEAST_SPREAD * MINIATURE_SIDE)


def spectrum_of(model_input: ModelInput) -> Spectrum:
    """Return the spectrum of a detector's image at 64 x 64."""
    small = cv2.resize(_grey_of(model_input), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return cast("Spectrum", cv2.dft((small - small.mean()) * _WINDOW, flags=cv2.DFT_COMPLEX_OUTPUT))


def offset_between(spectrum: Spectrum, reference: Spectrum) -> tuple[float, float]:
    """Return by how much an image is moved to the right and down, in shares of its sides, to 1/64 of them.

    Phase correlation (Kuglin and Hines 1975), its peak widened a little: parts are not exactly alike.
    """
    cross = cv2.mulSpectrums(spectrum, reference, 0, conjB=True)
    phases = cross / (np.sqrt((cross * cross).sum(-1, keepdims=True)) + np.float32(1e-6))
    peaks = cv2.dft(phases, flags=cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE)
    centred = np.roll(peaks, (_SIDE // 2, _SIDE // 2), (0, 1))
    _, _, _, (x, y) = cv2.minMaxLoc(cv2.GaussianBlur(centred, (7, 7), 1.0))
    return (x - _SIDE // 2) / _SIDE, (y - _SIDE // 2) / _SIDE


def _grey_of(model_input: ModelInput) -> NDArray[np.uint8]:
    if model_input.shape[2] == 1:
        return model_input[..., 0]
    return cast("NDArray[np.uint8]", cv2.cvtColor(model_input, cv2.COLOR_RGB2GRAY))
