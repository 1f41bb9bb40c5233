"""Set the threshold: from good images that nothing else has used, for a stated rate at a stated confidence."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from edge_inspector.bundle import (
    AreaPair,
    Bound,
    Bundle,
    CalibrationCard,
    ExcludedImage,
    Manifest,
    Outlier,
    Provenance,
    ScoredImage,
    SyntheticDefectRate,
    write_bundle,
)
from edge_inspector.errors import DataError
from edge_inspector.inspection.preprocess import prepare
from edge_inspector.inspection.recipe import Decision
from edge_inspector.inspection.units import as_judged, level_of
from edge_inspector.lab.calibration.cross_calibration import estimate_limits
from edge_inspector.lab.calibration.outliers import rank_outliers
from edge_inspector.lab.calibration.threshold import Groups, Threshold, decide_limits, gather_groups
from edge_inspector.lab.data.dataset import GoodImage, Split, read_image
from edge_inspector.lab.training import synthetic_defects as defects
from edge_inspector.lab.training.golden import make_golden
from edge_inspector.lab.training.target import Target
from edge_inspector.lab.training.trained_model import TrainedModel

STATED_DEFECT = (0.08, 60.0)
"""Size (share of the shorter side) and contrast (grey values) of a defect that must be found half the time."""
_SYNTHETIC_SIZES = (0.04, 0.08, 0.16)
_SYNTHETIC_CONTRASTS = (20.0, 60.0)
_SYNTHETIC_EACH = 8
_OUTLIER = 1.5


@dataclass(frozen=True, slots=True)
class MinAreaChoice:
    """What NG images say of the minimum area."""

    pairs: tuple[AreaPair, ...]
    levels: tuple[float, ...]
    """Of the NG images, at the chosen minimum area."""
    digests: tuple[str, ...]


def calibrate(
    model: TrainedModel,
    sets: Split,
    *,
    target: Target,
    created: datetime,
    rng: np.random.Generator,
    out: Path,
    report: Callable[[str, float], None],
    excluded: Sequence[ExcludedImage] = (),
    choice: MinAreaChoice | None = None,
) -> Bundle:
    """Set the threshold on the calibrate set, state what synthetic defects it finds in the tune set, write the bundle.

    Args:
        model: what was trained.
        sets: `fit` and `tune` may be empty where their images are not at hand.
        target: the upper bounds on the false-reject rate.
        created: now.
        rng: for synthetic defects.
        out: a folder that does not exist.
        report: called with what is being done and its share.
        excluded: images that belong to the calibrate set and are not in it; each counts as an exceedance unless
            somebody marked it defective.
        choice: where NG images chose the minimum area.

    Raises:
        DataError: images that the detector was trained on, too few of them, or `out` exists.
        UsageError: a review rate that is not above the rate of NG.
    """
    good = sets.calibrate
    levels = _held_out(model, good, report) or _unseen(model, good, report)
    groups = gather_groups(levels, good, excluded)
    limits = _limits(groups, target, model)
    threshold, decision = limits.threshold, limits.decision
    recipe = model.recipe.model_copy(update={"decision": decision})
    valid = [(image, level) for image, level in zip(good, levels, strict=True) if level is not None]
    synthetic = _synthetic_rates(model, sets.tune or [image for image, _ in valid], decision.lowest, rng, report)
    card = CalibrationCard(
        id=hashlib.sha256(json.dumps([groups.levels, decision.threshold]).encode()).hexdigest()[:12],
        created=created,
        false_reject=limits.false_reject,
        confidence=target.confidence,
        provisional=target.false_reject is None and not limits.estimated,
        groups=groups.count,
        exceedances=threshold.exceedances,
        threshold=decision.threshold,
        levels=tuple(sorted(groups.levels, reverse=True)),
        digests=(*(image.digest for image in good), *(one.digest for one in excluded)),
        synthetic=synthetic,
        notes=_notes(groups, synthetic, decision.threshold, choice),
        unfit=_is_unfit(synthetic),
        bounds=limits.bounds,
        images=_scored(good, levels),
        excluded=tuple(excluded),
        outliers=(
            *rank_outliers("calibrate", good, levels, decision.threshold),
            *_known_outliers(model, sets, decision.threshold, report),
        ),
        area_pairs=choice.pairs if choice else (),
        ng_digests=choice.digests if choice else (),
        estimated=limits.estimated,
    )
    cases, golden_files = make_golden(model, recipe, [p for p, _ in valid], [level for _, level in valid], rng)
    manifest = Manifest(
        recipe=recipe,
        detector=model.detector_card,
        calibration=card,
        provenance=model.provenance,
        golden=cases,
        files={},
    )
    return write_bundle(out, manifest, {**model.contents, **golden_files})


@dataclass(frozen=True, slots=True)
class _Limits:
    """The limits, and what stands behind them."""

    threshold: Threshold
    decision: Decision
    false_reject: float
    bounds: tuple[Bound, ...] = ()
    estimated: str = ""
    """How they were estimated; empty where images that nothing else has used back the bounds."""


def _limits(groups: Groups, target: Target, model: TrainedModel) -> _Limits:
    min_area = model.recipe.decision.min_area
    if model.held_out:
        found = estimate_limits(groups, target, min_area)
        return _Limits(found.threshold, found.decision, found.threshold.false_reject, estimated=found.in_words)
    threshold, decision, bounds = decide_limits(groups, target, min_area)
    return _Limits(threshold, decision, bounds[1].rate, bounds)


def _held_out(
    model: TrainedModel, images: Sequence[GoodImage], report: Callable[[str, float], None]
) -> tuple[float | None, ...]:
    """Return each image's level by a model that has not seen it, None where it is INVALID; empty: there is none."""
    if not model.held_out:
        return ()
    levels = []
    for place, image in enumerate(images):
        level = model.held_out.get(image.digest)
        levels.append(None if level is None or model.is_refused(image.path.read_bytes()) else level)
        report("score good parts", (place + 1) / len(images))
    return tuple(levels)


