"""One arrival in, one judgement out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.align import Aligner
from edge_inspector.inspection.decide import decide
from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.model import NO_PARTS, AnomalyMap, Image, Judgement, ModelInput, Parts, Reason, Verdict
from edge_inspector.inspection.placement import Placement
from edge_inspector.inspection.preprocess import IgnoreMask, as_image, as_model_input, cut, place
from edge_inspector.inspection.quality import Gate, Quality
from edge_inspector.inspection.recipe import Recipe, Window
from edge_inspector.inspection.units import as_judged, blobs_of, least_usual, level_of

Features: TypeAlias = NDArray[np.float32]
"""What a network gives: a reconstruction (1, channels, height, width) or features."""


class Detector(Protocol):
    """Two graphs: what the network makes of an image, and how unusual the image is beside it."""

    def network(self, model_input: ModelInput) -> Features:
        """Return the reconstruction or the features of uint8 (height, width, channels)."""
        ...

    def residual(self, model_input: ModelInput, features: Features) -> AnomalyMap:
        """Return the anomaly map, float32 (height, width)."""
        ...


@runtime_checkable
class JoinedDetector(Detector, Protocol):
    """A detector whose map joins several scores, and that says what each gave."""

    def residual_in_parts(self, model_input: ModelInput, features: Features) -> tuple[AnomalyMap, Parts]:
        """Return the anomaly map, float32 (height, width), and its parts."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a judgement was made from."""

    image: Image = field(repr=False)
    model_input: ModelInput = field(repr=False)
    features: Features = field(repr=False)
    amap: AnomalyMap = field(repr=False)
    placement: Placement
    window: Window | None = None
    """Of the recipe: what a 16-bit image is shown by."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A judgement with its evidence (none where there was no image to judge) and its times."""

    judgement: Judgement
    evidence: Evidence | None
    timing_ms: tuple[tuple[str, float], ...]


class Inspector:
    """Judges images of one part. The clock is given, in nanoseconds, and only measures."""

    def __init__(
        self,
        recipe: Recipe,
        detector: Detector,
        ignore: IgnoreMask | None,
        clock_ns: Callable[[], int],
        gate: Gate | None = None,
        aligner: Aligner | None = None,
    ) -> None:
        self.recipe = recipe
        self.detector = detector
        self._ignore = ignore
        self._clock_ns = clock_ns
        self._gate = gate
        self._aligner = aligner

    def inspect(self, image: bytes | Image) -> Inspection:
        """Judge one image. An image that cannot be judged is INVALID, never an exception."""
        recipe, watch = self.recipe, _Watch(self._clock_ns)
        try:
            pixels = as_image(image, recipe.channels)
            watch.lap("decode")
            placement = place(pixels, recipe, self._aligner)
            if self._aligner is not None:
                watch.lap("align")
            seen = cut(pixels, placement, recipe)
            model_input = as_model_input(seen, recipe)
            watch.lap("resize")
        except UnreadableImageError as error:
            return Inspection(Judgement(error.reason, error.detail), None, watch.laps)
        quality = None
        if self._gate is not None:
            quality = self._gate.measure(seen, model_input)
            watch.lap("quality")
        features = self.detector.network(model_input)
        watch.lap("network")
        found, parts = _residual(self.detector, model_input, features)
        amap = as_judged(found, recipe, self._ignore)
        watch.lap("residual")
        judgement = self._held_back(_with_pose(judge(amap, recipe, placement, parts), placement), quality)
        watch.lap("decide")
        evidence = Evidence(pixels, model_input, features, amap, placement, recipe.window)
        return Inspection(judgement, evidence, watch.laps)

    def _held_back(self, judgement: Judgement, quality: Quality | None) -> Judgement:
        """Return INVALID where the image may not be judged; score and blobs stay, so that no defect is hidden."""
        if self._gate is None or quality is None:
            return judgement
        measured = replace(judgement, quality=(*quality.numbers(), *judgement.quality))
        refusal = self._gate.refuse(quality)
        if refusal is None or judgement.verdict is Verdict.ERROR:
            return measured
        reason, detail = refusal
        return replace(measured, reason=reason, detail=f"{detail} (else: {judgement.detail})")


def _residual(detector: Detector, model_input: ModelInput, features: Features) -> tuple[AnomalyMap, Parts]:
    if isinstance(detector, JoinedDetector):
        return detector.residual_in_parts(model_input, features)
    return detector.residual(model_input, features), NO_PARTS


def judge(amap: AnomalyMap, recipe: Recipe, placement: Placement, parts: Parts = NO_PARTS) -> Judgement:
    """Return the judgement of one anomaly map, as `as_judged` gives it.

    Where the image as a whole passes a limit alone, every place of the map does: a box is drawn only round what would
    pass it without the whole.
    """
    whole = parts.whole / least_usual(recipe)
    if not (np.isfinite(amap).all() and math.isfinite(whole)):
        return Judgement(Reason.NOT_FINITE, "the anomaly map is not finite")
    level, lowest = level_of(amap, recipe), recipe.decision.lowest
    local = amap if whole < lowest else amap - np.float32(whole)
    blobs = blobs_of(local, recipe, placement) if level >= lowest else ()
    judgement = decide(level, blobs, recipe.decision, recipe.smallest_blob, whole)
    return replace(judgement, shares=_shares(level, whole, parts, recipe.decision.threshold))


def _shares(level: float, whole: float, parts: Parts, threshold: float) -> tuple[tuple[str, float], ...]:
    if not parts.maps:
        return ()
    local = max(0.0, level - whole)
    maps = ((name, share * local / threshold) for name, share in parts.maps)
    return (("whole_image", (level - local) / threshold), *maps)


def _with_pose(judgement: Judgement, placement: Placement) -> Judgement:
    return judgement if placement.pose is None else replace(judgement, quality=placement.pose.numbers())


class _Watch:
    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._last = clock_ns()
        self._laps: list[tuple[str, float]] = []

    def lap(self, name: str) -> None:
        now = self._clock_ns()
        self._laps.append((name, (now - self._last) / 1e6))
        self._last = now

    @property
    def laps(self) -> tuple[tuple[str, float], ...]:
        return tuple(self._laps)
