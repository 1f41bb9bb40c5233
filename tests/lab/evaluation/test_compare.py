"""A new bundle takes an old one's place only when it is not worse, and somebody sees what changes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from factories import a_judgement, write_parts
from typer.testing import CliRunner

from edge_inspector.bundle import Bundle, read_bundle, write_bundle
from edge_inspector.cli import app
from edge_inspector.errors import DataError
from edge_inspector.inspection.auroc import auroc
from edge_inspector.inspection.model import Reason, Verdict
from edge_inspector.lab.data.dataset import TestImage as KnownImage
from edge_inspector.lab.evaluation.compare import compare
from edge_inspector.lab.evaluation.evaluation import Evaluation, Judged


def an_evaluation(good: list[float], defective: list[float], name: str = "p") -> Evaluation:
    """Return an evaluation with these scores; from 1 on a part is rejected."""
    scores = [("good", score) for score in good] + [("hole", score) for score in defective]
    return Evaluation(
        "calibrated",
        tuple(
            Judged(
                KnownImage(Path(f"{name}{place}.png"), defect, None),
                a_judgement(Reason.DEFECT if score >= 1 else Reason.WITHIN_LIMIT, score=score).verdict,
                score,
                1.0,
            )
            for place, (defect, score) in enumerate(scores)
        ),
    )


def test_the_difference_is_that_of_the_two_figures() -> None:
    """Ties count half, a part that could not be judged ranks above all others."""
    before = an_evaluation([0.1, 0.5, 0.5], [0.5, 0.4, 2.0, np.inf])
    after = an_evaluation([0.1, 0.5, 0.9], [0.9, 0.4, 2.0, 3.0])
    found = compare(before, after, np.random.default_rng(0))

    assert before.image_auroc is not None
    assert after.image_auroc is not None
    assert found.auroc_difference == pytest.approx(after.image_auroc - before.image_auroc)


def test_the_bootstrap_is_the_naive_one() -> None:
    """Its mean and its ends are those of drawing the parts again, one by one, the same for both bundles."""
    rng = np.random.default_rng(1)
    good, defective = rng.normal(0.5, 0.2, (2, 30)), rng.normal([[0.8], [0.9]], 0.3, (2, 20))
    found = compare(*(an_evaluation(list(g), list(d)) for g, d in zip(good, defective, strict=True)), rng, draws=4000)
    naive = []
    for _ in range(4000):
        rows, columns = rng.integers(0, 30, 30), rng.integers(0, 20, 20)
        naive.append(auroc(good[1][rows], defective[1][columns]) - auroc(good[0][rows], defective[0][columns]))

    assert found.auroc_low == pytest.approx(np.percentile(naive, 2.5), abs=0.012)
    assert found.auroc_high == pytest.approx(np.percentile(naive, 97.5), abs=0.012)
    assert found.auroc_low < found.auroc_difference < found.auroc_high


def test_flips_are_told_apart_by_what_they_are_worth() -> None:
    """A good part that is rejected now, and a defective one that is passed, are for the worse and come first."""
    before = an_evaluation([0.5, 1.5, 0.5], [0.5, 1.5, 1.5])
    after = an_evaluation([1.5, 0.5, 0.5], [1.5, 0.5, 1.5])
    flips = compare(before, after, np.random.default_rng(0)).flips

    assert [(flip.image, flip.before, flip.after, flip.for_the_better) for flip in flips] == [
        ("p0.png", "OK", "NG", False),
        ("p4.png", "NG", "OK", False),
        ("p1.png", "NG", "OK", True),
        ("p3.png", "OK", "NG", True),
    ]


@pytest.mark.parametrize(
    ("good", "defective", "tolerance", "worse"),
    [
        ([0.1, 0.5], [2.0, 3.0], 0.0, ()),
        ([0.1, 1.5], [2.0, 3.0], 0.5, ()),
        ([0.1, 1.5], [2.0, 3.0], 0.49, ("false-reject rate",)),
        ([0.1, 0.5], [0.9, 3.0], 0.1, ("miss rate",)),
        ([0.1, 0.5], [0.3, 3.0], 0.1, ("image AUROC", "miss rate")),
    ],
)
def test_worse_is_any_figure_beyond_the_tolerance(
    good: list[float], defective: list[float], tolerance: float, worse: tuple[str, ...]
) -> None:
    """More misses are not paid for with a better AUROC; a difference of just the tolerance is allowed."""
    found = compare(an_evaluation([0.1, 0.5], [2.0, 3.0]), an_evaluation(good, defective), np.random.default_rng(0))

    assert tuple(words.split(" by ")[0] for words in found.worse(tolerance)) == worse


def test_other_images_cannot_be_compared() -> None:
    """Pairs are pairs."""
    with pytest.raises(DataError, match="same images"):
        compare(an_evaluation([0.1], [2.0]), an_evaluation([0.1], [2.0], "q"), np.random.default_rng(0))
    with pytest.raises(DataError, match="both classes, got 2 good, 0 not"):
        compare(an_evaluation([0.1, 0.2], []), an_evaluation([0.1, 0.2], []), np.random.default_rng(0))


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give good and scratched parts that the bundle has never seen."""
    folder = tmp_path_factory.mktemp("known")
    write_parts(folder / "test" / "good", 5, first=1000)
    write_parts(folder / "test" / "scratch", 5, scratched=True, first=2000)
    return folder


