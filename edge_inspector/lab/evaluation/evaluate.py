"""Judge test images whose truth is known, and that nothing was learned from."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edge_inspector.bundle import Bundle
from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.inspector import Evidence, Inspection, Inspector
from edge_inspector.inspection.model import AnomalyMap, Reason, Verdict
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.inspection.units import fields_of
from edge_inspector.lab.data.dataset import TestImage, digest_of, find_tests
from edge_inspector.lab.data.masks import TruthMask, read_mask, refuse_orphans
from edge_inspector.lab.evaluation.evaluation import Evaluation, Judged
from edge_inspector.lab.evaluation.pixels import PixelTally, blob_pixels, overlap
from edge_inspector.lab.evaluation.rules import CALIBRATED, Score, prior_rule

logger = logging.getLogger(__name__)

UNREADABLE = frozenset({Reason.EMPTY, Reason.NOT_AN_IMAGE, Reason.TRUNCATED, Reason.TOO_LARGE})
"""The file is not a whole image: that says nothing of the detector."""


def evaluate(
    bundle: Bundle, inspector: Inspector, folder: Path, rule: str, report: Callable[[str, float], None]
) -> Evaluation:
    """Judge the test images below `folder` and compare with the truth.

    Raises:
        UsageError: no such rule, or one that cannot judge several regions.
        DataError: another layout than test/good and test/<defect>; no defects; images that the bundle was made from;
            a mask without an image, or of another size; a map that is not finite; scores that are all the same.
    """
    levels, min_area = bundle.manifest.calibration.levels, bundle.recipe.min_area_px
    if rule != CALIBRATED and bundle.recipe.units:
        raise UsageError(f"--rule {rule} knows one minimum area; {bundle.path} has one for each of its regions")
    score = None if rule == CALIBRATED else prior_rule(rule, levels, min_area)
    images = find_tests(folder)
    refuse_seen(bundle, images)
    _refuse_one_class(folder, images)
    refuse_orphans(folder, images)
    tally, judged, unreadable = PixelTally(), [], []
    for place, image in enumerate(images):
        inspection = inspector.inspect(image.path.read_bytes())
        if inspection.judgement.reason is Reason.NOT_FINITE:
            raise DataError(f"{image.path}: the anomaly map is not finite: the network is damaged, retrain the part")
        report("evaluate", (place + 1) / len(images))
        if inspection.judgement.reason in UNREADABLE:
            logger.warning("%s cannot be read: %s", image.path, inspection.judgement.detail)
            unreadable.append(image)
            continue
        truth = None if inspection.evidence is None else _truth(image, inspection.evidence)
        if truth is not None and inspection.evidence is not None:
            tally.add(inspection.evidence.amap, truth)
        judged.append(_judged(image, inspection, score, bundle.recipe, truth))
    _refuse_unreadable(folder, judged, unreadable)
    _refuse_equal(judged, rule)
    return Evaluation(rule, tuple(judged), tally.auroc(), tally.aupro(), tuple(unreadable))


def _refuse_unreadable(folder: Path, judged: Sequence[Judged], unreadable: Sequence[TestImage]) -> None:
    if unreadable and len({one.image.good for one in judged}) < 2:
        raise DataError(
            f"{folder}: {len(unreadable)} test images cannot be read (for instance {unreadable[0].path}), and of the "
            "others there are not both good and defective ones"
        )


def _refuse_one_class(folder: Path, images: Sequence[TestImage]) -> None:
    if all(image.good for image in images):
        raise DataError(
            f"{folder}: {len(images)} good images and no defective one: expected test/<defect> beside test/good. "
            "With good images alone `edge-inspector calibrate` states the false-reject rate"
        )


def refuse_seen(bundle: Bundle, images: Sequence[TestImage]) -> None:
    """Raise DataError when one of the test images made the bundle."""
    provenance, card = bundle.manifest.provenance, bundle.manifest.calibration
    used = {*provenance.fit_digests, *provenance.tune_digests, *card.digests, *card.ng_digests}
    seen = [image.path for image in images if digest_of(image.path) in used]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(images)} test images made this bundle (for instance {seen[0]}): figures from "
            "them would flatter it. Evaluate with images that were not used"
        )


def _refuse_equal(judged: Sequence[Judged], rule: str) -> None:
    scores = {part.score for part in judged}
    if scores == {np.inf}:
        raise DataError(
            f"none of {len(judged)} test images could be judged: they are not like the images the part was trained on"
        )
    if rule == CALIBRATED and len(scores) == 1:
        raise DataError(
            f"all {len(judged)} test images have the same score {scores.pop():g}: the detector sees nothing"
        )


def _truth(image: TestImage, evidence: Evidence) -> TruthMask | None:
    """Return where the part is defective, at map size; None where nobody has drawn it."""
    if image.good:
        return np.zeros(evidence.amap.shape, np.bool_)
    return None if image.mask is None else read_mask(image.mask, evidence.image.shape, evidence.placement)


def _judged(
    image: TestImage, inspection: Inspection, prior: Score | None, recipe: Recipe, truth: TruthMask | None
) -> Judged:
    judgement, evidence = inspection.judgement, inspection.evidence
    verdict, score, found = judgement.verdict, judgement.score, None
    if prior is not None and evidence is not None:
        score = prior(evidence.amap)
        verdict = Verdict.NG if score >= 1 else Verdict.OK
    elif evidence is not None and truth is not None:
        found = overlap(_blob_pixels(evidence.amap, recipe), truth)
    milliseconds = sum(value for _, value in inspection.timing_ms)
    return Judged(image, verdict, np.inf if score is None else score, milliseconds, found)


def _blob_pixels(amap: AnomalyMap, recipe: Recipe) -> TruthMask:
    """Return the pixels of all units' blobs."""
    pixels = np.zeros(amap.shape, np.bool_)
    for part in fields_of(recipe):
        pixels[part.cut] = blob_pixels(amap[part.cut], recipe.decision.threshold, part.min_area_px)
    return pixels
