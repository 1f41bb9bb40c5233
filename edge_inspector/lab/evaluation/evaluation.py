"""What a bundle is worth: the figures of judged test images."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspector.inspection.auroc import auroc
from edge_inspector.inspection.model import Verdict
from edge_inspector.lab.data.dataset import TestImage
from edge_inspector.lab.evaluation.metrics import Precision, Rate, average_precision, precision_at
from edge_inspector.lab.evaluation.pixels import Overlap
from edge_inspector.lab.evaluation.separation import SEPARATION_UNKNOWN, Interval, Separation, separate

PREVALENCE = 0.01
"""Share of defective parts on a line, where the user states none."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One test image and what was said of it."""

    image: TestImage
    verdict: Verdict
    score: float
    """Rejected from 1 on. Infinite where the image could not be judged: it is not accepted."""
    milliseconds: float
    overlap: Overlap | None = None
    """Of its blobs with its mask; None where there is none, or the map was judged by another rule."""

    @property
    def accepted(self) -> bool:
        """Whether the part would be passed."""
        return self.verdict is Verdict.OK


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A bundle's figures on one folder of test images."""

    rule: str
    judged: tuple[Judged, ...]
    pixel_auroc: float | None = None
    """Chance that a pixel on a defect is more unusual than one beside; None where there are no masks."""
    aupro: float | None = None
    """Mean overlap with each region over false-positive rates up to 0.3; None where there are no masks."""
    unreadable: tuple[TestImage, ...] = ()
    """Files that are not a whole image: nobody saw a part in them, so they are neither found nor missed."""

    @property
    def good(self) -> tuple[Judged, ...]:
        """The good parts."""
        return tuple(judged for judged in self.judged if judged.image.good)

    @property
    def defective(self) -> tuple[Judged, ...]:
        """The defective parts."""
        return tuple(judged for judged in self.judged if not judged.image.good)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The classes of defects, sorted."""
        return tuple(sorted({judged.image.defect for judged in self.defective}))

    def of_kind(self, kind: str) -> tuple[Judged, ...]:
        """Return the parts with one class of defect."""
        return tuple(judged for judged in self.defective if judged.image.defect == kind)

    @property
    def false_reject(self) -> Rate:
        """Good and verdict other than OK."""
        return Rate(sum(not judged.accepted for judged in self.good), len(self.good))

    @property
    def miss(self) -> Rate:
        """Defective and verdict OK."""
        return missed(self.defective)

    @property
    def refused(self) -> dict[str, int]:
        """How many images were INVALID, by truth: a defective part that cannot be judged is hidden, not found."""
        return {
            truth: sum(judged.verdict is Verdict.INVALID for judged in parts)
            for truth, parts in (("good", self.good), ("defective", self.defective))
        }

    @property
    def image_auroc(self) -> float | None:
        """Chance that a defective part scores higher than a good one; None where a class is missing."""
        return self.auroc_of(self.defective)

    def auroc_of(self, defective: Sequence[Judged]) -> float | None:
        """Return the AUROC of some defective parts against all good ones; None where a class is missing."""
        if not self.good or not defective:
            return None
        return auroc(finite(self.good), finite(defective))

    @property
    def separation(self) -> Separation | None:
        """How well the scores part the classes, whatever the limit is; None where a class is missing."""
        return separate(finite(self.good), finite(self.defective)) if self.good and self.defective else None

    @property
    def image_ap(self) -> float | None:
        """Average precision; None where a class is missing."""
        if not self.good or not self.defective:
            return None
        return average_precision(finite(self.good), finite(self.defective))

    @property
    def f1(self) -> float | None:
        """Of rejecting, at the bundle's threshold; None where there is no defective part."""
        if not self.defective:
            return None
        found = self.miss.parts - self.miss.hits
        return 2 * found / (found + self.false_reject.hits + self.miss.parts)

    def precision_at(self, prevalence: float) -> Precision | None:
        """Return how many of the rejected parts would be defective on a line; None where nothing was rejected."""
        return precision_at(prevalence, miss=self.miss, false_reject=self.false_reject)

    def milliseconds(self, percent: float) -> float:
        """Return a percentile of the time from encoded image to verdict."""
        return float(np.percentile([judged.milliseconds for judged in self.judged], percent))

    def as_json(self, prevalence: float = PREVALENCE) -> dict[str, object]:
        """Return the figures by the names of the contract."""
        precision, separation = self.precision_at(prevalence), self.separation
        return {
            "rule": self.rule,
            "images": len(self.judged),
            "unreadable": len(self.unreadable),
            **_rate("miss_rate", self.miss),
            **_rate("false_reject_rate", self.false_reject),
            **(SEPARATION_UNKNOWN if separation is None else separation.as_json()),
            "image_ap": self.image_ap,
            "f1": self.f1,
            "refused": self.refused,
            "confusion": {"good": confusion(self.good), "defective": confusion(self.defective)},
            "per_defect": {kind: self._per_defect(self.of_kind(kind)) for kind in self.kinds},
            "pixel_auroc": self.pixel_auroc,
            "aupro": self.aupro,
            **Localisation(self.judged).as_json(),
            "prevalence": prevalence,
            "precision": None if precision is None else precision.value,
            "precision_low": None if precision is None else precision.low,
            "precision_high": None if precision is None else precision.high,
            "ms_p50": self.milliseconds(50),
            "ms_p95": self.milliseconds(95),
            "ms_p99": self.milliseconds(99),
        }

    def _per_defect(self, parts: Sequence[Judged]) -> dict[str, object]:
        places = Localisation(parts).as_json()
        figures = {"images": len(parts), "image_auroc": self.auroc_of(parts), **_rate("miss_rate", missed(parts))}
        return {**figures, **{name: places[name] for name in ("masks", "iou_mean", "box_iou_mean", "blob_recall")}}


