"""The engine runs a bundle's graphs, and one part's map never becomes another's."""

import numpy as np
import pytest
from factories import a_part, png

from edge_inspector.bundle import Bundle, open_detector
from edge_inspector.engines.openvino import ENGINE, OpenVinoDetector, usable_processors
from edge_inspector.inspection.model import Picture
from edge_inspector.inspection.preprocess import as_image, prepare


@pytest.fixture(scope="module")
def detector(bundle: Bundle) -> OpenVinoDetector:
    """Give the compiled graphs of the taught bundle."""
    return open_detector(bundle, 1)


def prepared(bundle: Bundle, seed: int) -> Picture:
    """Return a drawn part as the detector sees it."""
    return prepare(as_image(png(a_part(seed)), 1), bundle.recipe)[0]


def test_a_map_is_as_large_as_the_picture(bundle: Bundle, detector: OpenVinoDetector) -> None:
    """float32, finite, nothing below 0."""
    picture = prepared(bundle, 0)
    features = detector.network(picture)
    amap = detector.residual(picture, features)

    assert features.shape == (1, 1, 64, 64)
    assert amap.shape == (64, 64)
    assert features.dtype == amap.dtype == np.float32
    assert np.isfinite(amap).all()
    assert amap.min() >= 0


def test_the_next_part_does_not_overwrite_an_earlier_map(bundle: Bundle, detector: OpenVinoDetector) -> None:
    """The engine reuses its memory; what it gave out is a copy."""
    pictures = [prepared(bundle, seed) for seed in (0, 1)]
    features = [detector.network(picture) for picture in pictures]
    maps = [detector.residual(*pair) for pair in zip(pictures, features, strict=True)]
    kept = [amap.copy() for amap in maps]
    again = detector.residual(pictures[1], detector.network(pictures[1]))

    assert np.array_equal(maps, kept)
    assert not np.array_equal(features[0], features[1])
    assert np.array_equal(again, maps[1])


def test_the_answer_does_not_depend_on_the_number_of_threads(bundle: Bundle, detector: OpenVinoDetector) -> None:
    """A smaller PC gives the same verdicts, only later."""
    picture = prepared(bundle, 2)
    other = open_detector(bundle, 2)
    maps = [one.residual(picture, one.network(picture)) for one in (detector, other)]

    assert np.abs(maps[0] - maps[1]).max() < 1e-3 * bundle.recipe.decision.threshold


def test_the_engine_is_named_with_its_version() -> None:
    """The card says what calibrated the bundle."""
    assert ENGINE.startswith("openvino 20")
    assert usable_processors() >= 1
