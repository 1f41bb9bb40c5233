"""Parts that lie as they like: trained, calibrated, kept in a bundle and judged as if they lay still."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import cv2
import numpy as np
import pytest
from factories import ROUGH_BRACKET_GRAIN, a_bracket, a_twin, png, write_brackets
from footing import clear_cut
from numpy.typing import NDArray

from edge_inspector.bundle import ALIGN, Bundle, open_inspector, write_bundle
from edge_inspector.detectors.settings import CaeSettings
from edge_inspector.detectors.training_data import Budget
from edge_inspector.errors import DataError, EdgeInspectorError, UsageError
from edge_inspector.inspection.inspector import Inspector
from edge_inspector.inspection.model import Reason, Verdict
from edge_inspector.inspection.recipe import Region
from edge_inspector.lab.calibration.recalibrate import CalibrationRequest, recalibrate
from edge_inspector.lab.data.dataset import digest_of
from edge_inspector.lab.evaluation.evaluate import evaluate
from edge_inspector.lab.train import train
from edge_inspector.lab.training.recipe_draft import AlignmentRequest, RegionRequest
from edge_inspector.lab.training.reference import reference_of
from edge_inspector.lab.training.target import Target
from edge_inspector.lab.training.train_part import TrainingRequest

pytestmark = pytest.mark.trains

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROI = Region(x=56, y=46, width=88, height=68)
BODY, HOLE = Region(x=56, y=80, width=88, height=34), Region(x=100, y=84, width=44, height=30)


def silent(_words: str, _share: float) -> None:
    """Report nothing."""


def an_order(images: Path, out: Path) -> TrainingRequest:
    """Return an order for brackets that lie as they like."""
    return TrainingRequest(
        images=images,
        part="bracket",
        out=out,
        detector=CaeSettings(),
        created=NOW,
        clock=monotonic,
        report=silent,
        width=48,
        height=48,
        budget=Budget(6, None),
        region=ROI,
        align=AlignmentRequest("rotate"),
        units=(RegionRequest(Region(x=56, y=46, width=88, height=34), 60), RegionRequest(BODY)),
    )


@pytest.fixture(scope="module")
def brackets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 44 good brackets, every third rougher than those that tests judge, and a reference."""
    folder = write_brackets(tmp_path_factory.mktemp("brackets"), 44)
    for seed in range(0, 44, 3):
        write_brackets(folder, 1, first=seed, grain=ROUGH_BRACKET_GRAIN)
    (folder / "a-reference.png").write_bytes(png(a_bracket(0)))
    return folder


