"""`memory` from a folder of good images to verdicts, on drawn parts and a backbone that has learned nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, monotonic_ns

import cv2
import numpy as np
import pytest
from factories import a_part, png, write_parts

from edge_inspector.bundle import Bundle, open_inspector
from edge_inspector.detectors.memory.graph import MAPS
from edge_inspector.detectors.settings import CaeSettings, CentroidSettings, DetectorSettings, MemorySettings
from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.inspector import Inspector
from edge_inspector.inspection.model import Reason, Verdict
from edge_inspector.inspection.recipe import Region
from edge_inspector.lab.calibration.recalibrate import CalibrationRequest, recalibrate
from edge_inspector.lab.train import is_cross_validated, train
from edge_inspector.lab.training.recipe_draft import RegionRequest
from edge_inspector.lab.training.target import Target
from edge_inspector.lab.training.train_part import TrainingRequest

pytestmark = pytest.mark.trains

SMALL = MemorySettings(backbone="random", allow_random=True, items=100, patches=1000, folds=3)


def an_order(images: Path, out: Path, detector: DetectorSettings = SMALL) -> TrainingRequest:
    """Return an order at 96 x 64."""
    return TrainingRequest(
        images=images,
        part="washer",
        out=out,
        detector=detector,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        clock=monotonic,
        report=lambda _words, _share: None,
        width=96,
        height=64,
        channels=3,
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 20 good parts: too few for a bound, enough for an estimate."""
    return write_parts(tmp_path_factory.mktemp("good"), 20)


@pytest.fixture(scope="module")
def trained(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Give a bundle of kind memory."""
    return train(an_order(good, tmp_path_factory.mktemp("bundles") / "memory"))


@pytest.fixture(scope="module")
def inspector(trained: Bundle) -> Inspector:
    """Give its inspector, which has passed the golden check."""
    return open_inspector(trained, threads=1, clock_ns=monotonic_ns)


def test_all_images_train_and_the_card_promises_no_bound(trained: Bundle) -> None:
    """Each is scored by a model that has not seen it; the words say so."""
    card, provenance = trained.manifest.calibration, trained.manifest.provenance

    assert len({*provenance.fit_digests, *provenance.tune_digests}) == 20
    assert len(card.images) == 20
    assert not card.bounds
    assert "estimated by cross-validation, 20 good parts" in card.in_words()
    assert "confidence" not in card.in_words()
    assert min(level for level in card.levels) >= 0
    assert {one.used_for for one in card.outliers} == {"calibrate"}


def test_a_scratched_part_is_rejected_and_new_good_ones_are_not(inspector: Inspector) -> None:
    """And the shares of the image as a whole and of the maps add up to the score."""
    bad = [inspector.inspect(a_part(seed, scratched=True)).judgement for seed in range(500, 504)]
    new = [inspector.inspect(a_part(seed)).judgement for seed in range(700, 706)]

    assert [one.verdict for one in bad] == [Verdict.NG] * 4
    assert sum(one.verdict is Verdict.OK for one in new) >= 5
    for judgement in (*bad, *new):
        assert [name for name, _ in judgement.shares] == ["whole_image", *MAPS]
        assert judgement.score is not None
        assert sum(value for _, value in judgement.shares) == pytest.approx(judgement.score, abs=1e-3)


def test_another_texture_is_rejected_as_a_whole(inspector: Inspector) -> None:
    """With a reason of its own, and no box round all of the image."""
    flipped = np.ascontiguousarray(255 - a_part(1))
    judgement = inspector.inspect(flipped).judgement

    assert judgement.reason is Reason.WHOLE_IMAGE or "whole" in judgement.detail
    assert judgement.score is not None
    assert judgement.score >= 1


def test_what_is_ignored_changes_no_score(good: Path, tmp_path: Path) -> None:
    """A label under the mask may be anything; regions leave all beside them out."""
    mask = np.zeros((120, 160), np.uint8)
    mask[:30, :40] = 255
    (tmp_path / "mask.png").write_bytes(png(mask))
    unit = RegionRequest(Region(x=48, y=24, width=96, height=90), 20)
    bundle = train(replace(an_order(good, tmp_path / "out"), mask=tmp_path / "mask.png", units=(unit,)))
    judge = open_inspector(bundle, threads=1, clock_ns=monotonic_ns)
    plain = a_part(700)
    labelled = plain.copy()
    cv2.rectangle(labelled, (0, 0), (30, 20), (0, 0, 255), -1)
    before, after = (judge.inspect(image).judgement for image in (plain, labelled))

    assert bundle.recipe.units[0].typical > 0
    assert before.score is not None
    assert after.score == pytest.approx(before.score, rel=0.02)


def test_another_target_needs_no_training(trained: Bundle, good: Path, tmp_path: Path) -> None:
    """The scores of the images by models that had not seen them are kept on the card; another minimum area has none."""
    request = CalibrationRequest(
        images=good,
        out=tmp_path / "looser",
        target=Target(0.2),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        report=lambda _words, _share: None,
        again=True,
    )
    looser = recalibrate(trained, request)

    assert looser.manifest.calibration.threshold < trained.manifest.calibration.threshold
    assert looser.manifest.calibration.estimated
    with pytest.raises(UsageError, match="of its minimum area"):
        recalibrate(trained, replace(request, out=tmp_path / "area", min_area=50.0))


def test_images_held_back_still_back_a_bound(tmp_path: Path) -> None:
    """With --hold-back the limit comes from images that nothing else has used: the card says how sure it is."""
    images = write_parts(tmp_path / "good", 34)
    bundle = train(replace(an_order(images, tmp_path / "out", CentroidSettings(backbone="random", allow_random=True)),
                           hold_back=0.5))  # fmt: skip

    assert bundle.manifest.calibration.groups == 20
    assert bundle.manifest.calibration.bounds
    assert "at 95% confidence" in bundle.manifest.calibration.in_words()


def test_a_kind_without_folds_of_its_own_is_fitted_anew_for_each(good: Path, tmp_path: Path) -> None:
    """Its out-of-fold scores are higher than those of images that it knows."""
    bundle = train(an_order(good, tmp_path / "out", CentroidSettings(backbone="random", allow_random=True)))
    card = bundle.manifest.calibration

    assert card.estimated
    assert len(card.images) == 20


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda folder: write_parts(folder, 4), "4 different parts, at least 5"),
        (lambda folder: _the_same(folder, 8), "1 different parts, at least 5"),
    ],
    ids=["few", "the same"],
)
def test_too_few_parts_are_refused_at_once(write: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    """In words that say how many are needed."""
    with pytest.raises(DataError, match=words):
        train(an_order(write(tmp_path / "good"), tmp_path / "out"))


def _the_same(folder: Path, count: int) -> Path:
    folder.mkdir()
    for place in range(count):
        (folder / f"{place}.png").write_bytes(png(a_part(1)))
    return folder


@pytest.mark.parametrize(
    ("detector", "hold_back", "expected"),
    [
        (SMALL, None, True),
        (SMALL, 0.3, False),
        (CentroidSettings(backbone="rotation:own.safetensors"), None, False),
        (CaeSettings(), None, False),
    ],
    ids=["memory", "asked for", "a backbone that knows the images", "an autoencoder"],
)
def test_images_are_held_back_where_folds_would_not_be_unseen(
    detector: DetectorSettings, hold_back: float | None, *, expected: bool, tmp_path: Path
) -> None:
    """Or would take as long as the training, or where somebody wants a bound."""
    request = replace(an_order(tmp_path, tmp_path / "out", detector), hold_back=hold_back)

    assert is_cross_validated(request) is expected
