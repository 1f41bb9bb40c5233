"""What the rules of other systems did and what ours does, on whole sets: same maps, same pictures."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_inspector.bundle import Bundle
from edge_inspector.inspection.inspector import Inspection, Inspector
from edge_inspector.lab.dataset import TestPicture, find_tests
from edge_inspector.lab.evaluate import UNREADABLE, refuse_seen
from edge_inspector.lab.metrics import Rate
from edge_inspector.lab.rules import CALIBRATED, Score, prior_rule

logger = logging.getLogger(__name__)

COMPARED = ("aivision", "mean+3sd", "percentile-95", CALIBRATED)


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule on one set."""

    data: str
    rule: str
    false_reject: Rate
    miss: Rate

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the shares of good and of defective parts that are judged rightly."""
        return 1 - (self.false_reject.value + self.miss.value) / 2


def compare_rules(
    bundle: Bundle,
    inspector: Inspector,
    folder: Path,
    rules: Sequence[str],
    report: Callable[[str, float], None],
) -> tuple[RuleRow, ...]:
    """Judge the test pictures below `folder` once, and by every rule.

    Raises:
        UsageError: a rule that does not exist.
        DataError: another layout than test/good and test/<defect>, or pictures that made the bundle.
    """
    levels, min_area = bundle.manifest.calibration.levels, bundle.recipe.min_area_px
    scores = {rule: prior_rule(rule, levels, min_area) for rule in rules if rule != CALIBRATED}
    pictures = find_tests(folder)
    refuse_seen(bundle, pictures)
    rejected: list[tuple[TestPicture, dict[str, bool]]] = []
    for place, picture in enumerate(pictures):
        inspection = inspector.inspect(picture.path.read_bytes())
        report(f"judge {folder.name}", (place + 1) / len(pictures))
        if inspection.judgement.reason in UNREADABLE:
            logger.warning("%s cannot be read: %s", picture.path, inspection.judgement.detail)
            continue
        rejected.append((picture, {rule: _rejects(inspection, scores.get(rule)) for rule in rules}))
    return tuple(_row(folder.name, rule, rejected) for rule in rules)


def _rejects(inspection: Inspection, score: Score | None) -> bool:
    """Say whether the part is not accepted; a picture without a map is accepted by no rule."""
    if score is None or inspection.evidence is None:
        return not inspection.judgement.accept
    return score(inspection.evidence.amap) >= 1


def _row(data: str, rule: str, rejected: Sequence[tuple[TestPicture, dict[str, bool]]]) -> RuleRow:
    good = [verdicts[rule] for picture, verdicts in rejected if picture.good]
    defective = [verdicts[rule] for picture, verdicts in rejected if not picture.good]
    return RuleRow(data, rule, Rate(sum(good), len(good)), Rate(len(defective) - sum(defective), len(defective)))


def as_markdown(rows: Sequence[RuleRow]) -> Iterator[str]:
    """Yield the lines of a table, the best balanced accuracy of each set in bold."""
    yield "| set | rule | false rejects | misses | balanced accuracy |"
    yield "|---|---|---|---|---|"
    best = {row.data: max(r.balanced_accuracy for r in rows if r.data == row.data) for row in rows}
    for place, row in enumerate(rows):
        name = "" if place and rows[place - 1].data == row.data else row.data
        share = f"{row.balanced_accuracy:.2f}"
        shown = f"**{share}**" if row.balanced_accuracy == best[row.data] else share
        yield f"| {name} | `{row.rule}` | {_shown(row.false_reject)} | {_shown(row.miss)} | {shown} |"


def _shown(rate: Rate) -> str:
    return f"{rate.value:.0%} ({rate.hits} of {rate.parts}; {rate.low:.0%} to {rate.high:.0%})"
