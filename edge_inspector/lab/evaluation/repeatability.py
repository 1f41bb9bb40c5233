"""Does a bundle give the same part the same verdict again? By repeated shots, or by changing images a little."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_inspector.errors import DataError
from edge_inspector.inspection.inspector import Inspector
from edge_inspector.inspection.model import Image, Verdict
from edge_inspector.lab.data.dataset import find_images, read_image
from edge_inspector.lab.evaluation.jitter import LADDERS, change, shake
from edge_inspector.lab.evaluation.metrics import Rate

SHOTS = 8
"""Synthetic shots of each part, the image itself among them."""
_NEAR = 3.0
"""Standard deviations of repeated shots from the threshold: a part that is nearer may get either verdict."""
_KEPT = 0.95
"""Share of the parts that must keep their verdict for a change to count as harmless."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What was said of one image of a part."""

    verdict: Verdict
    score: float | None
    """None where the image could not be judged."""

    @property
    def accepted(self) -> bool:
        """Whether the part would be passed."""
        return self.verdict is Verdict.OK


@dataclass(frozen=True, slots=True)
class RepeatedPart:
    """One part and its shots."""

    name: str
    shots: tuple[Shot, ...]

    @property
    def agrees(self) -> bool:
        """Whether all shots got the same verdict."""
        return len({shot.verdict for shot in self.shots}) == 1

    @property
    def scores(self) -> tuple[float, ...]:
        """The scores of the shots that could be judged."""
        return tuple(shot.score for shot in self.shots if shot.score is not None)


@dataclass(frozen=True, slots=True)
class ChangeStep:
    """What becomes of the verdicts when each image is changed by so much."""

    kind: str
    amount: float
    unit: str
    kept: Rate
    """Parts that are accepted, or not, as before."""


@dataclass(frozen=True, slots=True)
class Repeatability:
    """How well a bundle agrees with itself."""

    synthetic: bool
    """Whether the shots were made from one image of each part."""
    parts: tuple[RepeatedPart, ...]
    rungs: tuple[ChangeStep, ...]

    @property
    def agreement(self) -> Rate:
        """Parts whose shots all got the same verdict."""
        return Rate(sum(part.agrees for part in self.parts), len(self.parts))

    @property
    def spread(self) -> float | None:
        """Standard deviation of the scores of one part, pooled over the parts; None without repeated scores."""
        groups = [np.array(part.scores) for part in self.parts if len(part.scores) > 1]
        freedom = sum(len(group) - 1 for group in groups)
        return math.sqrt(sum(((g - g.mean()) ** 2).sum() for g in groups) / freedom) if freedom else None

    @property
    def near(self) -> tuple[str, ...]:
        """The parts whose mean score is within three standard deviations of the threshold: either verdict may come."""
        if self.spread is None:
            return ()
        return tuple(
            part.name for part in self.parts if part.scores and abs(np.mean(part.scores) - 1) < _NEAR * self.spread
        )

    @property
    def kappa(self) -> float | None:
        """Fleiss' kappa of accepting; None where all shots, or none, were accepted: there is no chance to correct."""
        return fleiss_kappa([(sum(shot.accepted for shot in part.shots), len(part.shots)) for part in self.parts])

    def harmless(self, kind: str) -> float | None:
        """Return the largest amount up to which at least 95 % of the parts keep their verdict; None: not even one."""
        largest = None
        for rung in self.rungs:
            if rung.kind == kind:
                if rung.kept.value < _KEPT:
                    break
                largest = rung.amount
        return largest

    @property
    def harmless_shift(self) -> float | None:
        """The largest shift, camera pixels, to either side up to which 95 % of the parts keep their verdict."""
        sides = [self.harmless(kind) for kind in ("shift", "shift back")]
        known = [side for side in sides if side is not None]
        return min(known) if len(known) == len(sides) else None

    def as_json(self) -> dict[str, object]:
        """Return the figures by name."""
        agreement = self.agreement
        return {
            "synthetic": self.synthetic,
            "parts": len(self.parts),
            "shots": sum(len(part.shots) for part in self.parts),
            "agreement": agreement.value,
            "agreement_low": agreement.low,
            "agreement_high": agreement.high,
            "disagreeing": [part.name for part in self.parts if not part.agrees],
            "spread": self.spread,
            "near_threshold": list(self.near),
            "kappa": self.kappa,
            "changes": [
                {
                    "kind": rung.kind,
                    "amount": rung.amount,
                    "unit": rung.unit,
                    "kept": rung.kept.value,
                    "kept_low": rung.kept.low,
                    "kept_high": rung.kept.high,
                }
                for rung in self.rungs
            ],
            "harmless_shift": self.harmless_shift,
            "harmless": {kind: self.harmless(kind) for kind in LADDERS},
        }


