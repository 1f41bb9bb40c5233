"""Every kind of detector: trained on a few parts, exported, loaded where there is no torch, and the same there."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
import torch
from factories import a_part, png, write_parts

from edge_inspector.bundle import Bundle
from edge_inspector.detectors import kinds
from edge_inspector.detectors import training_data as data
from edge_inspector.detectors.settings import KINDS, BackboneSettings, DetectorSettings, parse_settings
from edge_inspector.detectors.training_data import Budget
from edge_inspector.errors import UsageError
from edge_inspector.inspection.preprocess import as_image, prepare
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.inspection.score import area_level
from edge_inspector.lab.train import train
from edge_inspector.lab.training import train_part
from edge_inspector.lab.training.train_part import TrainingRequest

pytestmark = pytest.mark.trains

QUICK = ("padim", "patchcore", "svdd")
"""One that only counts, one that remembers, one that trains; the rest is slow."""
SIZES = {"cae:baseline": 256, "cae:skip": 256, "patch": 200, "cae:ssim-ae": 128}
PROGRAM = """
import json, sys, time
from pathlib import Path
from edge_inspector.bundle import open_inspector, read_bundle
import numpy as np
inspector = open_inspector(read_bundle(Path(sys.argv[1])), threads=1, clock_ns=time.perf_counter_ns)
assert "torch" not in sys.modules
found = []
for name in sys.argv[2:]:
    done = inspector.inspect(Path(name).read_bytes())
    np.save(name + ".npy", done.evidence.amap)
    found.append([done.judgement.verdict, done.judgement.score])
print(json.dumps(found))
"""


def settings_of(kind: str, **changes: str) -> DetectorSettings:
    """Return settings that need nothing but this machine."""
    model = parse_settings(kind, {})
    needs = {"backbone": "random", "allow_random": "True"} if isinstance(model, BackboneSettings) else {}
    return parse_settings(kind, needs | changes)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 32 good parts."""
    return write_parts(tmp_path_factory.mktemp("parts"), 32)


def trained(kind: str, parts: Path, out: Path, **changes: str) -> tuple[Bundle, list[torch.nn.Module]]:
    """Train one kind; return its bundle and the torch modules that were exported."""
    modules: list[torch.nn.Module] = []
    export = train_part.to_onnx

    def remember(module: torch.nn.Module, *rest: object) -> bytes:
        modules.append(module)
        return export(module, *rest)  # type: ignore[arg-type]

    settings = settings_of(kind, **changes)
    size = SIZES.get(kind, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_part, "to_onnx", remember)
        request = TrainingRequest(
            images=parts,
            part="washer",
            out=out,
            detector=settings,
            created=datetime(2026, 1, 1, tzinfo=UTC),
            clock=monotonic,
            report=lambda _words, _share: None,
            width=size,
            height=size,
            channels=settings.CHANNELS,
            budget=Budget(epochs=1, seconds=None),
        )
        return train(request), modules


def torch_map(modules: list[torch.nn.Module], image: np.ndarray) -> np.ndarray:
    """Return the anomaly map that torch computes in float32."""
    network, residual = modules
    with torch.no_grad():
        batch = torch.from_numpy(image[None])
        found = residual(batch, network(batch))
        return np.asarray((found[0] if isinstance(found, tuple) else found).numpy())


def prepared(path: Path, recipe: Recipe) -> np.ndarray:
    """Return the detector's image of a file."""
    return prepare(as_image(path.read_bytes(), recipe.channels), recipe)[0]


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_a_kind_gives_the_same_on_the_line(kind: str, parts: Path, tmp_path: Path) -> None:
    """A new process without torch finds the map that torch found, and the verdicts that follow from it."""
    bundle, modules = trained(kind, parts, tmp_path / "out")
    files = [tmp_path / "good.png", tmp_path / "bad.png"]
    files[0].write_bytes(png(a_part(901)))  # what a memory knows is at no distance, and rounding is all that is left
    files[1].write_bytes(png(a_part(900, scratched=True)))

    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(bundle.path), *map(str, files)], capture_output=True, text=True, check=True
    )

    threshold = bundle.recipe.decision.threshold
    for file, (verdict, score) in zip(files, json.loads(ran.stdout), strict=True):
        found, expected = np.load(f"{file}.npy"), torch_map(modules, prepared(file, bundle.recipe))
        assert np.abs(found - expected).max() <= 1e-3 * threshold
        level = area_level(expected.astype(np.float32), bundle.recipe.min_area_px)
        assert score == pytest.approx(level / threshold, abs=2e-3)
        assert verdict == ("NG" if level >= threshold else "OK")


@pytest.mark.parametrize("kind", ["padim", "cae:my"])
def test_tiles_are_put_together_to_one_map(kind: str, parts: Path, tmp_path: Path) -> None:
    """An image of 64 x 64 in nine tiles of 32 gives one map of 64 x 64."""
    bundle, modules = trained(kind, parts, tmp_path / "out", tile="32", overlap="0")
    image = prepared(min(parts.iterdir()), bundle.recipe)

    assert torch_map(modules, image).shape == (64, 64)
    assert bundle.manifest.detector.settings["tile"] == 32


@pytest.mark.parametrize(
    ("kind", "changes", "height", "width", "words"),
    [
        ("cae:my", {}, 100, 64, "multiples of 16, got 64x100"),
        ("padim", {}, 48, 64, "multiples of 32, got 64x48"),
        ("cae:baseline", {}, 128, 128, "only 256x256, got 128x128"),
        ("padim", {"tile": "128"}, 64, 64, "larger than the detector's image of 64x64"),
        ("padim", {"tile": "64", "overlap": "20"}, 128, 128, "must begin at multiples of 32"),
    ],
)
def test_a_size_that_cannot_be_taken_is_refused(
    kind: str, changes: dict[str, str], height: int, width: int, words: str
) -> None:
    """Before anything is read: what was asked and what would do."""
    with pytest.raises(UsageError, match=words):
        kinds.check_size(parse_settings(kind, changes), height, width)


def test_the_door_knows_every_kind() -> None:
    """A kind that can be set can be trained."""
    assert data.TrainedDetector  # the protocol that the door promises
    assert set(QUICK) < set(KINDS)


@pytest.mark.parametrize(
    ("kind", "longer", "camera", "expected"),
    [
        ("padim", 256, (512, 187), (256, 96)),
        ("padim", 256, (187, 512), (96, 256)),
        ("cae:my", 256, (640, 480), (256, 192)),
        ("padim", 64, (1000, 10), (64, 32)),
    ],
)
def test_the_shape_of_the_image_can_be_kept(
    kind: str, longer: int, camera: tuple[int, int], expected: tuple[int, int]
) -> None:
    """As near as the network's multiples allow."""
    assert kinds.nearest_size(parse_settings(kind, {}), longer, *camera) == expected
