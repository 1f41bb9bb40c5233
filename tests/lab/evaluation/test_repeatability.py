"""The same part again gets the same verdict, and where not, somebody is told how near it was."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from factories import a_part, png, write_parts
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_inspector.bundle import Bundle
from edge_inspector.cli import app
from edge_inspector.errors import DataError
from edge_inspector.inspection.model import Verdict
from edge_inspector.lab.evaluation.jitter import LADDERS
from edge_inspector.lab.evaluation.metrics import Rate
from edge_inspector.lab.evaluation.repeatability import (
    ChangeStep,
    Repeatability,
    RepeatedPart,
    Shot,
    find_shots,
    fleiss_kappa,
)


def a_repeated_part(name: str, *scores: float | None) -> RepeatedPart:
    """Return a part whose shots have these scores; from 1 on NG, none: INVALID."""
    return RepeatedPart(
        name,
        tuple(
            Shot(Verdict.INVALID if score is None else Verdict.NG if score >= 1 else Verdict.OK, score)
            for score in scores
        ),
    )


def test_agreement_counts_parts_and_the_spread_is_within_them() -> None:
    """That parts differ from each other is no spread; a shot that is INVALID disagrees."""
    parts = (
        a_repeated_part("a", 0.1, 0.3),
        a_repeated_part("b", 2.1, 2.3),
        a_repeated_part("c", 0.9, 1.1),
        a_repeated_part("d", 0.2, None),
    )
    found = Repeatability(synthetic=False, parts=parts, rungs=())

    assert found.agreement == Rate(2, 4)
    assert found.spread == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert found.near == ("c",)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(2, 4)).filter(lambda one: one[0] <= one[1]), min_size=2))
def test_kappa_is_that_of_all_pairs(counts: list[tuple[int, int]]) -> None:
    """Pairs of shots of one part that agree, beyond what chance makes agree; None where all are alike."""
    shots = [[1] * hits + [0] * (n - hits) for hits, n in counts]
    agreed = np.mean([np.mean([a == b for a, b in itertools.combinations(part, 2)]) for part in shots])
    share = np.mean([shot for part in shots for shot in part])
    chance = share**2 + (1 - share) ** 2

    if share in (0, 1):
        assert fleiss_kappa(counts) is None
    else:
        assert fleiss_kappa(counts) == pytest.approx((agreed - chance) / (1 - chance))


def test_kappa_needs_repeated_shots() -> None:
    """One shot agrees with itself."""
    assert fleiss_kappa([(1, 1), (0, 1)]) is None


def test_a_change_is_harmless_up_to_the_first_rung_that_is_not() -> None:
    """What is kept again further up does not count; a shift must be harmless to both sides."""
    rungs = [
        ChangeStep("shift", 1, "px", Rate(20, 20)),
        ChangeStep("shift", 2, "px", Rate(19, 20)),
        ChangeStep("shift", 4, "px", Rate(18, 20)),
        ChangeStep("shift", 8, "px", Rate(20, 20)),
        ChangeStep("shift back", 1, "px", Rate(20, 20)),
        ChangeStep("turn", 1, "degrees", Rate(0, 20)),
    ]
    found = Repeatability(synthetic=True, parts=(), rungs=tuple(rungs))

    assert found.harmless("shift") == 2
    assert found.harmless("turn") is None
    assert found.harmless_shift == 1


def test_shots_are_sub_folders_or_single_images(tmp_path: Path) -> None:
    """Anything between is refused, since one shot would agree with itself."""
    write_parts(tmp_path / "flat", 2)
    for name in ("a", "b"):
        write_parts(tmp_path / "shots" / name, 2)

    assert [(name, len(shots)) for name, shots in find_shots(tmp_path / "flat")] == [
        ("part-0000.png", 1),
        ("part-0001.png", 1),
    ]
    assert [(name, len(shots)) for name, shots in find_shots(tmp_path / "shots")] == [("a", 2), ("b", 2)]
    write_parts(tmp_path / "shots" / "c", 1)
    with pytest.raises(DataError, match=r"two shots or more.*; c has 1 image"):
        find_shots(tmp_path / "shots")


def test_real_shots_are_judged(bundle: Bundle, tmp_path: Path) -> None:
    """Two equal shots of a good and of a scratched part agree; a good and a scratched shot of one part do not."""
    for part, shots in {"good": (0, 0), "bad": (1, 1), "both": (0, 1)}.items():
        (tmp_path / part).mkdir()
        for place, scratched in enumerate(shots):
            image = a_part(1500, scratched=bool(scratched))
            (tmp_path / part / f"shot_{place}.png").write_bytes(png(image))
    ran = CliRunner().invoke(app, ["repeat", str(bundle.path), str(tmp_path), "--json", "--least", "0.9"])
    figures = json.loads(ran.stdout)

    assert ran.exit_code == 1
    assert figures["synthetic"] is False
    assert (figures["parts"], figures["shots"]) == (3, 6)
    assert figures["disagreeing"] == ["both"]
    assert figures["agreement"] == pytest.approx(2 / 3)
    assert figures["kappa"] is not None
    assert len(figures["changes"]) == sum(len(ladder.amounts) for ladder in LADDERS.values())


def test_single_images_are_changed_a_little(bundle: Bundle, tmp_path: Path) -> None:
    """The text says so, and how far a part may shift; the same seed gives the same figures."""
    write_parts(tmp_path / "good", 3, first=1600)
    command = ["repeat", str(bundle.path), str(tmp_path / "good")]
    texts = [CliRunner().invoke(app, command).stdout for _ in range(2)]

    assert texts[0] == texts[1]
    assert "3, 24 synthetic shots, each a little changed" in texts[0]
    assert "shift" in texts[0].splitlines()[-1]
    assert "standard deviation of one part" in texts[0]
