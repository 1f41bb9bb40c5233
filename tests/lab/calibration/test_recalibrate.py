"""Another threshold for a bundle: the calibrate images are used once, and none of them vanishes unseen."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from factories import write_parts

from edge_inspector.bundle import NETWORK, RESIDUAL, Bundle
from edge_inspector.errors import DataError, EdgeInspectorError, UsageError
from edge_inspector.lab.calibration.recalibrate import CalibrationRequest, recalibrate
from edge_inspector.lab.data.dataset import digest_of
from edge_inspector.lab.training.target import Target


def a_wish(images: Path, out: Path, **changes: Any) -> CalibrationRequest:  # noqa: ANN401
    """Return a wish for 30 % at 95 %: two of twenty parts may be rejected."""
    values: dict[str, Any] = {
        "target": Target(0.3),
        "created": datetime(2026, 1, 1, tzinfo=UTC),
        "report": lambda _words, _share: None,
    }
    return CalibrationRequest(images=images, out=out, **{**values, **changes})


@pytest.fixture
def trained_from(good_parts: Path, tmp_path: Path) -> Path:
    """Give a copy of the folder that trained the bundle."""
    return shutil.copytree(good_parts, tmp_path / "good")


def worst(bundle: Bundle, folder: Path, count: int) -> list[Path]:
    """Return the calibrate images with the highest levels, in a copy of their folder."""
    ranked = sorted(bundle.manifest.calibration.images, key=lambda one: -(one.level or 0))
    return [folder / Path(one.image).name for one in ranked[:count]]


def test_the_limit_changes_and_nothing_else(bundle: Bundle, trained_from: Path, tmp_path: Path) -> None:
    """A new bundle with the same graphs, from the images that calibrated the first one, for another target."""
    again = recalibrate(bundle, a_wish(trained_from, tmp_path / "out", again=True, min_area=25))
    graphs = (NETWORK, RESIDUAL, "weights.safetensors")

    assert {name: again.manifest.files[name] for name in graphs} == {
        name: bundle.manifest.files[name] for name in graphs
    }
    assert again.recipe.decision.min_area == 25
    assert set(again.manifest.calibration.digests) == set(bundle.manifest.calibration.digests)
    assert not again.manifest.calibration.provisional
    assert again.manifest.calibration.id != bundle.manifest.calibration.id
    assert again.id != bundle.id


@pytest.fixture(scope="module")
def new_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 26 parts that the detector does not know."""
    return write_parts(tmp_path_factory.mktemp("new"), 26, first=500)


