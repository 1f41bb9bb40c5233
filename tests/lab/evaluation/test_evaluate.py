"""Figures from images whose truth is known, and that nothing was learned from."""

import json
from pathlib import Path

import numpy as np
import pytest
from factories import a_judgement, write_masks, write_parts

from edge_inspector.bundle import Bundle, open_inspector
from edge_inspector.errors import DataError
from edge_inspector.inspection.inspector import Inspection, Inspector
from edge_inspector.inspection.model import Image, Reason, Verdict
from edge_inspector.lab.data.dataset import TestImage as KnownImage
from edge_inspector.lab.data.dataset import digest_of
from edge_inspector.lab.evaluation.evaluate import evaluate
from edge_inspector.lab.evaluation.evaluation import Evaluation, Judged, Localisation
from edge_inspector.lab.evaluation.pixels import Overlap

KEYS = {
    "rule", "images", "unreadable", "image_auroc", "image_auroc_low", "image_auroc_high",
    "image_ap", "f1", "refused", "confusion", "per_defect",
    "ms_p50", "ms_p95", "ms_p99",
    "pixel_auroc", "aupro", "masks", "iou_mean", "box_iou_mean", "false_blobs_per_part",
    "blob_recall", "blob_recall_low", "blob_recall_high",
    "prevalence", "precision", "precision_low", "precision_high",
    "miss_rate", "miss_rate_low", "miss_rate_high", "miss_rate_at_5", "miss_rate_at_5_low", "miss_rate_at_5_high",
    "false_reject_rate", "false_reject_rate_low", "false_reject_rate_high",
}  # fmt: skip


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give six good and six scratched parts that the bundle has never seen, and a file that is not an image."""
    folder = tmp_path_factory.mktemp("known")
    write_parts(folder / "test" / "good", 6, first=1000)
    write_parts(folder / "test" / "scratch", 6, scratched=True, first=2000)
    write_masks(folder / "ground_truth" / "scratch", 6, first=2000)
    (folder / "test" / "torn").mkdir()
    (folder / "test" / "torn" / "a.png").write_bytes(b"torn")
    return folder


@pytest.fixture(scope="module")
def inspector(bundle: Bundle) -> Inspector:
    """Give the trained bundle's inspector."""
    return open_inspector(bundle, threads=1, clock_ns=lambda: 0)


def silent(_words: str, _share: float) -> None:
    """Report nothing."""


def judged(defect: str, reason: Reason, score: float) -> Judged:
    """Return one judged image."""
    return Judged(KnownImage(Path("a.png"), defect, None), a_judgement(reason).verdict, score, 2.0)


class TooManyLooks:
    """An inspector that must not be asked."""

    def inspect(self, image: bytes | Image) -> Inspection:
        """Fail."""
        raise AssertionError(f"{len(image)} bytes were judged that should have been refused before")


def test_good_parts_are_told_from_scratched_ones(bundle: Bundle, inspector: Inspector, known: Path) -> None:
    """Every image is judged once, a torn one is neither found nor missed, the JSON has the contract's keys."""
    found = evaluate(bundle, inspector, known, "calibrated", silent)
    figures = json.loads(json.dumps(found.as_json(), allow_nan=False))

    assert set(figures) == KEYS
    assert (figures["images"], figures["unreadable"]) == (12, 1)
    assert figures["image_auroc"] >= 0.95
    assert sum(figures["confusion"]["good"].values()) == 6
    assert sum(figures["confusion"]["defective"].values()) == 6
    assert figures["confusion"]["defective"]["INVALID"] == 0
    assert figures["miss_rate"] == figures["per_defect"]["scratch"]["miss_rate"]
    assert "torn" not in figures["per_defect"]
    assert figures["per_defect"]["scratch"]["images"] == 6
    assert figures["masks"] == figures["per_defect"]["scratch"]["masks"] == 6
    assert figures["pixel_auroc"] >= 0.9
    assert 0.5 <= figures["aupro"] <= 1
    assert 0 < figures["iou_mean"] < 1
    assert figures["blob_recall"] >= 0.5


