"""The engine runs a bundle's graphs, and one part's map never becomes another's."""

import gc
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from factories import a_part, png

from edge_inspector.bundle import Bundle, open_detector
from edge_inspector.engines.openvino import ENGINE, GraphCache, OpenVinoDetector, usable_processors
from edge_inspector.inspection.model import ModelInput
from edge_inspector.inspection.preprocess import as_image, prepare


@pytest.fixture(scope="module")
def detector(bundle: Bundle) -> OpenVinoDetector:
    """Give the compiled graphs of the trained bundle."""
    return open_detector(bundle, 1)


def prepared(bundle: Bundle, seed: int) -> ModelInput:
    """Return a drawn part as the detector sees it."""
    return prepare(as_image(png(a_part(seed)), 1), bundle.recipe)[0]


def test_a_map_is_as_large_as_the_image(bundle: Bundle, detector: OpenVinoDetector) -> None:
    """float32, finite, nothing below 0."""
    image = prepared(bundle, 0)
    features = detector.network(image)
    amap = detector.residual(image, features)

    assert features.shape == (1, 1, 64, 64)
    assert amap.shape == (64, 64)
    assert features.dtype == amap.dtype == np.float32
    assert np.isfinite(amap).all()
    assert amap.min() >= 0


def test_the_next_part_does_not_overwrite_an_earlier_map(bundle: Bundle, detector: OpenVinoDetector) -> None:
    """The engine reuses its memory; what it gave out is a copy."""
    images = [prepared(bundle, seed) for seed in (0, 1)]
    features = [detector.network(image) for image in images]
    maps = [detector.residual(*pair) for pair in zip(images, features, strict=True)]
    kept = [amap.copy() for amap in maps]
    again = detector.residual(images[1], detector.network(images[1]))

    assert np.array_equal(maps, kept)
    assert not np.array_equal(features[0], features[1])
    assert np.array_equal(again, maps[1])


def test_the_answer_does_not_depend_on_the_number_of_threads(bundle: Bundle, detector: OpenVinoDetector) -> None:
    """A smaller PC gives the same verdicts, only later."""
    image = prepared(bundle, 2)
    other = open_detector(bundle, 2)
    maps = [one.residual(image, one.network(image)) for one in (detector, other)]

    assert np.abs(maps[0] - maps[1]).max() < 1e-3 * bundle.recipe.decision.threshold


def test_stations_with_one_bundle_share_its_compiled_graphs_and_get_their_own_answers(bundle: Bundle) -> None:
    """What ten stations compile is compiled once; their requests do not see each other."""
    cache = GraphCache()
    detectors = [open_detector(bundle, 2, cache) for _ in range(3)]
    images = [prepared(bundle, number) for number in range(3)]
    expected = [one.residual(image, one.network(image)) for one, image in zip(detectors, images, strict=True)]

    def judge_often(place: int) -> bool:
        one, image = detectors[place], images[place]
        return all(np.array_equal(one.residual(image, one.network(image)), expected[place]) for _ in range(20))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(judge_often, range(3))) == [True, True, True]
    network = bundle.path / "network.onnx"
    assert cache.compiled(network, "f32", 2) is cache.compiled(network, "f32", 2)


def test_graphs_that_nobody_uses_are_forgotten(bundle: Bundle) -> None:
    """A reload leaves nothing of the bundle before it."""
    cache = GraphCache()
    detector = open_detector(bundle, 1, cache)
    kept = weakref.ref(cache.compiled(bundle.path / "network.onnx", "f32", 1))
    assert kept() is not None

    del detector
    gc.collect()
    assert kept() is None


def test_throughput_gives_the_answers_of_latency(bundle: Bundle, detector: OpenVinoDetector) -> None:
    """The mode says how processors are shared, not what is computed."""
    image = prepared(bundle, 2)
    other = open_detector(bundle, 2, GraphCache(mode="throughput"))
    maps = [one.residual(image, one.network(image)) for one in (detector, other)]

    assert np.abs(maps[0] - maps[1]).max() < 1e-3 * bundle.recipe.decision.threshold


SIGNALLED_AFTER_ANOTHER_BUNDLE = """
import os, signal, sys
from pathlib import Path
from edge_inspector.bundle import open_detector, read_bundle
bundle, heard = read_bundle(Path(sys.argv[1])), []
signal.signal(signal.SIGHUP, lambda *_: heard.append(1))
detectors = [open_detector(bundle, 1) for _ in range(3)]
while detectors:
    del detectors[0]
os.kill(os.getpid(), signal.SIGHUP)
sys.exit(0 if heard else 3)
"""


def test_a_signal_is_heard_after_detectors_have_come_and_gone(bundle: Bundle) -> None:
    """A reload after a refused bundle ended the process: the engine's stack for signals was memory no more."""
    command = [sys.executable, "-c", SIGNALLED_AFTER_ANOTHER_BUNDLE, str(bundle.path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr


def test_the_engine_is_named_with_its_version() -> None:
    """The card says what calibrated the bundle."""
    assert ENGINE.startswith("openvino 20")
    assert usable_processors() >= 1