@pytest.fixture(scope="module")
def aligned(brackets: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Train them, with two regions; good brackets lie clearly below its limit and scratched ones clearly above."""
    bundle = train(an_order(brackets, tmp_path_factory.mktemp("bundles") / "bracket"))
    good, bad = ([png(one) for one in some_brackets(scratched=scratched)] for scratched in (False, True))
    return clear_cut(bundle, good, bad)


def some_brackets(*, scratched: bool) -> Iterator[NDArray[np.uint8]]:
    """Draw twelve that lie at random, further off than those that train."""
    for seed in range(500, 512):
        rng = np.random.default_rng(seed)
        turn, shift = float(rng.uniform(-15, 15)), tuple(rng.uniform(-14, 14, 2))
        yield a_bracket(seed, turn=turn, shift=shift, scratched=scratched)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def inspector(aligned: Bundle) -> Inspector:
    """Give what judges by the bundle, after its golden images have come out again."""
    return open_inspector(aligned, threads=1, clock_ns=lambda: 0)


def test_a_bundle_carries_what_it_aligns_to(aligned: Bundle, brackets: Path) -> None:
    """The reference, how it is looked for, and how alike a part must be; the reference sets no threshold."""
    align, manifest = aligned.recipe.align, aligned.manifest
    reference = digest_of(reference_of(brackets, None))

    assert align is not None
    assert (align.kind, align.max_rotation, align.template) == ("rotate", 20, None)
    assert 0.2 <= align.least <= 0.5
    assert ALIGN in manifest.files
    assert reference in manifest.provenance.fit_digests
    assert reference not in manifest.calibration.digests
    assert all(unit.typical > 0 for unit in aligned.recipe.units)
    assert [unit.min_area for unit in aligned.recipe.units] == [60, pytest.approx(0.001 * 88 * 68)]


def test_parts_are_judged_wherever_they_lie(inspector: Inspector) -> None:
    """Good ones pass; a scratch is found, and its box is where it lies in the camera's image."""
    verdicts, held = [], 0
    for seed in range(500, 512):
        rng = np.random.default_rng(seed)
        turn, shift = float(rng.uniform(-15, 15)), tuple(rng.uniform(-14, 14, 2))
        good, bad = (
            inspector.inspect(png(a_bracket(seed, turn=turn, shift=shift, scratched=scratched))).judgement  # type: ignore[arg-type]
            for scratched in (False, True)
        )
        x, y = cv2.transform(np.array([[[90.0, 98.0]]]), cv2.getRotationMatrix2D((99.5, 79.5), -turn, 1))[0, 0] + shift
        blob = bad.blobs[0]
        held += blob.x <= x <= blob.x + blob.width and blob.y <= y <= blob.y + blob.height
        verdicts.append((good.verdict, bad.verdict))

    assert [bad for _, bad in verdicts] == [Verdict.NG] * 12
    assert [good for good, _ in verdicts] == [Verdict.OK] * 12
    assert held == 12


def test_a_part_that_is_out_of_view_is_not_judged(inspector: Inspector) -> None:
    """Half a part may be the good half."""
    judgement = inspector.inspect(png(a_bracket(1, shift=(72, 0)))).judgement

    assert judgement.reason is Reason.NOT_ALIGNED
    assert judgement.score is None


def test_drawn_truth_is_rotated_with_its_image(aligned: Bundle, inspector: Inspector, tmp_path: Path) -> None:
    """Masks lie in the camera's image; the figures of places compare them with the aligned map."""
    folders = tmp_path / "test" / "scratch", tmp_path / "ground_truth" / "scratch"
    write_brackets(tmp_path / "test" / "good", 4, first=700)
    write_brackets(folders[0], 4, first=800, scratched=True)
    write_brackets(tmp_path / "clean", 4, first=800)
    folders[1].mkdir(parents=True)
    for image in folders[0].iterdir():
        clean = cv2.imread(str(tmp_path / "clean" / image.name))
        difference = cv2.absdiff(cv2.imread(str(image)), clean).max(2)
        (folders[1] / f"{image.stem}_mask.png").write_bytes(png(np.uint8(255) * (difference > 60)))
    found = evaluate(aligned, inspector, tmp_path, "calibrated", silent)

    assert found.image_auroc == 1
    assert found.pixel_auroc is not None
    assert found.pixel_auroc > 0.9
    with pytest.raises(UsageError, match="knows one minimum area"):
        evaluate(aligned, inspector, tmp_path, "aivision", silent)


def test_a_new_threshold_keeps_alignment_and_regions(aligned: Bundle, brackets: Path, tmp_path: Path) -> None:
    """Only the decision changes; a minimum area for all would contradict the regions."""
    request = CalibrationRequest(brackets, tmp_path / "again", Target(), NOW, silent, again=True)
    again = recalibrate(aligned, request)

    assert (again.recipe.align, again.recipe.units) == (aligned.recipe.align, aligned.recipe.units)
    assert again.manifest.files[ALIGN] == aligned.manifest.files[ALIGN]
    assert again.recipe.decision.threshold == pytest.approx(aligned.recipe.decision.threshold)
    with pytest.raises(UsageError, match="each region of this bundle has a minimum area of its own"):
        recalibrate(aligned, replace(request, out=tmp_path / "other", min_area=9.0))


@pytest.mark.parametrize(
    ("image", "words"),
    [(None, "expected the image that parts are aligned to"), (np.zeros((9, 9), np.uint8), "expected a reference of")],
)
def test_a_bundle_without_its_reference_is_refused(
    aligned: Bundle, tmp_path: Path, image: np.ndarray[tuple[int, int], np.dtype[np.uint8]] | None, words: str
) -> None:
    """It would judge parts where they happen to lie."""
    files = {name: digest for name, digest in aligned.manifest.files.items() if name != ALIGN or image is not None}
    twin = a_twin(aligned, tmp_path / "whole", 7)
    contents = {name: png(image) if name == ALIGN else (twin.path / name).read_bytes() for name in files}  # type: ignore[arg-type]
    damaged = write(tmp_path / "damaged", twin, contents)

    with pytest.raises(DataError, match=words):
        open_inspector(damaged, threads=1, clock_ns=lambda: 0)


def write(path: Path, bundle: Bundle, contents: dict[str, bytes]) -> Bundle:
    """Write a bundle that is sound but for what its files mean."""
    return write_bundle(path, bundle.manifest, contents)


def _lost(folder: Path) -> None:
    for number in range(12, 36):
        (folder / f"bracket-{number:04d}.png").write_bytes(png(np.full((160, 200, 3), 5 * number, np.uint8)))


def _of_two_sizes(folder: Path) -> None:
    for number in range(20):
        (folder / f"bracket-{number:04d}.png").write_bytes(png(cv2.resize(a_bracket(number), (180, 144))))


def _noisy(folder: Path) -> None:
    for number in range(36):
        noise = np.random.default_rng(number).integers(0, 255, (160, 200, 3)).astype(np.uint8)
        (folder / f"bracket-{number:04d}.png").write_bytes(png(noise))


def _as_it_is(_folder: Path) -> None:
    """Change nothing."""


@pytest.mark.parametrize(
    ("spoil", "changes", "error", "words"),
    [
        (_lost, {}, DataError, r"good images cannot be used .*bracket-00[123]\d\.png: the image is flat"),
        (_of_two_sizes, {}, DataError, r"several sizes \(180x144, 200x160\)"),
        (_noisy, {}, DataError, "recipe preview"),
        (_as_it_is, {"region": None}, UsageError, "--align rotate needs --roi"),
        (_as_it_is, {"align": AlignmentRequest("template")}, UsageError, "--template x,y,width,height names what"),
        (_as_it_is, {"align": AlignmentRequest(max_rotation=5)}, UsageError, "give --align as well"),
        (_as_it_is, {"align": AlignmentRequest("translate", 5)}, UsageError, "expected a rotation of 0 to translate"),
        (
            _as_it_is,
            {"align": AlignmentRequest("rotate", reference=Path("/no"))},
            UsageError,
            "--reference /no: no such file",
        ),
        (
            _as_it_is,
            {"align": AlignmentRequest("template", template=Region(x=0, y=0, width=20, height=20))},
            DataError,
            "good images cannot be used",
        ),
        (_as_it_is, {"units": (RegionRequest(HOLE), RegionRequest(BODY))}, UsageError, "overlap"),
    ],
)
def test_what_cannot_be_aligned_is_not_trained(
    tmp_path: Path,
    spoil: Callable[[Path], None],
    changes: dict[str, object],
    error: type[EdgeInspectorError],
    words: str,
) -> None:
    """Before the training begins: which image, or which option, and what to do."""
    folder = write_brackets(tmp_path / "good", 36)
    spoil(folder)

    with pytest.raises(error, match=words):
        train(replace(an_order(folder, tmp_path / "out"), **changes))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_reference_of_another_size_is_refused(brackets: Path, tmp_path: Path) -> None:
    """Smaller than the images: rectangles drawn on it would mean other places."""
    small = tmp_path / "small.png"
    small.write_bytes(png(cv2.resize(a_bracket(0), (100, 80))))
    request = replace(an_order(brackets, tmp_path / "out"), align=AlignmentRequest("rotate", reference=small))

    with pytest.raises(DataError, match="it has 100x80 pixels, the others have 200x160"):
        train(request)
