"""The inner pieces beside what is usually used for them; run with `pytest tests/benchmarks -m slow`.

Each group is one run, so its times can be compared; the assertions ask for ratios that noise does not reach.
"""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import a_part, a_recipe, jpeg
from pytest_benchmark.fixture import BenchmarkFixture
from skimage.measure import label, regionprops
from skimage.metrics import structural_similarity
from skimage.morphology import area_opening

from edge_inspector.bundle import Bundle, open_detector
from edge_inspector.inspection.blobs import find_blobs
from edge_inspector.inspection.model import Identity, Judgement, Reason
from edge_inspector.inspection.picture import thumbnail
from edge_inspector.inspection.preprocess import Placement, prepare, shrink
from edge_inspector.inspection.quality import make_gate, miniature_of
from edge_inspector.inspection.recipe import Decision, QualityLimits
from edge_inspector.inspection.score import area_level
from edge_inspector.line.ledger import open_ledger
from edge_inspector.wire.messages import Result, result_of

pytestmark = pytest.mark.slow

SIDE, MIN_AREA = 256, 65
PLACEMENT = Placement(0, 0, SIDE, SIDE, SIDE, SIDE)


def a_map() -> np.ndarray:
    """Return an anomaly map with one defect, smooth as residuals are."""
    noise = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    amap = cv2.GaussianBlur(noise, (0, 0), 3)
    amap[100:120, 60:90] += 2
    return amap


def seconds(work: Callable[[], object]) -> float:
    """Return the best of ten: what nobody disturbed."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.benchmark(group="level")
def test_the_level_beside_scikit_image_s_area_opening(benchmark: BenchmarkFixture) -> None:
    """The same number, the highest value of the opened map, in a fraction of its time."""
    amap = a_map()
    theirs = area_opening(amap, area_threshold=MIN_AREA, connectivity=2)

    assert benchmark(area_level, amap, MIN_AREA) == pytest.approx(float(theirs.max()))
    ratio = seconds(lambda: area_level(amap, MIN_AREA)) / seconds(lambda: area_opening(amap, MIN_AREA, connectivity=2))
    assert ratio < 1 / 5


@pytest.mark.benchmark(group="blobs")
def test_the_blobs_beside_scikit_image_s_regions(benchmark: BenchmarkFixture) -> None:
    """The same regions with their boxes and peaks, in some tenths of a millisecond as well."""
    amap, decision = a_map(), Decision(threshold=1.0, min_area=MIN_AREA)

    def theirs() -> list[tuple[float, float]]:
        regions = regionprops(label(amap >= 1.0, connectivity=2), amap)
        return [(one.area, one.intensity_max) for one in regions if one.area >= MIN_AREA and one.bbox]

    found = benchmark(find_blobs, amap, decision, MIN_AREA, PLACEMENT)

    assert np.allclose(sorted((blob.area, blob.peak) for blob in found), sorted(theirs()))
    assert seconds(lambda: find_blobs(amap, decision, MIN_AREA, PLACEMENT)) < 5 * seconds(theirs)


@pytest.mark.benchmark(group="residual")
def test_the_residual_graph_beside_scikit_image_s_ssim(benchmark: BenchmarkFixture, bundle: Bundle) -> None:
    """SSIM, L1, smoothing and tolerance in one graph, against SSIM alone."""
    detector = open_detector(bundle, 1)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8)
    features = detector.network(picture)
    benchmark(detector.residual, picture, features)
    x, y = picture[..., 0] / np.float32(255), features[0, 0]

    ours = seconds(lambda: detector.residual(picture, features))
    theirs = seconds(lambda: structural_similarity(x, y, gaussian_weights=True, sigma=1.5, data_range=1, full=True))
    assert ours < 2 * theirs


@pytest.mark.benchmark(group="quality")
def test_the_gate_beside_the_decoding(benchmark: BenchmarkFixture) -> None:
    """What refuses pictures costs far less than decoding one of 2 megapixels."""
    grey = np.asarray(cv2.cvtColor(a_part(0, width=1600, height=1200), cv2.COLOR_BGR2GRAY))
    recipe = a_recipe(width=SIDE, height=SIDE, camera_width=1600, camera_height=1200)
    seen, _ = shrink(grey, recipe)
    picture, _ = prepare(grey, recipe)
    limits = QualityLimits(dark=80, saturated=0.3, low_contrast=15, blurred=0.1, moved=0.05, wrong_part=0.4)
    gate = make_gate(limits, picture, [miniature_of(picture)] * 128)
    encoded = np.frombuffer(jpeg(grey), np.uint8)
    benchmark(gate.measure, seen, picture)

    assert seconds(lambda: gate.measure(seen, picture)) < seconds(lambda: cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))


@pytest.mark.benchmark(group="ledger")
def test_a_commit(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """With its fsync: the one thing that is waited for on purpose."""
    numbers = itertools.count()

    def result(ledger: str, seq: int, now: int) -> Result:
        identity = Identity(f"part-{next(numbers)}", "press-1", "washer", 1, "mtime")
        judgement = Judgement(Reason.DEFECT, "scratched", 1.5)
        return result_of(
            identity, judgement, ledger=ledger, seq=seq, bundle=None, images=(), decided_ns=now, timing_ms={}
        )

    with open_ledger(tmp_path / "ledger.db", lambda: "ledger-1", time.time_ns) as ledger:
        assert benchmark(lambda: ledger.record(result, None)) is not None


@pytest.mark.benchmark(group="thumbnail")
def test_a_thumbnail(benchmark: BenchmarkFixture) -> None:
    """From 5 megapixels."""
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (1944, 2592), np.uint8), (0, 0), 3)
    jpeg, width, _ = benchmark(thumbnail, image, (), "part", 20_000)

    assert len(jpeg) <= 20_000
    assert width <= 480
