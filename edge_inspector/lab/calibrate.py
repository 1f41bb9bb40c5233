"""Set the threshold: from good pictures that nothing else has used, for a stated rate at a stated confidence."""

import hashlib
import io
import itertools
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np

from edge_inspector import bundle as bundles
from edge_inspector.bundle import (
    Bundle,
    CalibrationCard,
    DetectorCard,
    GoldenCase,
    Manifest,
    PlantedRate,
    Provenance,
)
from edge_inspector.engines.openvino import usable_processors
from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.inspector import Detector, Evidence, Inspector
from edge_inspector.inspection.model import Image, Reason
from edge_inspector.inspection.preprocess import IgnoreMask, as_image, as_picture, prepare, shrink
from edge_inspector.inspection.quality import Gate, Quality
from edge_inspector.inspection.recipe import Decision, Recipe
from edge_inspector.inspection.score import area_level
from edge_inspector.lab import defects
from edge_inspector.lab.dataset import LEAST_TO_CALIBRATE, GoodPicture, find_good, read_picture
from edge_inspector.lab.metrics import binomial_cdf

CONFIDENCE = 0.95
STATED_DEFECT = (0.08, 60.0)
"""Size (share of the shorter side) and contrast (grey values) of a defect that must be found half the time."""
_HEADROOM = 1 + bundles.SCORE_TOLERANCE
_PLANTED_SIZES = (0.04, 0.08, 0.16)
_PLANTED_CONTRASTS = (20.0, 60.0)
_PLANTED_EACH = 8
_OUTLIER = 1.5