@pytest.fixture(scope="module")
def calibrated(bundle: Bundle, new_parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Give a bundle that these parts calibrated."""
    return recalibrate(bundle, a_wish(new_parts, tmp_path_factory.mktemp("calibrated") / "out"))


@pytest.fixture
def known(new_parts: Path, tmp_path: Path) -> Path:
    """Give a copy of their folder."""
    return shutil.copytree(new_parts, tmp_path / "known")


def test_images_that_were_never_seen_calibrate_too(bundle: Bundle, calibrated: Bundle) -> None:
    """Another folder, other parts: the old card says nothing about them."""
    card = calibrated.manifest.calibration

    assert card.groups == 26
    assert card.excluded == ()
    assert not set(card.digests) & set(bundle.manifest.calibration.digests)


def test_an_image_that_was_deleted_counts_as_rejected(calibrated: Bundle, known: Path, tmp_path: Path) -> None:
    """Deleting the worst images does not lower the threshold: one by one they use up what may be rejected."""
    before = calibrated.manifest.calibration
    gone = worst(calibrated, known, before.exceedances + 1)
    for path in gone[:-1]:
        path.unlink()
    after = recalibrate(calibrated, a_wish(known, tmp_path / "after")).manifest.calibration

    assert before.exceedances >= 2
    assert after.threshold == pytest.approx(before.threshold)
    assert after.groups == before.groups == 26
    assert [one.marked_by for one in after.excluded] == [""] * before.exceedances
    assert {Path(one.image).name for one in after.excluded} == {path.name for path in gone[:-1]}
    gone[-1].unlink()
    with pytest.raises(DataError, match=rf"{len(gone)} of 26 good parts .* {before.exceedances} may be so"):
        recalibrate(calibrated, a_wish(known, tmp_path / "refused"))


def test_an_image_taken_out_by_nobody_counts_as_rejected(calibrated: Bundle, known: Path, tmp_path: Path) -> None:
    """The card lists it, and the parts that may be rejected are one fewer."""
    path = worst(calibrated, known, 1)[0]
    card = recalibrate(calibrated, a_wish(known, tmp_path / "out", exclude=(path.name,))).manifest.calibration

    assert [(Path(one.image).name, one.marked_by) for one in card.excluded] == [(path.name, "")]
    assert card.threshold == pytest.approx(calibrated.manifest.calibration.threshold)
    assert card.groups == 26


def test_a_named_person_takes_a_defective_image_out(calibrated: Bundle, known: Path, tmp_path: Path) -> None:
    """It is listed with the name and counts no more; the next calibration remembers, file or no file."""
    path = worst(calibrated, known, 1)[0]
    marked = recalibrate(calibrated, a_wish(known, tmp_path / "a", exclude=(str(path),), marked_by="Ada"))
    kept = recalibrate(marked, a_wish(known, tmp_path / "b")).manifest.calibration
    path.unlink()
    gone = recalibrate(marked, a_wish(known, tmp_path / "c")).manifest.calibration

    for card in (marked.manifest.calibration, kept, gone):
        assert card.groups == 25
        assert [(Path(one.image).name, one.marked_by) for one in card.excluded] == [(path.name, "Ada")]
        assert len(card.digests) == 26, "an image that was scored must not judge the bundle"


def test_a_deleted_image_can_be_marked_afterwards(calibrated: Bundle, known: Path, tmp_path: Path) -> None:
    """By its name: the card knows it though the file is gone."""
    path = worst(calibrated, known, 1)[0]
    path.unlink()
    request = a_wish(known, tmp_path / "out", exclude=(path.name,), marked_by="Ada")
    card = recalibrate(calibrated, request).manifest.calibration

    assert card.groups == 25
    assert [one.marked_by for one in card.excluded] == ["Ada"]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({}, DataError, r"40 of 60 images trained the detector .* say --again"),
        ({"again": True, "exclude": ("no.png",)}, UsageError, "--exclude no.png: .* there is none"),
        ({"again": True, "marked_by": "Ada"}, UsageError, "--by .* say which with --exclude"),
        ({"again": True, "min_area": 1e6}, UsageError, "--min-area 1e.06 is larger"),
        ({"ng": Path("ng")}, UsageError, "--ng .* give --again"),
        ({"again": True, "ng": Path("ng"), "min_area": 9}, UsageError, "either --ng or --min-area"),
        ({"again": True, "ng": Path("/no such folder")}, DataError, "is not a folder"),
    ],
    ids=["seen", "no such image", "by nobody", "area", "ng without again", "ng and area", "no ng folder"],
)
def test_a_wish_that_cannot_be_granted_is_refused(
    bundle: Bundle,
    good_parts: Path,
    tmp_path: Path,
    changes: dict[str, object],
    error: type[EdgeInspectorError],
    words: str,
) -> None:
    """With what to do, and without a bundle left behind."""
    with pytest.raises(error, match=words):
        recalibrate(bundle, a_wish(good_parts, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_again_wants_the_folder_that_trained_the_bundle(bundle: Bundle, known: Path, tmp_path: Path) -> None:
    """Another folder has none of its calibrate images."""
    with pytest.raises(DataError, match=r"no image in .* calibrated"):
        recalibrate(bundle, a_wish(known, tmp_path / "out", again=True))


def test_ng_images_choose_the_minimum_area(bundle: Bundle, trained_from: Path, tmp_path: Path) -> None:
    """The pair that misses fewest is taken, the table is kept, and the images must not judge the bundle later."""
    ng = write_parts(tmp_path / "ng", 6, scratched=True, first=2000)
    chosen = recalibrate(bundle, a_wish(trained_from, tmp_path / "out", again=True, ng=ng))
    card = chosen.manifest.calibration
    (best,) = (pair for pair in card.area_pairs if pair.chosen)

    assert len({pair.min_area for pair in card.area_pairs}) == len(card.area_pairs) >= 5
    assert bundle.recipe.decision.min_area in {pair.min_area for pair in card.area_pairs}
    assert best.missed == min(pair.missed for pair in card.area_pairs) == 0
    assert {pair.defective for pair in card.area_pairs} == {6}
    assert chosen.recipe.decision.min_area == best.min_area
    assert set(card.ng_digests) == {digest_of(path) for path in ng.iterdir()}
    assert any("of the 6 NG images that chose the minimum area are missed" in note for note in card.notes)
    assert set(card.digests) == set(bundle.manifest.calibration.digests), "the calibrate images chose nothing"
