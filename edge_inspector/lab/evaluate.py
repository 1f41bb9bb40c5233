"""What a bundle is worth on pictures whose truth is known, and that nothing was learned from."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_inspector.bundle import Bundle
from edge_inspector.errors import DataError
from edge_inspector.inspection.inspector import Inspection, Inspector
from edge_inspector.inspection.model import Verdict
from edge_inspector.lab.dataset import TestPicture, digest_of, find_tests
from edge_inspector.lab.metrics import Rate, auroc, average_precision
from edge_inspector.lab.rules import CALIBRATED, Score, prior_rule


@dataclass(frozen=True, slots=True)
class Judged:
    """One test picture and what was said of it."""

    picture: TestPicture
    verdict: Verdict
    score: float
    """Infinite where the picture could not be judged: it is not accepted."""
    milliseconds: float

    @property
    def accepted(self) -> bool:
        """Whether the part would be passed."""
        return self.verdict is Verdict.OK


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A bundle's figures on one folder of test pictures."""

    rule: str
    judged: tuple[Judged, ...]

    @property
    def good(self) -> tuple[Judged, ...]:
        """The good parts."""
        return tuple(judged for judged in self.judged if judged.picture.good)

    @property
    def defective(self) -> tuple[Judged, ...]:
        """The defective parts."""
        return tuple(judged for judged in self.judged if not judged.picture.good)

    @property
    def false_reject(self) -> Rate:
        """Good and verdict other than OK."""
        return Rate(sum(not judged.accepted for judged in self.good), len(self.good))

    @property
    def miss(self) -> Rate:
        """Defective and verdict OK."""
        return Rate(sum(judged.accepted for judged in self.defective), len(self.defective))

    @property
    def refused(self) -> dict[str, int]:
        """How many pictures were INVALID, by truth: a defective part that cannot be judged is hidden, not found."""
        return {
            truth: sum(judged.verdict is Verdict.INVALID for judged in parts)
            for truth, parts in (("good", self.good), ("defective", self.defective))
        }

    @property
    def image_auroc(self) -> float | None:
        """Chance that a defective part scores higher than a good one; None where a class is missing."""
        if not self.good or not self.defective:
            return None
        return auroc(_finite(self.good), _finite(self.defective))

    @property
    def image_ap(self) -> float | None:
        """Average precision; None where a class is missing."""
        if not self.good or not self.defective:
            return None
        return average_precision(_finite(self.good), _finite(self.defective))

    @property
    def f1(self) -> float | None:
        """Of rejecting, at the bundle's threshold; None where there is no defective part."""
        if not self.defective:
            return None
        found = self.miss.parts - self.miss.hits
        return 2 * found / (found + self.false_reject.hits + self.miss.parts)

    def as_json(self) -> dict[str, object]:
        """Return the figures by the names of the contract."""
        return {
            "rule": self.rule,
            "images": len(self.judged),
            "image_auroc": self.image_auroc,
            "image_ap": self.image_ap,
            "f1": self.f1,
            "refused": self.refused,
            **_rate("miss_rate", self.miss),
            **_rate("false_reject_rate", self.false_reject),
            "confusion": {
                truth: dict(Counter(judged.verdict.value for judged in judged_parts))
                for truth, judged_parts in (("good", self.good), ("defective", self.defective))
            },
            "per_defect": {kind: self._per_defect(kind) for kind in sorted({j.picture.defect for j in self.defective})},
            "ms_p50": float(np.percentile([judged.milliseconds for judged in self.judged], 50)),
            "ms_p95": float(np.percentile([judged.milliseconds for judged in self.judged], 95)),
        }

    def _per_defect(self, kind: str) -> dict[str, object]:
        parts = tuple(judged for judged in self.defective if judged.picture.defect == kind)
        missed = Rate(sum(judged.accepted for judged in parts), len(parts))
        roc = auroc(_finite(self.good), _finite(parts)) if self.good else None
        return {"images": len(parts), "image_auroc": roc, **_rate("miss_rate", missed)}


def evaluate(
    bundle: Bundle, inspector: Inspector, folder: Path, rule: str, report: Callable[[str, float], None]
) -> Evaluation:
    """Judge the test pictures below `folder` and compare with the truth.

    Raises:
        UsageError: no such rule.
        DataError: another layout than test/good and test/<defect>, or pictures that the bundle was made from.
    """
    levels, min_area = bundle.manifest.calibration.levels, bundle.recipe.min_area_px
    score = None if rule == CALIBRATED else prior_rule(rule, levels, min_area)
    pictures = find_tests(folder)
    refuse_seen(bundle, pictures)
    judged = []
    for place, picture in enumerate(pictures):
        inspection = inspector.inspect(picture.path.read_bytes())
        judged.append(_judged(picture, inspection, score))
        report("evaluate", (place + 1) / len(pictures))
    return Evaluation(rule, tuple(judged))


def refuse_seen(bundle: Bundle, pictures: Sequence[TestPicture]) -> None:
    """Raise DataError when one of the test pictures made the bundle."""
    provenance, card = bundle.manifest.provenance, bundle.manifest.calibration
    used = {*provenance.fit_digests, *provenance.tune_digests, *card.digests, *card.ng_digests}
    seen = [picture.path for picture in pictures if digest_of(picture.path) in used]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(pictures)} test pictures made this bundle (for instance {seen[0]}): figures from "
            "them would flatter it. Evaluate with pictures that were not used"
        )


def _judged(picture: TestPicture, inspection: Inspection, prior: Score | None) -> Judged:
    judgement, evidence = inspection.judgement, inspection.evidence
    verdict, score = judgement.verdict, judgement.score
    if prior is not None and evidence is not None:
        score = prior(evidence.amap)
        verdict = Verdict.NG if score >= 1 else Verdict.OK
    milliseconds = sum(value for _, value in inspection.timing_ms)
    return Judged(picture, verdict, np.inf if score is None else score, milliseconds)


def _finite(judged: Sequence[Judged]) -> list[float]:
    """Return the scores, those of pictures that could not be judged above all others."""
    return [min(part.score, 1e9) for part in judged]


def _rate(name: str, rate: Rate) -> dict[str, float]:
    return {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
