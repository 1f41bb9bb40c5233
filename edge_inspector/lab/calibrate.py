"""Set the threshold: from good pictures that nothing else has used, for a stated rate at a stated confidence."""

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
    Manifest,
    PlantedRate,
    Provenance,
    ScoredPicture,
    Suspect,
    TakenOut,
    write_bundle,
)
from edge_inspector.errors import DataError
from edge_inspector.inspection.preprocess import prepare
from edge_inspector.inspection.recipe import Decision
from edge_inspector.inspection.units import as_judged, level_of
from edge_inspector.lab import defects
from edge_inspector.lab.dataset import GoodPicture, Split, read_picture
from edge_inspector.lab.estimate import estimate_limits
from edge_inspector.lab.golden import make_golden
from edge_inspector.lab.material import Material
from edge_inspector.lab.suspects import rank_suspects
from edge_inspector.lab.threshold import Groups, Target, Threshold, decide_limits, gather_groups

STATED_DEFECT = (0.08, 60.0)
"""Size (share of the shorter side) and contrast (grey values) of a defect that must be found half the time."""
_PLANTED_SIZES = (0.04, 0.08, 0.16)
_PLANTED_CONTRASTS = (20.0, 60.0)
_PLANTED_EACH = 8
_OUTLIER = 1.5


@dataclass(frozen=True, slots=True)
class Choice:
    """What NG pictures say of the minimum area."""

    pairs: tuple[AreaPair, ...]
    levels: tuple[float, ...]
    """Of the NG pictures, at the chosen minimum area."""
    digests: tuple[str, ...]


def calibrate(
    material: Material,
    sets: Split,
    *,
    target: Target,
    created: datetime,
    rng: np.random.Generator,
    out: Path,
    report: Callable[[str, float], None],
    taken_out: Sequence[TakenOut] = (),
    choice: Choice | None = None,
) -> Bundle:
    """Set the threshold on the calibrate set, state what planted defects it finds in the tune set, write the bundle.

    Args:
        material: what was taught.
        sets: `fit` and `tune` may be empty where their pictures are not at hand.
        target: the rates to promise.
        created: now.
        rng: for planted defects.
        out: a folder that does not exist.
        report: called with what is being done and its share.
        taken_out: pictures that belong to the calibrate set and are not in it; each counts as an exceedance unless
            somebody marked it defective.
        choice: where NG pictures chose the minimum area.

    Raises:
        DataError: pictures that the detector was taught from, too few of them, or `out` exists.
        UsageError: a review rate that is not above the rate of NG.
    """
    good = sets.calibrate
    levels = _held_out(material, good, report) or _unseen(material, good, report)
    groups = gather_groups(levels, good, taken_out)
    limits = _limits(groups, target, material)
    threshold, decision = limits.threshold, limits.decision
    recipe = material.recipe.model_copy(update={"decision": decision})
    valid = [(picture, level) for picture, level in zip(good, levels, strict=True) if level is not None]
    planted = _planted_rates(material, sets.tune or [picture for picture, _ in valid], decision.lowest, rng, report)
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
        digests=(*(picture.digest for picture in good), *(one.digest for one in taken_out)),
        planted=planted,
        notes=_notes(groups, planted, decision.threshold, choice),
        unfit=_is_unfit(planted),
        bounds=limits.bounds,
        pictures=_scored(good, levels),
        taken_out=tuple(taken_out),
        suspects=(
            *rank_suspects("calibrate", good, levels, decision.threshold),
            *_known_suspects(material, sets, decision.threshold, report),
        ),
        area_pairs=choice.pairs if choice else (),
        ng_digests=choice.digests if choice else (),
        estimated=limits.estimated,
    )
    cases, golden_files = make_golden(material, recipe, [p for p, _ in valid], [level for _, level in valid], rng)
    manifest = Manifest(
        recipe=recipe,
        detector=material.detector_card,
        calibration=card,
        provenance=material.provenance,
        golden=cases,
        files={},
    )
    return write_bundle(out, manifest, {**material.contents, **golden_files})


@dataclass(frozen=True, slots=True)
class _Limits:
    """The limits, and what stands behind them."""

    threshold: Threshold
    decision: Decision
    false_reject: float
    bounds: tuple[Bound, ...] = ()
    estimated: str = ""
    """How they were estimated; empty where images that nothing else has used back the bounds."""


def _limits(groups: Groups, target: Target, material: Material) -> _Limits:
    min_area = material.recipe.decision.min_area
    if material.held_out:
        found = estimate_limits(groups, target, min_area)
        return _Limits(found.threshold, found.decision, found.threshold.false_reject, estimated=found.in_words)
    threshold, decision, bounds = decide_limits(groups, target, min_area)
    return _Limits(threshold, decision, bounds[1].rate, bounds)


