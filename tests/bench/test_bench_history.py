"""Runs are kept, and a slow-down is seen."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_inspector.bench.history import Run, a_run, compare_and_keep
from edge_inspector.bench.targets import Row
from edge_inspector.errors import DataError


def run_of(ratio: float, day: int, processor: str = "EPYC, 2 processors", detector: str = "cae:my") -> Run:
    """Return a run with one figure."""
    row = Row("graphs / floor", ratio, 0.7)
    return a_run([row], datetime(2026, 1, day, tzinfo=UTC), processor, detector, "0.1.0")


def test_the_first_run_is_no_slow_down(tmp_path: Path) -> None:
    """There is nothing to hold it against, and it is kept."""
    assert compare_and_keep(tmp_path / "history", run_of(0.5, 1)) == ()
    assert json.loads((tmp_path / "history").read_text())["figures"] == {"graphs / floor": 0.5}


def test_a_run_is_held_against_the_best_of_earlier_ones(tmp_path: Path) -> None:
    """Four slow-downs of 4 % are seen as what they are together."""
    found = [compare_and_keep(tmp_path / "history", run_of(0.5 * 1.04**day, day + 1)) for day in range(4)]

    assert [len(slower) for slower in found] == [0, 0, 0, 1]
    assert (found[3][0].best, found[3][0].at) == (0.5, "2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize("other", [{"processor": "i5, 4 processors"}, {"detector": "padim"}])
def test_other_machines_and_detectors_are_not_compared(tmp_path: Path, other: dict[str, str]) -> None:
    """Only like with like."""
    compare_and_keep(tmp_path / "history", run_of(0.1, 1, **other))

    assert compare_and_keep(tmp_path / "history", run_of(0.5, 2)) == ()


def test_a_history_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    """And nothing is added to it."""
    history = tmp_path / "history"
    compare_and_keep(history, run_of(0.5, 1))
    with history.open("a") as lines:
        lines.write("{}\n")
    before = history.read_text()

    with pytest.raises(DataError, match="line 2: expected a run of `bench` as JSON"):
        compare_and_keep(history, run_of(0.5, 2))
    assert history.read_text() == before


def test_what_is_wanted_is_met_up_to_its_limit() -> None:
    """`At most` includes the limit; a figure that is not a number is not met."""
    assert Row("a", 0.7, 0.7).met
    assert not Row("a", 0.71, 0.7).met
    assert not Row("a", float("nan"), 0.7).met
