"""The rules of other systems beside ours, on the same maps and the same images."""

from pathlib import Path

import pytest
from factories import write_parts

from edge_inspector.bundle import Bundle, open_inspector
from edge_inspector.errors import DataError
from edge_inspector.lab.benchmark.rules_table import COMPARED, RuleRow, as_markdown, compare_rules
from edge_inspector.lab.data.sets import find_sets
from edge_inspector.lab.evaluation.evaluate import evaluate
from edge_inspector.lab.evaluation.metrics import Rate


def silent(_words: str, _share: float) -> None:
    """Report nothing."""


def test_each_rule_judges_as_evaluate_does(bundle: Bundle, tmp_path: Path) -> None:
    """One pass over the images gives the rates of `evaluate --rule` for each of them."""
    write_parts(tmp_path / "test" / "good", 5, first=1000)
    write_parts(tmp_path / "test" / "scratch", 5, scratched=True, first=2000)
    inspector = open_inspector(bundle, threads=1, clock_ns=lambda: 0)
    rows = compare_rules(bundle, inspector, tmp_path, COMPARED, silent)

    assert [row.rule for row in rows] == list(COMPARED)
    for row in rows:
        found = evaluate(bundle, inspector, tmp_path, row.rule, silent)
        assert (row.false_reject, row.miss) == (found.false_reject, found.miss)
        assert row.balanced_accuracy == pytest.approx(1 - (found.false_reject.value + found.miss.value) / 2)


def test_sets_are_found_by_their_layout(tmp_path: Path) -> None:
    """Folders with both kinds of images; a root without any is refused with what was found."""
    for folder in ("b/train/good", "b/test/good", "a/train/good", "a/test/good", "c/train/good"):
        (tmp_path / folder).mkdir(parents=True)

    assert [path.name for path in find_sets(tmp_path)] == ["a", "b"]
    with pytest.raises(DataError, match=r"expected folders with train/good, test/good.* found train"):
        find_sets(tmp_path / "c")
    with pytest.raises(DataError, match="found no folders"):
        find_sets(tmp_path / "typo")


def test_the_table_marks_the_best_rule_of_each_set() -> None:
    """Names once a set, rates with their bounds."""
    rows = [RuleRow("tile", "otsu", Rate(4, 4), Rate(0, 4)), RuleRow("tile", "calibrated", Rate(0, 4), Rate(1, 4))]
    lines = list(as_markdown(rows))

    assert lines[2] == "| tile | `otsu` | 100% (4 of 4; 40% to 100%) | 0% (0 of 4; 0% to 60%) | 0.50 |"
    assert lines[3] == "|  | `calibrated` | 0% (0 of 4; 0% to 60%) | 25% (1 of 4; 1% to 81%) | **0.88** |"
