"""Settings are chosen by good images and synthetic defects; the threshold's and the test's images stay unseen."""

import csv
import json
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import cv2
import numpy as np
import pytest
from factories import a_bracket, write_brackets, write_parts
from typer.testing import CliRunner

from edge_inspector.cli import app
from edge_inspector.detectors.settings import CaeSettings
from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.placement import Placement, Pose
from edge_inspector.inspection.recipe import Region
from edge_inspector.lab.data.dataset import find_good, split
from edge_inspector.lab.training.recipe_draft import AlignmentRequest, RegionRequest
from edge_inspector.lab.training.synthetic_score import _spoiled, choose_images
from edge_inspector.lab.training.train_part import TrainingRequest
from edge_inspector.lab.training.tune import Search, train_command, tune

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 40 good parts."""
    return write_parts(tmp_path_factory.mktemp("few"), 40)


def a_search(images: Path, storage: Path) -> Search:
    """Return a search of two tiny trials."""
    return Search(
        base=TrainingRequest(
            images=images,
            part="PART",
            out=Path("BUNDLE"),
            detector=CaeSettings(),
            created=datetime(2026, 1, 1, tzinfo=UTC),
            clock=monotonic,
            report=lambda _words, _share: None,
        ),
        storage=storage,
        seconds=300,
        trials=2,
        trial_seconds=60,
        kinds=("cae:my",),
        sizes=(32,),
    )


def test_the_calibrate_images_are_kept_back(images: Path) -> None:
    """Trained, tuned and judged by images that share no part, and none of them sets the threshold afterwards."""
    chooser = choose_images(find_good(images, None), 0, None)
    sets = split(find_good(images, None), np.random.default_rng(0))
    digests = [{image.digest for image in part} for part in (chooser.fit, chooser.tune, chooser.judge)]

    assert sum(map(len, digests)) == len(set.union(*digests)) == 20
    assert not set.union(*digests) & {image.digest for image in sets.calibrate}
    assert chooser.kept_back == 20
    assert chooser.inspected_px == 160 * 120
    assert "The 20 calibrate images and all test images were not looked at" in chooser.in_words()


def test_too_few_parts_are_refused(tmp_path: Path) -> None:
    """With the number that is needed."""
    write_parts(tmp_path, 33)

    with pytest.raises(DataError, match=r"7 parts are left to train from, at least 10 are needed"):
        choose_images(find_good(tmp_path, None), 0, None)


@pytest.mark.slow
def test_two_trials_go_on_to_a_third(images: Path, tmp_path: Path) -> None:
    """The defaults come first; what is stored is not tried again, and another search's trials are refused."""
    search = a_search(images, tmp_path / "tune.db")
    found = tune(search)
    more = tune(replace(search, trials=1))

    assert found.trials + found.failed == 2
    assert more.trials + more.failed == 3
    assert more.default_score == found.default_score
    assert found.default_score is not None
    assert found.default_score <= found.score <= more.score <= 1
    with pytest.raises(DataError, match="holds trials of other images"):
        tune(replace(search, sizes=(48,)))


def test_the_command_says_all_that_was_chosen(images: Path, tmp_path: Path) -> None:
    """And all that was asked for."""
    search = a_search(images, tmp_path / "tune.db")
    request = replace(
        search.base, region=Region(x=1, y=2, width=100, height=50), seed=3, normalise="local", group="[^/]+$"
    )
    params = {"detector": "cae:my", "size": 64, "min_area_share": 0.01, "epochs": 7, "rate": 0.002, "augment": ""}

    assert shlex.split(train_command(replace(search, base=request, trial_seconds=90), params, 5000))[2:] == [
        str(images), "--part", "PART", "--out", "BUNDLE", "--detector", "cae:my", "--size", "64", "--min-area", "50",
        "--epochs", "7", "--minutes", "1.5", "--set", "augment=", "--set", "rate=0.002", "--seed", "3",
        "--group", "[^/]+$", "--normalise-local", "--roi", "1,2,100,50",
    ]  # fmt: skip