def test_the_prior_system_s_rule_can_be_compared(bundle: Bundle, inspector: Inspector, known: Path) -> None:
    """The same images, the other rule: only OK and NG where there is a map."""
    found = evaluate(bundle, inspector, known, "aivision", silent)

    assert {one.verdict for one in found.judged} <= {Verdict.OK, Verdict.NG, Verdict.INVALID}
    assert found.as_json()["rule"] == "aivision"


@pytest.mark.parametrize("kind", ["fit_digests", "tune_digests", "calibration"])
def test_images_that_made_the_bundle_are_refused(bundle: Bundle, good_parts: Path, tmp_path: Path, kind: str) -> None:
    """Figures from them would flatter it; one is enough, and nothing is judged before that is known."""
    manifest = bundle.manifest
    used = manifest.calibration.digests if kind == "calibration" else getattr(manifest.provenance, kind)
    by_digest = {digest_of(path): path for path in good_parts.iterdir()}
    folder = write_parts(tmp_path / "test" / "good", 2, first=1000)
    (folder / "renamed.png").write_bytes(by_digest[used[0]].read_bytes())

    with pytest.raises(DataError, match="1 of 3 test images made this bundle"):
        evaluate(bundle, TooManyLooks(), tmp_path, "calibrated", silent)  # type: ignore[arg-type]


def test_another_layout_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """It says which folders were expected."""
    with pytest.raises(DataError, match="expected test/good"):
        evaluate(bundle, TooManyLooks(), tmp_path, "calibrated", silent)  # type: ignore[arg-type]


def test_only_ok_is_accepted() -> None:
    """REVIEW, INVALID and ERROR of a good part are false rejects; of a defective part they are no misses."""
    reasons = [Reason.WITHIN_LIMIT, Reason.DEFECT, Reason.NEAR_LIMIT, Reason.TRUNCATED, Reason.NOT_FINITE]
    found = Evaluation(
        "calibrated", tuple(judged(defect, reason, 0.5) for defect in ("good", "hole") for reason in reasons)
    )

    assert (found.false_reject.hits, found.false_reject.parts) == (4, 5)
    assert (found.miss.hits, found.miss.parts) == (1, 5)
    assert found.f1 == pytest.approx(2 * 4 / (2 * 4 + 4 + 1))


def test_what_the_quality_gate_hides_is_counted() -> None:
    """A defective part that is INVALID was not found: it is no miss, and no merit either."""
    parts = [("good", Reason.WITHIN_LIMIT), ("good", Reason.DARK), ("hole", Reason.MOVED), ("hole", Reason.WRONG_PART)]
    found = Evaluation("calibrated", tuple(judged(defect, reason, 0.5) for defect, reason in parts))

    assert found.refused == {"good": 1, "defective": 2}
    assert found.as_json()["refused"] == {"good": 1, "defective": 2}


def test_an_image_that_cannot_be_judged_ranks_above_all_others() -> None:
    """It is not accepted, so it must not spoil the ranking of the rest either."""
    found = Evaluation(
        "calibrated",
        (
            judged("good", Reason.WITHIN_LIMIT, 0.2),
            judged("hole", Reason.DEFECT, 3.0),
            judged("hole", Reason.TRUNCATED, np.inf),
        ),
    )

    assert found.image_auroc == 1
    assert found.image_ap == 1


@pytest.mark.parametrize("only", ["good", "hole"])
def test_one_class_alone_gives_rates_but_no_curve(only: str) -> None:
    """No division by zero, and no figure that means nothing."""
    figures = Evaluation("calibrated", (judged(only, Reason.WITHIN_LIMIT, 0.5),)).as_json()

    assert figures["image_auroc"] is None
    assert figures["image_ap"] is None
    assert json.dumps(figures, allow_nan=False)


class SameAnswer:
    """An inspector that gives every image the same judgement, and no evidence."""

    def __init__(self, reason: Reason, score: float | None) -> None:
        self._judgement = a_judgement(reason, score=score)

    def inspect(self, image: bytes | Image) -> Inspection:
        """Answer."""
        assert len(image)
        return Inspection(self._judgement, None, ())