@pytest.fixture(scope="module")
def blind(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Give the bundle with a threshold that nothing reaches: it passes everything."""
    manifest = bundle.manifest
    decision = manifest.recipe.decision.model_copy(update={"threshold": 1e6})
    golden = tuple(
        case.model_copy(update={"verdict": Verdict.OK, "score": case.score * manifest.recipe.decision.threshold / 1e6})
        for case in manifest.golden
    )
    changed = manifest.model_copy(
        update={"recipe": manifest.recipe.model_copy(update={"decision": decision}), "golden": golden}
    )
    contents = {name: (bundle.path / name).read_bytes() for name in manifest.files}
    return write_bundle(tmp_path_factory.mktemp("blind") / "blind", changed, contents)


def test_a_worse_bundle_exits_1(bundle: Bundle, blind: Bundle, known: Path) -> None:
    """As a gate before a release; the other way round it is no worse, and the same one changes nothing."""
    worse = CliRunner().invoke(app, ["compare", str(bundle.path), str(blind.path), str(known), "--json"])
    better = CliRunner().invoke(app, ["compare", str(blind.path), str(bundle.path), str(known), "--json"])
    same = CliRunner().invoke(app, ["compare", str(bundle.path), str(bundle.path), str(known), "--tolerance", "0"])

    figures = json.loads(worse.stdout)
    assert worse.exit_code == 1
    assert figures["worse"][0].startswith("miss rate by ")
    assert {flip["after"] for flip in figures["flips"] if flip["defect"] == "scratch"} == {"OK"}
    assert figures["flips"][0].keys() == {"picture", "defect", "before", "after", "for_the_better"}
    assert figures["auroc_difference"] == pytest.approx(0, abs=1e-6)
    assert figures["a"]["id"] == read_bundle(bundle.path).id
    assert not [words for words in json.loads(better.stdout)["worse"] if "miss" in words or "AUROC" in words]
    assert same.exit_code == 0
    assert "0 verdicts change for the worse" in same.stdout


def test_the_comparison_is_kept_as_a_table(bundle: Bundle, blind: Bundle, known: Path) -> None:
    """A line for each image, what each bundle says of it; with `-` nothing else is printed."""
    ran = CliRunner().invoke(app, ["compare", str(bundle.path), str(blind.path), str(known), "--csv", "-"])
    rows = list(csv.DictReader(ran.stdout.splitlines()))

    assert ran.exit_code == 1
    assert len(rows) == 10
    assert {row["after"] for row in rows} == {"OK"}
    assert {row["before"] for row in rows if row["defect"] == "scratch"} == {"NG"}
    assert all(float(row["score_before"]) > float(row["score_after"]) for row in rows)