def test_the_command_says_how_parts_are_found(images: Path, tmp_path: Path) -> None:
    """Alignment and regions are trained as they were tried."""
    search = a_search(images, tmp_path / "tune.db")
    box = Region(x=1, y=2, width=30, height=40)
    request = replace(
        search.base,
        region=Region(x=0, y=0, width=100, height=50),
        align=AlignmentRequest("template", 15.0, box, Path("ref.png")),
        units=(RegionRequest(box, 12.5), RegionRequest(box)),
    )
    params = {"detector": "padim", "size": 64, "min_area_share": 0.01}
    command = shlex.split(train_command(replace(search, base=request), params, 5000))

    assert command[command.index("--roi") :] == [
        "--roi", "0,0,100,50", "--align", "template", "--max-rotation", "15", "--template", "1,2,30,40",
        "--reference", "ref.png", "--region", "1,2,30,40,12.5", "--region", "1,2,30,40",
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("turn", [None, 0.0, 30.0])
def test_a_defect_is_synthetic_on_the_part_wherever_it_lies(turn: float | None, dtype: type) -> None:
    """Shifted and turned with it, in grey and in colour; what is round the inspected region stays as it was."""
    pose = None if turn is None else Pose(turn, 20, -10, 100, 80, 1.0)
    placement = Placement(56, 46, 88, 68, 32, 32, pose)
    inside = cv2.fillPoly(np.zeros((160, 200), np.uint8), [np.rint(placement.outline()).astype(np.int32)], 1)
    inside = cv2.dilate(inside, np.ones((3, 3), np.uint8)) > 0
    for image in (a_bracket(1), a_bracket(1)[..., 0]):
        camera = image.astype(dtype) * (257 if dtype is np.uint16 else 1)
        spoiled = _spoiled(camera, placement, "stain", np.random.default_rng(0))
        changed = np.atleast_3d(spoiled != camera).any(axis=2)

        assert (spoiled.shape, spoiled.dtype) == (camera.shape, camera.dtype)
        assert changed.sum() > 20
        assert not changed[~inside].any()


@pytest.mark.slow
def test_settings_are_searched_for_parts_that_move(tmp_path: Path) -> None:
    """The reference takes no part in it, and defects are found on parts that lie as they like."""
    brackets = write_brackets(tmp_path / "good", 44)
    search = a_search(brackets, tmp_path / "tune.db")
    request = replace(search.base, region=Region(x=56, y=46, width=88, height=68), align=AlignmentRequest("rotate"))
    found = tune(replace(search, base=request, trials=1, sizes=(48,)))

    assert (found.trials, found.failed) == (1, 0)
    assert found.score > 0.6
    assert "--align rotate" in found.command


def test_no_such_kind_is_refused_at_once(tmp_path: Path) -> None:
    """Before images are read."""
    with pytest.raises(UsageError, match="--detector cae:mine: expected one of"):
        tune(replace(a_search(tmp_path, tmp_path / "tune.db"), kinds=("cae:mine",)))


def test_a_search_where_nothing_can_be_trained_says_why(images: Path, tmp_path: Path) -> None:
    """A size that the kind cannot take fails each trial; the last reason is told."""
    with pytest.raises(DataError, match="no trial came to an end: cae:baseline takes only 256x256"):
        tune(replace(a_search(images, tmp_path / "tune.db"), kinds=("cae:baseline",)))


def test_the_command_prints_what_it_found(images: Path, tmp_path: Path) -> None:
    """Scores before and after, which data chose, and what to do next."""
    command = ["tune", str(images), "--storage", str(tmp_path / "t.db"), "--detectors", "cae:my", "--sizes", "32"]
    kept = ["--csv", str(tmp_path / "t.csv")]
    ran = CliRunner().invoke(app, [*command, "--trials", "1", "--trial-minutes", "1"], catch_exceptions=False)
    again = CliRunner().invoke(app, [*command, "--trials", "1", "--trial-minutes", "1", "--json", *kept])

    assert ran.exit_code == 0
    assert "with the defaults" in ran.stdout
    assert f"next            edge-inspector train {images} --part PART" in ran.stdout
    figures = json.loads(again.stdout)
    assert figures["trials"] + figures["failed"] == 2
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [(row["trial"], row["detector"], row["size"]) for row in rows] == [
        ("1", "cae:my", "32"),
        ("2", "cae:my", "32"),
    ]
    assert max(float(row["score"] or 0) for row in rows) == pytest.approx(figures["score"])