def _unseen(
    model: TrainedModel, images: Sequence[GoodImage], report: Callable[[str, float], None]
) -> tuple[float | None, ...]:
    _refuse_seen(images, model.provenance)
    return _levels(model, images, report)


def _scored(images: Sequence[GoodImage], levels: Sequence[float | None]) -> tuple[ScoredImage, ...]:
    return tuple(
        ScoredImage(image=str(image.path), digest=image.digest, group=image.group, level=level)
        for image, level in zip(images, levels, strict=True)
    )


def _known_outliers(
    model: TrainedModel, sets: Split, threshold: float, report: Callable[[str, float], None]
) -> Iterator[Outlier]:
    """Yield the most unusual images that the detector knows; where it has out-of-fold scores, these say more."""
    if model.held_out:
        return
    yield from rank_outliers("tune", sets.tune, _levels(model, sets.tune, report), threshold)
    yield from rank_outliers("fit", sets.fit, _levels(model, sets.fit, report), threshold)


def _refuse_seen(good: Sequence[GoodImage], provenance: Provenance) -> None:
    trained = {*provenance.fit_digests, *provenance.tune_digests}
    seen = [image.path for image in good if image.digest in trained]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(good)} images trained the detector (for instance {seen[0]}): a threshold from them "
            "would be too low. Calibrate with images that were not used; where this folder trained the bundle, say "
            "--again to use the images that calibrated it"
        )


def _levels(
    model: TrainedModel, images: Sequence[GoodImage], report: Callable[[str, float], None]
) -> tuple[float | None, ...]:
    levels = []
    for place, image in enumerate(images):
        levels.append(model.level(image.path.read_bytes()))
        report("score good parts", (place + 1) / len(images))
    return tuple(levels)


def _synthetic_rates(
    model: TrainedModel,
    images: Sequence[GoodImage],
    limit: float,
    rng: np.random.Generator,
    report: Callable[[str, float], None],
) -> tuple[SyntheticDefectRate, ...]:
    """Return how many synthetic defects reach `limit`, by kind, size and contrast."""
    kinds = [
        *itertools.product(defects.SURFACE, _SYNTHETIC_SIZES, _SYNTHETIC_CONTRASTS),
        *itertools.product(defects.COMPONENT, _SYNTHETIC_SIZES, (0.0,)),
    ]
    rates = []
    for place, (kind, size, contrast) in enumerate(kinds):
        chosen = rng.permutation(len(images))[:_SYNTHETIC_EACH]
        found = sum(_level_with_defect(model, images[i], kind, size, contrast, rng) >= limit for i in chosen)
        rates.append(SyntheticDefectRate(kind=kind, size=size, contrast=contrast, synthetic=len(chosen), found=found))
        report("draw synthetic defects", (place + 1) / len(kinds))
    return tuple(rates)


def _level_with_defect(
    model: TrainedModel, image: GoodImage, kind: str, size: float, contrast: float, rng: np.random.Generator
) -> float:
    pixels = read_image(image.path, model.recipe.channels)
    prepared, _ = prepare(pixels, model.recipe, model.aligner)
    spoiled = defects.draw_defect(prepared, kind, size, contrast, rng).image
    amap = model.detector.residual(spoiled, model.detector.network(spoiled))
    return level_of(as_judged(amap, model.recipe, model.ignore), model.recipe)


def _is_unfit(synthetic: Sequence[SyntheticDefectRate]) -> bool:
    stated = [rate for rate in synthetic if (rate.size, rate.contrast) == STATED_DEFECT]
    return sum(rate.found for rate in stated) * 2 < sum(rate.synthetic for rate in stated)


def _notes(
    groups: Groups, synthetic: Sequence[SyntheticDefectRate], threshold: float, choice: MinAreaChoice | None
) -> tuple[str, ...]:
    first, second = sorted(groups.levels, reverse=True)[:2]
    notes = []
    if first >= _OUTLIER * second:
        notes.append(
            f"the highest level among the good parts is {first:.3g}, the second {second:.3g}: look at that image"
        )
    if groups.invalid:
        notes.append(f"{groups.invalid} good parts are INVALID: look at them")
    if _is_unfit(synthetic):
        stated = [rate for rate in synthetic if (rate.size, rate.contrast) == STATED_DEFECT]
        found, count = sum(rate.found for rate in stated), sum(rate.synthetic for rate in stated)
        notes.append(
            f"UNFIT: {found} of {count} synthetic defects of {STATED_DEFECT[0]:.0%} of the shorter side and "
            f"{STATED_DEFECT[1]:.0f} grey values are found; less than half"
        )
    if choice is not None:
        missed = sum(level < threshold for level in choice.levels)
        notes.append(f"{missed} of the {len(choice.levels)} NG images that chose the minimum area are missed")
    return tuple(notes)
