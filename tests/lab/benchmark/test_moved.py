"""What moving the parts costs, and what alignment brings back, is measured on parts that are moved as said."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from factories import a_bracket, a_judgement

from edge_inspector.errors import UsageError
from edge_inspector.inspection.model import Reason
from edge_inspector.lab.benchmark.moved import MovedRequest, MovedRow, as_markdown, lay, measure_moved
from edge_inspector.lab.data.dataset import TestImage as KnownImage
from edge_inspector.lab.evaluation.evaluation import Evaluation, Judged
from edge_inspector.lab.evaluation.separation import Interval

Run = Callable[..., tuple[int, str, str]]


def test_an_image_is_laid_on_a_larger_one_with_its_edge_repeated() -> None:
    """Not moved, it is there bit by bit."""
    image = a_bracket(1)
    laid = lay(image, (30, 20), 0.0, (0.0, 0.0))

    assert laid.shape == (200, 260, 3)
    assert np.array_equal(laid[20:180, 30:230], image)
    assert np.array_equal(laid[0, 30:230], image[0])


def test_an_image_is_moved_as_a_part_would_be() -> None:
    """Turned clockwise about its middle, then shifted to the right and down."""
    moved = lay(a_bracket(1), (0, 0), 12.0, (7.0, -5.0)).astype(float)
    drawn = a_bracket(2, turn=12, shift=(7, -5)).astype(float)

    assert np.abs(moved - drawn).mean() < 5
    assert np.abs(moved - a_bracket(2)).mean() > 10


def a_row(*, moved: bool, aligned: bool) -> MovedRow:
    """Return a row with one good part and one that could not be judged."""
    judged = tuple(
        Judged(KnownImage(Path(f"{kind}.png"), kind, None), a_judgement(reason).verdict, score, 1.0)
        for kind, reason, score in (("good", Reason.WITHIN_LIMIT, 0.5), ("hole", Reason.NOT_ALIGNED, np.inf))
    )
    return MovedRow("tile", moved, aligned, Evaluation("calibrated", judged), Interval(-0.01, -0.03, 0.002), 3.21)


def test_the_table_says_what_was_lost_and_what_was_refused() -> None:
    """Beside the parts that lie still and are not aligned."""
    lines = list(as_markdown((a_row(moved=False, aligned=False), a_row(moved=True, aligned=True))))

    assert lines[2] == "| tile | still | no | 1.000 | - | 0 of 1, 1 of 1 | - |"
    assert lines[3] == "| tile | moved | yes | 1.000 | -0.010 (-0.030 to +0.002) | 0 of 1, 1 of 1 | 3.2 |"


@pytest.mark.parametrize(("shift", "turn"), [(0, 10), (1.5, 10), (0.1, 0), (0.1, 120)])
def test_a_move_that_is_none_is_refused(tmp_path: Path, shift: float, turn: float) -> None:
    """Before anything is read."""

    def train_detector(*_words: object) -> None:
        raise AssertionError("the training has begun")

    with pytest.raises(UsageError, match="expected a shift of 0 to 1 and a rotation of 0 to 90"):
        measure_moved(MovedRequest(tmp_path, shift, turn, 0, train_detector, lambda: 0, lambda _words, _share: None))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alien_figure", "ball_screw"])
def test_alignment_brings_back_what_moving_real_parts_costs(real_data: Path, run: Run, name: str) -> None:
    """Shifted by up to 10 % and turned by up to 15 degrees: the interval holds a loss of less than 0.02."""
    status, out, _ = run("lab", "align", real_data / name, "--json")
    rows = {(row["moved"], row["aligned"]): row for row in json.loads(out)}

    assert status == 0
    assert rows[True, False]["difference"] < -0.1
    assert rows[True, True]["difference"] > -0.02
    assert rows[True, True]["difference_high"] > -0.02