def _held_out(
    material: Material, pictures: Sequence[GoodPicture], report: Callable[[str, float], None]
) -> tuple[float | None, ...]:
    """Return each image's level by a model that has not seen it, None where it is INVALID; empty: there is none."""
    if not material.held_out:
        return ()
    levels = []
    for place, picture in enumerate(pictures):
        level = material.held_out.get(picture.digest)
        levels.append(None if level is None or material.is_refused(picture.path.read_bytes()) else level)
        report("score good parts", (place + 1) / len(pictures))
    return tuple(levels)


def _unseen(
    material: Material, pictures: Sequence[GoodPicture], report: Callable[[str, float], None]
) -> tuple[float | None, ...]:
    _refuse_seen(pictures, material.provenance)
    return _levels(material, pictures, report)


def _scored(pictures: Sequence[GoodPicture], levels: Sequence[float | None]) -> tuple[ScoredPicture, ...]:
    return tuple(
        ScoredPicture(picture=str(picture.path), digest=picture.digest, group=picture.group, level=level)
        for picture, level in zip(pictures, levels, strict=True)
    )


def _known_suspects(
    material: Material, sets: Split, threshold: float, report: Callable[[str, float], None]
) -> Iterator[Suspect]:
    """Yield the most unusual images that the detector knows; where it has out-of-fold scores, these say more."""
    if material.held_out:
        return
    yield from rank_suspects("tune", sets.tune, _levels(material, sets.tune, report), threshold)
    yield from rank_suspects("fit", sets.fit, _levels(material, sets.fit, report), threshold)


def _refuse_seen(good: Sequence[GoodPicture], provenance: Provenance) -> None:
    taught = {*provenance.fit_digests, *provenance.tune_digests}
    seen = [picture.path for picture in good if picture.digest in taught]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(good)} pictures taught the detector (for instance {seen[0]}): a threshold from them "
            "would be too low. Calibrate with pictures that were not used; where this folder taught the bundle, say "
            "--again to use the pictures that calibrated it"
        )


def _levels(
    material: Material, pictures: Sequence[GoodPicture], report: Callable[[str, float], None]
) -> tuple[float | None, ...]:
    levels = []
    for place, picture in enumerate(pictures):
        levels.append(material.level(picture.path.read_bytes()))
        report("score good parts", (place + 1) / len(pictures))
    return tuple(levels)


def _planted_rates(
    material: Material,
    pictures: Sequence[GoodPicture],
    limit: float,
    rng: np.random.Generator,
    report: Callable[[str, float], None],
) -> tuple[PlantedRate, ...]:
    """Return how many planted defects reach `limit`, by kind, size and contrast."""
    kinds = list(itertools.product(defects.PLANTERS, _PLANTED_SIZES, _PLANTED_CONTRASTS))
    rates = []
    for place, (kind, size, contrast) in enumerate(kinds):
        chosen = rng.permutation(len(pictures))[:_PLANTED_EACH]
        found = sum(_level_of_planted(material, pictures[i], kind, size, contrast, rng) >= limit for i in chosen)
        rates.append(PlantedRate(kind=kind, size=size, contrast=contrast, planted=len(chosen), found=found))
        report("plant defects", (place + 1) / len(kinds))
    return tuple(rates)


def _level_of_planted(
    material: Material, picture: GoodPicture, kind: str, size: float, contrast: float, rng: np.random.Generator
) -> float:
    image = read_picture(picture.path, material.recipe.channels)
    prepared, _ = prepare(image, material.recipe, material.aligner)
    spoiled = defects.plant(prepared, kind, size, contrast, rng).picture
    amap = material.detector.residual(spoiled, material.detector.network(spoiled))
    return level_of(as_judged(amap, material.recipe, material.ignore), material.recipe)


def _is_unfit(planted: Sequence[PlantedRate]) -> bool:
    stated = [rate for rate in planted if (rate.size, rate.contrast) == STATED_DEFECT]
    return sum(rate.found for rate in stated) * 2 < sum(rate.planted for rate in stated)


def _notes(groups: Groups, planted: Sequence[PlantedRate], threshold: float, choice: Choice | None) -> tuple[str, ...]:
    first, second = sorted(groups.levels, reverse=True)[:2]
    notes = []
    if first >= _OUTLIER * second:
        notes.append(
            f"the highest level among the good parts is {first:.3g}, the second {second:.3g}: look at that picture"
        )
    if groups.invalid:
        notes.append(f"{groups.invalid} good parts are INVALID: look at them")
    if _is_unfit(planted):
        stated = [rate for rate in planted if (rate.size, rate.contrast) == STATED_DEFECT]
        found, count = sum(rate.found for rate in stated), sum(rate.planted for rate in stated)
        notes.append(
            f"UNFIT: {found} of {count} planted defects of {STATED_DEFECT[0]:.0%} of the shorter side and "
            f"{STATED_DEFECT[1]:.0f} grey values are found; less than half"
        )
    if choice is not None:
        missed = sum(level < threshold for level in choice.levels)
        notes.append(f"{missed} of the {len(choice.levels)} NG pictures that chose the minimum area are missed")
    return tuple(notes)
