"""Learn from good images which ones cannot be judged, with room enough that good parts hardly ever are refused."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.bundle import GOOD
from edge_inspector.inspection.align import Aligner
from edge_inspector.inspection.preprocess import shrink
from edge_inspector.inspection.quality import Gate, Miniature, Quality, make_gate, miniature_of
from edge_inspector.inspection.recipe import QualityLimits, Recipe, TypicalQuality
from edge_inspector.lab.data.dataset import GoodImage, read_image
from edge_inspector.lab.training.trained_model import TrainedModel

Images: TypeAlias = NDArray[np.uint8]
"""uint8 (count, height, width, channels)."""

_REMEMBERED = 128
"""Good images that a new one is held against."""
_DARK, _LOW_CONTRAST, _BLURRED = 1.5, 2.0, 2.0
"""A limit lies at least by this factor below the worst tune image ..."""
_SATURATED, _MOVED, _WRONG_PART = 0.25, 0.05, 0.5
"""... or by this much above it; wrong_part is never below its figure."""
_ROOM = 3
"""And at least so many times as far from the worst tune image as that is from the middle one."""
_MOST_SATURATED, _MOST_MOVED, _MOST_UNLIKE = 1.0, 0.25, 1.0
"""A limit beyond this says nothing: good parts differ too much, and the check is left out."""


def with_limits(model: TrainedModel, tune: Sequence[GoodImage], fit: Images, prepared: Images) -> TrainedModel:
    """Return a trained part with the limits of its images' quality, and with what they are measured against.

    Args:
        model: trained; its contents hold the reference image.
        tune: good images that the limits are learned from.
        fit: other good images, the ones to be similar to, uint8 (count, height, width, channels).
        prepared: the tune images as the detector sees them, uint8, the same order.
    """
    miniatures = remembered(fit)
    reference = np.median(prepared, axis=0).astype(np.uint8)
    gate = make_gate(QualityLimits(), reference, miniatures)
    qualities = measured(gate, model.recipe, tune, prepared, model.aligner)
    limits = learn_limits(qualities)
    typical = TypicalQuality(
        brightness=tuple(round(quality.brightness, 4) for quality in qualities),
        focus=tuple(round(quality.focus, 4) for quality in qualities),
        offset=tuple(round(quality.offset, 4) for quality in qualities),
    )
    good = bytes(cv2.imencode(".png", np.concatenate(miniatures))[1])
    return replace(
        model,
        recipe=model.recipe.model_copy(update={"quality": limits, "typical": typical}),
        contents={**model.contents, GOOD: good},
        gate=replace(gate, limits=limits),
    )


def remembered(fit: Images) -> tuple[Miniature, ...]:
    """Return the miniatures that a new image is held against, evenly chosen."""
    chosen = np.unique(np.linspace(0, len(fit) - 1, min(len(fit), _REMEMBERED)).round().astype(int))
    return tuple(miniature_of(fit[place]) for place in chosen)


def measured(
    gate: Gate,
    recipe: Recipe,
    model_inputs: Sequence[GoodImage],
    prepared: Images,
    aligner: Aligner | None = None,
) -> tuple[Quality, ...]:
    """Return the quality of each image."""
    seen = (shrink(read_image(model_input.path, recipe.channels), recipe, aligner)[0] for model_input in model_inputs)
    return tuple(gate.measure(image, model_input) for image, model_input in zip(seen, prepared, strict=True))


def learn_limits(qualities: Sequence[Quality]) -> QualityLimits:
    """Return limits that the given good images keep with room to spare.

    The room is at least a fixed one, and at least three times what lies between the middle image and the worst, as a
    factor where less is worse: the next hundred thousand parts differ more than these few. A check that needs more
    room than it has (parts that never lie at the same place, for instance) is left out.
    """

    def column(name: str) -> NDArray[np.float64]:
        return np.array([getattr(quality, name) for quality in qualities], np.float64)

    return QualityLimits(
        dark=_least(column("brightness"), _DARK),
        low_contrast=_least(column("contrast"), _LOW_CONTRAST),
        blurred=_least(column("focus"), _BLURRED),
        saturated=_below(_MOST_SATURATED, _most(column("saturated"), _SATURATED)),
        moved=_below(_MOST_MOVED, _most(column("offset"), _MOVED)),
        wrong_part=_below(_MOST_UNLIKE, max(_WRONG_PART, _most(column("unlikeness"), 0.0))),
    )


def _least(values: NDArray[np.float64], factor: float) -> float:
    worst = max(float(values.min()), 1e-6)
    return worst / max(factor, (float(np.median(values)) / worst) ** _ROOM)


def _most(values: NDArray[np.float64], room: float) -> float:
    worst = float(values.max())
    return worst + max(room, _ROOM * (worst - float(np.median(values))))


def _below(most: float, limit: float) -> float | None:
    return limit if limit < most else None
