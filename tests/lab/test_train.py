"""What cannot be trained is refused before the training begins, and what was trained says from what."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from factories import a_part, png, write_parts

from edge_inspector.bundle import Bundle
from edge_inspector.detectors.settings import CaeSettings
from edge_inspector.detectors.training_data import Budget
from edge_inspector.errors import DataError, EdgeInspectorError, UsageError
from edge_inspector.inspection.recipe import Region
from edge_inspector.lab.data.dataset import find_good
from edge_inspector.lab.train import train
from edge_inspector.lab.training.recipe_draft import MIN_AREA_SHARE
from edge_inspector.lab.training.target import Target
from edge_inspector.lab.training.train_part import TrainingRequest


def refuse(_words: str, share: float) -> None:
    """Fail when the training gets anywhere."""
    assert share == 0, "the training has begun"


def an_order(images: Path, tmp_path: Path) -> TrainingRequest:
    """Return an order that would be carried out."""
    return TrainingRequest(
        images=images,
        part="washer",
        out=tmp_path / "out",
        detector=CaeSettings(),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        clock=monotonic,
        report=refuse,
        width=32,
        height=32,
        budget=Budget(1, None),
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 32 good parts."""
    return write_parts(tmp_path_factory.mktemp("few"), 32)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"width": 100}, UsageError, "multiples of 16, got 100x32"),
        ({"out": Path("/")}, DataError, "exists already"),
        ({"part": "bracket left"}, UsageError, "--part 'bracket left': expected 1 to 64 characters, no space"),
        ({"part": "a/b"}, UsageError, "--part 'a/b': expected"),
        ({"part": "teil_\udce4"}, UsageError, "--part .*: expected"),
        ({"images": Path("/no such folder")}, DataError, "is not a folder"),
        ({"group": "("}, UsageError, "not a regular expression"),
        ({"group": "part"}, DataError, "32 good images of 1 different parts, at least 30"),
        ({"mask": Path("/no mask.png")}, UsageError, "expected a mask, got no image"),
        (
            {"region": Region(x=100, y=0, width=100, height=100)},
            EdgeInspectorError,
            "outside the images, which have 160x120",
        ),
        ({"target": Target(0.05)}, DataError, "20 good parts cannot show .* 59 can: add 39"),
        ({"target": Target(review=0.1)}, UsageError, "--review 0.1: expected more than the rate of NG, 13.9%"),
        ({"min_area": 1e6}, EdgeInspectorError, "larger than the inspected"),
    ],
    ids=[
        "size",
        "exists",
        "space",
        "slash",
        "no UTF-8",
        "no folder",
        "pattern",
        "one part",
        "no mask",
        "region outside",
        "rate",
        "review",
        "area",
    ],
)
def test_an_order_that_cannot_be_carried_out_is_refused_at_once(
    images: Path, tmp_path: Path, changes: dict[str, object], error: type[EdgeInspectorError], words: str
) -> None:
    """In words for a technician, within seconds, and not after ten minutes of training."""
    with pytest.raises(error, match=words):
        train(replace(an_order(images, tmp_path), **changes))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_mask_of_another_size_is_refused(images: Path, tmp_path: Path) -> None:
    """It says which size the camera's images have."""
    (tmp_path / "mask.png").write_bytes(png(np.zeros((64, 64), np.uint8)))

    with pytest.raises(UsageError, match="expected an image of 160x120, got 64x64"):
        train(replace(an_order(images, tmp_path), mask=tmp_path / "mask.png"))


def test_images_of_mixed_depth_are_refused(tmp_path: Path) -> None:
    """8 and 16 bits in one folder come from two cameras."""
    folder = write_parts(tmp_path / "mixed", 16)
    for seed in range(16, 32):
        (folder / f"{seed}.png").write_bytes(png(a_part(seed).astype(np.uint16) * 200))

    with pytest.raises(DataError, match="mixes 8-bit and 16-bit images"):
        train(an_order(folder, tmp_path))


def test_a_bundle_says_what_it_was_trained_from(bundle: Bundle, good_parts: Path) -> None:
    """The digest of every image, in exactly one of the three sets; versions, processor, seed and steps."""
    provenance, card = bundle.manifest.provenance, bundle.manifest.calibration
    sets = [set(digests) for digests in (provenance.fit_digests, provenance.tune_digests, card.digests)]

    assert set.union(*sets) == {image.digest for image in find_good(good_parts, None)}
    assert sum(map(len, sets)) == 60
    assert [len(one) for one in sets] == [28, 12, 20]
    assert provenance.steps == 15 * (28 // 8)
    assert {"torch", "openvino", "numpy"} <= set(provenance.libraries)
    assert "processors" in provenance.processor


def test_a_bundle_is_provisional_without_a_target(bundle: Bundle) -> None:
    """Twenty parts can show 14 %, and the card says that nobody asked for that."""
    card = bundle.manifest.calibration

    assert card.provisional
    assert card.false_reject == pytest.approx(1 - 0.05 ** (1 / 20))
    assert bundle.recipe.decision.min_area == pytest.approx(MIN_AREA_SHARE * 160 * 120)
    assert sum(rate.synthetic for rate in card.synthetic) > 100


def test_a_trained_detector_finds_synthetic_defects(bundle: Bundle) -> None:
    """Of the large and strong ones more than half; otherwise the card would say so."""
    strong = [rate for rate in bundle.manifest.calibration.synthetic if rate.size == 0.16 and rate.contrast == 60]

    assert sum(rate.found for rate in strong) > sum(rate.synthetic for rate in strong) / 2