@pytest.mark.parametrize(
    ("reason", "score", "message"),
    [
        (Reason.NOT_FINITE, None, "the anomaly map is not finite: the network is damaged"),
        (Reason.WITHIN_LIMIT, 0.5, r"all 13 test images have the same score 0\.5: the detector sees nothing"),
        (Reason.WRONG_FORMAT, None, "none of 13 test images could be judged"),
    ],
)
def test_answers_that_say_nothing_are_refused(
    bundle: Bundle, known: Path, reason: Reason, score: float | None, message: str
) -> None:
    """An AUROC of them would look like a figure."""
    with pytest.raises(DataError, match=message):
        evaluate(bundle, SameAnswer(reason, score), known, "calibrated", silent)  # type: ignore[arg-type]


def test_good_parts_alone_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    """It says what is missing, and what else can be done with them."""
    write_parts(tmp_path / "test" / "good", 2, first=1000)

    with pytest.raises(DataError, match=r"2 good images and no defective one.*calibrate"):
        evaluate(bundle, TooManyLooks(), tmp_path, "calibrated", silent)  # type: ignore[arg-type]


def test_a_mask_of_another_size_is_refused(bundle: Bundle, inspector: Inspector, tmp_path: Path) -> None:
    """And one without an image, before anything is judged."""
    write_parts(tmp_path / "test" / "good", 1, first=1000)
    write_parts(tmp_path / "test" / "scratch", 1, scratched=True, first=2000)
    write_masks(tmp_path / "ground_truth" / "scratch", 1, first=2000, width=80, height=60)
    with pytest.raises(DataError, match="expected a mask of 160x120 like its image, got 80x60"):
        evaluate(bundle, inspector, tmp_path, "calibrated", silent)
    write_masks(tmp_path / "ground_truth" / "scratch", 1, first=2001)

    with pytest.raises(DataError, match="1 of 2 masks belong to no image"):
        evaluate(bundle, TooManyLooks(), tmp_path, "calibrated", silent)  # type: ignore[arg-type]


def test_figures_of_places_are_means_over_the_parts_that_are_marked() -> None:
    """A part without a mask says nothing of places; a good part's blobs are all false."""
    image = KnownImage(Path("a.png"), "hole", None)
    overlaps = (Overlap(0.5, 0.8, 2, 1, 0), Overlap(0.1, 0.2, 1, 1, 1), Overlap(0.0, 0.0, 0, 0, 2), None)
    places = Localisation(tuple(Judged(image, Verdict.NG, 2.0, 1.0, found) for found in overlaps))

    assert places.iou_mean == pytest.approx(0.3)
    assert places.box_iou_mean == pytest.approx(0.5)
    assert (places.recall.hits, places.recall.parts) == (2, 3)
    assert places.false_blobs == pytest.approx(1.0)


def test_confusion_names_all_five_verdicts() -> None:
    """A reader sees that none was INVALID, rather than nothing."""
    figures = Evaluation("calibrated", (judged("good", Reason.NEAR_LIMIT, 0.9),)).as_json()

    assert figures["confusion"]["good"] == {"OK": 0, "NG": 0, "REVIEW": 1, "INVALID": 0, "ERROR": 0}


def test_a_torn_file_counts_neither_as_found_nor_as_missed(
    bundle: Bundle, inspector: Inspector, known: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file of 0 bytes among the defective parts once made a detector better than it is; it is named."""
    found = evaluate(bundle, inspector, known, "calibrated", silent)

    assert [image.path.name for image in found.unreadable] == ["a.png"]
    assert found.miss.parts == 6
    assert "torn/a.png cannot be read" in caplog.text


def test_where_hardly_a_file_can_be_read_there_are_no_figures(
    bundle: Bundle, inspector: Inspector, tmp_path: Path
) -> None:
    """Of one class alone there would be no curve."""
    write_parts(tmp_path / "test" / "good", 2, first=1000)
    (tmp_path / "test" / "scratch").mkdir()
    (tmp_path / "test" / "scratch" / "a.png").touch()

    with pytest.raises(DataError, match=r"1 test images cannot be read .*a\.png"):
        evaluate(bundle, inspector, tmp_path, "calibrated", silent)