def fleiss_kappa(counts: Sequence[tuple[int, int]]) -> float | None:
    """Return Fleiss' kappa of two classes (Fleiss 1971, with as many ratings of a part as there are).

    Args:
        counts: for each part the ratings of the first class, and all of them; parts with one rating are left out.
    """
    repeated = [(hits, shots) for hits, shots in counts if shots > 1]
    shots = sum(count for _, count in repeated)
    if not shots:
        return None
    share = sum(hits for hits, _ in repeated) / shots
    if share in (0.0, 1.0):
        return None
    agreed = [(hits * (hits - 1) + (n - hits) * (n - hits - 1)) / (n * (n - 1)) for hits, n in repeated]
    by_chance = share**2 + (1 - share) ** 2
    return float((np.mean(agreed) - by_chance) / (1 - by_chance))


def repeat(
    inspector: Inspector, folder: Path, rng: np.random.Generator, report: Callable[[str, float], None]
) -> Repeatability:
    """Judge the shots of each part (`part/shot_k`, or made from one image of it), and images changed step by step.

    Raises:
        DataError: no images, or a sub-folder with one shot.
    """
    found = find_shots(folder)
    synthetic = all(len(shots) == 1 for _, shots in found)
    channels = inspector.recipe.channels
    parts, kept = [], []
    for place, (name, shots) in enumerate(found):
        first = read_image(shots[0], channels)
        others = (read_image(path, channels) for path in shots[1:])
        if synthetic:
            others = (shake(first, rng) for _ in range(SHOTS - 1))
        judged = (_judge(inspector, first), *(_judge(inspector, image) for image in others))
        parts.append(RepeatedPart(name, judged))
        kept.append([_judge(inspector, image).accepted == judged[0].accepted for image in _ladder(first)])
        report("judge again", (place + 1) / len(found))
    return Repeatability(synthetic, tuple(parts), _rungs(kept))


def find_shots(folder: Path) -> tuple[tuple[str, tuple[Path, ...]], ...]:
    """Return the parts with their shots: a sub-folder each, or an image each where there are no sub-folders.

    Raises:
        DataError: no images, or sub-folders where at least one holds a single shot.
    """
    images = find_images(folder)
    names = sorted({path.relative_to(folder).parent.as_posix() for path in images})
    if names == ["."]:
        return tuple((path.name, (path,)) for path in images)
    by_name = {name: tuple(p for p in images if p.relative_to(folder).parent.as_posix() == name) for name in names}
    single = [name for name, shots in by_name.items() if len(shots) == 1 or name == "."]
    if single:
        raise DataError(
            f"{folder}: expected a sub-folder for each part with two shots or more, or images without sub-folders "
            f"(then they are changed a little); {single[0]} has {len(by_name[single[0]])} image(s)"
        )
    return tuple(by_name.items())


def _judge(inspector: Inspector, image: Image) -> Shot:
    judgement = inspector.inspect(image).judgement
    return Shot(judgement.verdict, judgement.score)


def _ladder(image: Image) -> Sequence[Image]:
    """Return the image changed by every amount of every kind, in the order of `LADDERS`."""
    return [change(image, kind, amount) for kind, ladder in LADDERS.items() for amount in ladder.amounts]


def _rungs(kept: Sequence[Sequence[bool]]) -> tuple[ChangeStep, ...]:
    steps = [(kind, amount, ladder.unit) for kind, ladder in LADDERS.items() for amount in ladder.amounts]
    return tuple(
        ChangeStep(kind, amount, unit, Rate(sum(column), len(column)))
        for (kind, amount, unit), column in zip(steps, zip(*kept, strict=True), strict=True)
    )
