"""Is a new bundle better than an old one? Both judge the same images, and the images are drawn again in pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspector.errors import DataError
from edge_inspector.lab.evaluation.evaluation import Evaluation, Judged, finite
from edge_inspector.lab.evaluation.separation import DRAWS, Interval, interval_of, wins


@dataclass(frozen=True, slots=True)
class Flip:
    """An image that one bundle accepts and the other does not."""

    image: str
    defect: str
    """`good` for a good part."""
    before: str
    after: str
    """Verdicts."""
    for_the_better: bool

    def as_json(self) -> dict[str, object]:
        """Return the published form."""
        return {
            "picture": self.image,
            "defect": self.defect,
            "before": self.before,
            "after": self.after,
            "for_the_better": self.for_the_better,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changes where the second bundle takes the place of the first."""

    before: Evaluation
    after: Evaluation
    flips: tuple[Flip, ...]
    auroc_difference: float
    """Of the second minus the first."""
    auroc_low: float
    auroc_high: float
    """95 % interval of the difference: paired bootstrap over images, each class by itself."""

    def worse(self, tolerance: float) -> tuple[str, ...]:
        """Return in words by what the second bundle is worse by more than `tolerance`; nothing is good."""
        losses = (
            ("image AUROC", -self.auroc_difference),
            ("miss rate", self.after.miss.value - self.before.miss.value),
            ("false-reject rate", self.after.false_reject.value - self.before.false_reject.value),
        )
        # The last digits of a float must not decide at a difference of just the tolerance.
        return tuple(f"{name} by {loss:.4f}" for name, loss in losses if loss > tolerance + 1e-12)


def compare(before: Evaluation, after: Evaluation, rng: np.random.Generator, draws: int = DRAWS) -> Comparison:
    """Compare two evaluations of the same images.

    Raises:
        DataError: the images are not the same, or one class is missing.
    """
    paths = [[one.image.path for one in found.judged] for found in (before, after)]
    if paths[0] != paths[1]:
        raise DataError(f"expected two evaluations of the same images, got {len(paths[0])} and {len(paths[1])}")
    if not before.good or not before.defective:
        raise DataError(f"a comparison needs both classes, got {len(before.good)} good, {len(before.defective)} not")
    difference = auroc_gain(before, after, rng, draws)
    return Comparison(
        before=before,
        after=after,
        flips=find_flips(before.judged, after.judged),
        auroc_difference=difference.value,
        auroc_low=difference.low,
        auroc_high=difference.high,
    )


def auroc_gain(before: Evaluation, after: Evaluation, rng: np.random.Generator, draws: int = DRAWS) -> Interval:
    """Return the difference of the second minus the first: paired bootstrap over parts, each class by itself.

    Both show the same parts in the same order, both classes among them.
    """
    of_both = [wins(finite(one.good), finite(one.defective)) for one in (before, after)]
    return interval_of(of_both[1] - of_both[0], rng, draws)


def find_flips(before: Sequence[Judged], after: Sequence[Judged]) -> tuple[Flip, ...]:
    """Return the images that are accepted by one and not by the other, changes for the worse first."""
    flips = [
        Flip(
            image=str(old.image.path),
            defect=old.image.defect,
            before=old.verdict.value,
            after=new.verdict.value,
            for_the_better=new.accepted == new.image.good,
        )
        for old, new in zip(before, after, strict=True)
        if old.accepted != new.accepted
    ]
    return tuple(sorted(flips, key=lambda flip: flip.for_the_better))