@dataclass(frozen=True, slots=True)
class Target:
    """What the user asks for; no false-reject rate means the best that the pictures support."""

    false_reject: float | None = None
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        for name, value in (("--false-reject", self.false_reject), ("--confidence", self.confidence)):
            if value is not None and not 0 < value < 1:
                raise UsageError(f"{name} {value}: expected a number between 0 and 1, for instance 0.05")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold and the rate that it is good for."""

    value: float
    false_reject: float
    exceedances: int


def allowed_exceedances(groups: int, false_reject: float, confidence: float) -> int | None:
    """Return the largest r with P(Binomial(groups, false_reject) <= r) <= 1 - confidence, None where there is none."""
    allowed = None
    for exceedances in range(groups):
        if binomial_cdf(exceedances, groups, false_reject) > 1 - confidence:
            break
        allowed = exceedances
    return allowed


def groups_needed(false_reject: float, confidence: float) -> int:
    """Return the fewest good parts that can show `false_reject` at `confidence`, when none of them is rejected."""
    return math.ceil(round(math.log(1 - confidence) / math.log(1 - false_reject), 9))


def set_threshold(levels: Sequence[float], target: Target, refused: int = 0) -> Threshold:
    """Return the threshold for the highest level of each group.

    With r exceedances allowed, it lies 1 % (the golden tolerance) above the (r+1)-th largest level: the chance that
    the true rate exceeds the target is at most 1 - confidence, whatever the levels' distribution (one-sided
    distribution-free tolerance limit, Wilks 1941).

    Args:
        levels: of the groups whose pictures can be judged.
        target: the rate to keep.
        refused: further groups with a picture that the quality gate refuses; they exceed any threshold.

    Raises:
        DataError: too few groups for the target, all levels equal, or a level that is not finite.
    """
    ranked = sorted(levels, reverse=True)
    if not all(map(math.isfinite, ranked)):
        raise DataError("a calibration picture has no finite level; the network is damaged, teach the part anew")
    if len(ranked) < LEAST_TO_CALIBRATE:
        raise DataError(f"{len(ranked)} good parts to calibrate with, at least {LEAST_TO_CALIBRATE} are needed")
    if ranked[0] == ranked[-1]:
        raise DataError(f"all {len(ranked)} good parts have the same level {ranked[0]:g}: the detector sees nothing")
    groups = len(ranked) + refused
    if target.false_reject is None:
        return Threshold(ranked[0] * _HEADROOM, _bound(refused, groups, target.confidence), refused)
    allowed = allowed_exceedances(groups, target.false_reject, target.confidence)
    if allowed is not None and allowed < refused:
        raise DataError(
            f"the quality gate refuses {refused} of {groups} good parts, a false-reject rate of "
            f"{target.false_reject:.1%} allows {allowed}: look at them (`edge-inspector inspect`) or teach anew"
        )
    if allowed is None:
        needed = groups_needed(target.false_reject, target.confidence)
        raise DataError(
            f"{groups} good parts cannot show a false-reject rate of {target.false_reject:.1%} at "
            f"{target.confidence:.0%} confidence, {needed} can: add {needed - groups} to those that calibrate"
        )
    value = ranked[allowed - refused]
    if value <= 0:
        raise DataError(f"a threshold at level {value:g} would reject every part that has any: lower --min-area")
    return Threshold(value * _HEADROOM, target.false_reject, allowed)


def _bound(exceedances: int, groups: int, confidence: float) -> float:
    """Return the smallest rate that so many exceedances show at `confidence` (Clopper and Pearson 1934)."""
    low, high = exceedances / groups, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if binomial_cdf(exceedances, groups, middle) <= 1 - confidence else (middle, high)
    return high


@dataclass(frozen=True, slots=True)
class Material:
    """A part that has been taught: all of a bundle but the threshold, and the detector that will run."""

    recipe: Recipe
    """Its limits are placeholders."""
    detector_card: DetectorCard
    provenance: Provenance
    contents: Mapping[str, bytes]
    """Graphs, weights, reference picture and mask, by file name."""
    detector: Detector
    ignore: IgnoreMask | None
    gate: Gate | None = None
    """Refuses pictures that cannot be judged."""

    def is_refused(self, image: bytes | Image) -> bool:
        """Say whether a picture is INVALID whatever its level."""
        return self.gate is not None and self.gate.refuse(self._quality(self.gate, image)) is not None

    def _quality(self, gate: Gate, image: bytes | Image) -> Quality:
        seen, _ = shrink(as_image(image, self.recipe.channels), self.recipe)
        return gate.measure(seen, as_picture(seen, self.recipe))

    def evidence(self, image: bytes | Image) -> Evidence:
        """Return the anomaly map of a picture and what it was made from.

        Raises:
            DataError: the picture cannot be judged.
        """
        inspection = Inspector(self.recipe, self.detector, self.ignore, lambda: 0).inspect(image)
        if inspection.evidence is None:
            raise DataError(f"a picture cannot be judged: {inspection.judgement.detail}")
        if inspection.judgement.reason is Reason.NOT_FINITE:
            raise DataError("an anomaly map is not finite: the network is damaged, teach the part anew")
        return inspection.evidence

    def level(self, image: bytes | Image) -> float:
        """Return the level of a picture."""
        return area_level(self.evidence(image).amap, self.recipe.min_area_px)


def material_of(bundle: Bundle, threads: int) -> Material:
    """Return what a bundle was made of, to give it another threshold."""
    kept = [name for name in bundle.manifest.files if not name.startswith("golden/")]
    return Material(
        recipe=bundle.recipe,
        detector_card=bundle.manifest.detector,
        provenance=bundle.manifest.provenance,
        contents={name: (bundle.path / name).read_bytes() for name in kept},
        detector=bundles.open_detector(bundle, threads),
        ignore=bundle.ignore(),
        gate=bundle.gate(),
    )


def recalibrate(
    bundle: Bundle,
    folder: Path,
    target: Target,
    *,
    review: float | None,
    min_area: float | None,
    group: str | None,
    created: datetime,
    out: Path,
    report: Callable[[str, float], None],
) -> Bundle:
    """Give a bundle a new threshold from the good pictures in `folder`, all of them unseen."""
    good = find_good(folder, group)
    material = material_of(bundle, usable_processors())
    if min_area is not None:
        if min_area * material.recipe.map_per_camera_area > material.recipe.width * material.recipe.height:
            raise UsageError(f"--min-area {min_area:g} is larger than the inspected picture")
        decision = material.recipe.decision.model_copy(update={"min_area": min_area})
        recipe = Recipe.model_validate({**material.recipe.model_dump(), "decision": decision.model_dump()})
        material = replace(material, recipe=recipe)
    rng = np.random.default_rng(bundle.manifest.provenance.seed)
    return calibrate(material, good, (), target=target, review=review, created=created, rng=rng, out=out, report=report)


def calibrate(
    material: Material,
    good: Sequence[GoodPicture],
    tune: Sequence[GoodPicture],
    *,
    target: Target,
    review: float | None,
    created: datetime,
    rng: np.random.Generator,
    out: Path,
    report: Callable[[str, float], None],
) -> Bundle:
    """Set the threshold on `good`, state what planted defects it finds in `tune`, and write the bundle.

    Raises:
        DataError: pictures that the detector was taught from, too few of them, or `out` exists.
    """
    _refuse_seen(good, material.provenance)
    levels = _levels(material, good, report)
    by_group = _highest(levels, good)
    refused = {picture.group for picture in good if material.is_refused(picture.path.read_bytes())}
    judged = _highest(*_of_other_groups(levels, good, refused))
    threshold = set_threshold(judged, target, len(refused))
    decision = _decision(material.recipe.decision.min_area, judged, threshold, target, review, len(refused))
    recipe = material.recipe.model_copy(update={"decision": decision})
    planted = _planted_rates(material, tune or good, decision.lowest, rng, report)
    card = CalibrationCard(
        id=hashlib.sha256(json.dumps([by_group, decision.threshold]).encode()).hexdigest()[:12],
        created=created,
        false_reject=threshold.false_reject if review is None else max(review, threshold.false_reject),
        confidence=target.confidence,
        provisional=target.false_reject is None,
        groups=len(by_group),
        exceedances=threshold.exceedances,
        threshold=decision.threshold,
        levels=tuple(sorted(by_group, reverse=True)),
        digests=tuple(picture.digest for picture in good),
        planted=planted,
        notes=(*_notes(by_group, planted), *_refusal_note(len(refused), len(by_group))),
    )
    cases, golden_files = _golden(material, recipe, good, levels, rng)
    manifest = Manifest(
        recipe=recipe,
        detector=material.detector_card,
        calibration=card,
        provenance=material.provenance,
        golden=cases,
        files={},
    )
    return bundles.write_bundle(out, manifest, {**material.contents, **golden_files})


def _refuse_seen(good: Sequence[GoodPicture], provenance: Provenance) -> None:
    taught = {*provenance.fit_digests, *provenance.tune_digests}
    seen = [picture.path for picture in good if picture.digest in taught]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(good)} pictures taught the detector (for instance {seen[0]}): a threshold from them "
            "would be too low. Calibrate with pictures that were not used"
        )


def _levels(
    material: Material, pictures: Sequence[GoodPicture], report: Callable[[str, float], None]
) -> tuple[float, ...]:
    levels = []
    for place, picture in enumerate(pictures):
        levels.append(material.level(picture.path.read_bytes()))
        report("calibrate", (place + 1) / len(pictures))
    return tuple(levels)


def _of_other_groups(
    levels: Sequence[float], pictures: Sequence[GoodPicture], groups: Collection[str]
) -> tuple[tuple[float, ...], tuple[GoodPicture, ...]]:
    """Return levels and pictures without those of some groups."""
    kept = [place for place, picture in enumerate(pictures) if picture.group not in groups]
    return tuple(levels[place] for place in kept), tuple(pictures[place] for place in kept)


def _highest(levels: Sequence[float], pictures: Sequence[GoodPicture]) -> tuple[float, ...]:
    highest: dict[str, float] = {}
    for level, picture in zip(levels, pictures, strict=True):
        highest[picture.group] = max(level, highest.get(picture.group, -math.inf))
    return tuple(highest.values())


def _decision(
    min_area: float, levels: Sequence[float], threshold: Threshold, target: Target, review: float | None, refused: int
) -> Decision:
    if review is None:
        return Decision(threshold=threshold.value, min_area=min_area)
    limit = set_threshold(levels, Target(review, target.confidence), refused).value
    return Decision(threshold=threshold.value, review=min(limit, threshold.value), min_area=min_area)


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
    prepared, _ = prepare(image, material.recipe)
    spoiled = defects.plant(prepared, kind, size, contrast, rng).picture
    amap = material.detector.residual(spoiled, material.detector.network(spoiled))
    return area_level(
        amap if material.ignore is None else np.where(material.ignore, 0, amap), material.recipe.min_area_px
    )


def _notes(levels: Sequence[float], planted: Sequence[PlantedRate]) -> tuple[str, ...]:
    first, second = sorted(levels, reverse=True)[:2]
    notes = []
    if first >= _OUTLIER * second:
        notes.append(
            f"the highest level among the good parts is {first:.3g}, the second {second:.3g}: look at that picture"
        )
    stated = [rate for rate in planted if (rate.size, rate.contrast) == STATED_DEFECT]
    found, count = sum(rate.found for rate in stated), sum(rate.planted for rate in stated)
    if found * 2 < count:
        notes.append(
            f"UNFIT: {found} of {count} planted defects of {STATED_DEFECT[0]:.0%} of the shorter side and "
            f"{STATED_DEFECT[1]:.0f} grey values are found; less than half"
        )
    return tuple(notes)


def _refusal_note(refused: int, groups: int) -> tuple[str, ...]:
    if not refused:
        return ()
    return (f"the quality gate refuses {refused} of {groups} good parts: they are INVALID, and count as rejected",)


def _golden(
    material: Material, recipe: Recipe, good: Sequence[GoodPicture], levels: Sequence[float], rng: np.random.Generator
) -> tuple[tuple[GoldenCase, ...], dict[str, bytes]]:
    """Return two middling good pictures, the two nearest the threshold, and two planted defects, with their maps."""
    order = np.argsort(levels)
    below = [i for i in order if levels[i] < recipe.decision.lowest]
    chosen = [*order[len(order) // 2 :][:2], *below[-2:]]
    originals = [(good[i].path.suffix.lower(), good[i].path.read_bytes()) for i in chosen]
    spoiled = [(".png", _plant_in_camera_picture(good[i], recipe, rng)) for i in chosen[:2]]
    inspector = Inspector(recipe, material.detector, material.ignore, lambda: 0)
    cases: list[GoldenCase] = []
    files: dict[str, bytes] = {}
    for number, (suffix, content) in enumerate([*originals, *spoiled]):
        inspection = inspector.inspect(content)
        score, evidence = inspection.judgement.score, inspection.evidence
        if score is None or evidence is None:
            raise DataError(f"a golden picture cannot be judged: {inspection.judgement.detail}")
        case = GoldenCase(
            picture=f"golden/{number}{suffix}",
            amap=f"golden/{number}.npy",
            verdict=inspection.judgement.verdict,
            score=score,
        )
        buffer = io.BytesIO()
        np.save(buffer, evidence.amap, allow_pickle=False)
        cases.append(case)
        files |= {case.picture: content, case.amap: buffer.getvalue()}
    return tuple(cases), files


def _plant_in_camera_picture(picture: GoodPicture, recipe: Recipe, rng: np.random.Generator) -> bytes:
    """Return a PNG of the camera picture with a coarse defect, so that the golden check decodes and resizes too."""
    image = read_picture(picture.path, recipe.channels)
    prepared, placement = prepare(image, recipe)
    spoiled = defects.plant(prepared, "perlin", 0.25, 120, rng).picture
    change = spoiled.astype(np.float32) - prepared
    if recipe.channels == 3:
        change = change[..., ::-1]
    if recipe.window is not None:
        change = change * ((recipe.window.high - recipe.window.low) / 255)
    change = cv2.resize(change, (placement.width, placement.height), interpolation=cv2.INTER_LINEAR)
    cut = np.s_[placement.y : placement.y + placement.height, placement.x : placement.x + placement.width]
    whole = image.astype(np.float32)
    whole[cut] += change.reshape(whole[cut].shape)
    restored = np.clip(np.rint(whole), 0, np.iinfo(image.dtype).max).astype(image.dtype)
    return bytes(cv2.imencode(".png", restored)[1])