@dataclass(frozen=True, slots=True)
class Localisation:
    """Whether the blobs of some parts are where the defects are; of the parts whose truth is known by place."""

    judged: Sequence[Judged]

    @property
    def marked(self) -> tuple[Overlap, ...]:
        """The overlaps of parts whose mask marks something."""
        return tuple(part.overlap for part in self.judged if part.overlap is not None and part.overlap.regions)

    @property
    def iou_mean(self) -> float | None:
        """Pixel IoU of blobs and mask, mean over the marked parts; None where there are none."""
        return float(np.mean([found.iou for found in self.marked])) if self.marked else None

    @property
    def box_iou_mean(self) -> float | None:
        """The prior system's IoU of the largest regions' boxes, mean over the marked parts."""
        return float(np.mean([found.box_iou for found in self.marked])) if self.marked else None

    @property
    def recall(self) -> Rate | None:
        """Of the marked regions those that a blob lies on."""
        if not self.marked:
            return None
        return Rate(sum(found.found for found in self.marked), sum(found.regions for found in self.marked))

    @property
    def false_blobs(self) -> float | None:
        """Blobs beside every defect, mean over the good and the marked parts; None where no part is marked."""
        compared = [part.overlap for part in self.judged if part.overlap is not None]
        return float(np.mean([found.false_blobs for found in compared])) if self.marked else None

    def as_json(self) -> dict[str, object]:
        """Return the figures by name."""
        recall = self.recall
        return {
            "masks": len(self.marked),
            "iou_mean": self.iou_mean,
            "box_iou_mean": self.box_iou_mean,
            "blob_recall": None if recall is None else recall.value,
            "blob_recall_low": None if recall is None else recall.low,
            "blob_recall_high": None if recall is None else recall.high,
            "false_blobs_per_part": self.false_blobs,
        }


def confusion(judged: Sequence[Judged]) -> dict[str, int]:
    """Return how often each of the five verdicts was given."""
    counts = Counter(part.verdict for part in judged)
    return {verdict.value: counts[verdict] for verdict in Verdict}


def missed(defective: Sequence[Judged]) -> Rate:
    """Return how many of some defective parts got OK."""
    return Rate(sum(part.accepted for part in defective), len(defective))


def finite(judged: Sequence[Judged]) -> list[float]:
    """Return the scores, those of images that could not be judged above all others."""
    return [min(part.score, 1e9) for part in judged]


def _rate(name: str, rate: Rate) -> dict[str, float]:
    return Interval(rate.value, rate.low, rate.high).as_json(name)
