"""The level is exactly the maximum of the area opening, whatever the map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.morphology import area_opening

from edge_inspector.inspection.score import area_level

Map = NDArray[np.float32]
SIDES = st.integers(3, 8)
TIED = st.sampled_from([np.float32(value) for value in (0, 0.25, 0.5, 0.75, 1)])
ANY = st.floats(-4, 4, width=32)


def opened(amap: Map, min_area: int) -> float:
    """Return what scikit-image says."""
    return float(area_opening(amap, area_threshold=min_area, connectivity=2).max())


@settings(deadline=None, max_examples=80)
@given(amap=hnp.arrays(np.float32, st.tuples(SIDES, SIDES), elements=TIED | ANY, fill=st.nothing()))
def test_the_level_is_the_maximum_of_the_area_opening(amap: Map) -> None:
    """The score is the blob rule itself, for every minimum area: not an approximation of it."""
    found = [area_level(amap, min_area) for min_area in range(1, amap.size + 1)]

    assert found == [opened(amap, min_area) for min_area in range(1, amap.size + 1)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("min_area", [1, 2, 7, 65, 900])
def test_the_level_is_exact_on_maps_of_real_size(seed: int, min_area: int) -> None:
    """Noise with a scratch and a stain in it, as detectors give it."""
    rng = np.random.default_rng(seed)
    amap = rng.gamma(1.0, 0.2, (96, 128)).astype(np.float32)
    amap[20:60, 30 + seed] += 1
    amap[70:90, 80:110] += np.float32(0.8)

    assert area_level(amap, min_area) == opened(amap, min_area)


def test_a_line_one_pixel_wide_counts_by_its_area() -> None:
    """A thin scratch is as large as its pixels, diagonal ones too; a square does not have to fit into it."""
    amap = np.eye(20, dtype=np.float32)

    assert area_level(amap, 20) == 1
    assert area_level(amap, 21) == 0


def test_the_map_is_left_as_it_was() -> None:
    """The level is read from the map, not carved out of it."""
    amap = np.random.default_rng(0).random((12, 9), np.float32)
    before = amap.copy()
    area_level(amap, 5)

    assert (amap == before).all()


@pytest.mark.parametrize("min_area", [0, -1, 10])
def test_an_area_that_no_map_can_hold_is_refused(min_area: int) -> None:
    """No blob of nothing, and none larger than the map."""
    with pytest.raises(ValueError, match="minimum area of 1 to 9 px"):
        area_level(np.zeros((3, 3), np.float32), min_area)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("min_area", [1, 4])
def test_a_map_that_is_not_finite_is_refused(bad: float, min_area: int) -> None:
    """NaN compares false with every threshold, so it would pass as OK if nobody looked."""
    amap = np.ones((4, 4), np.float32)
    amap[2, 1] = bad

    with pytest.raises(ValueError, match="not finite"):
        area_level(amap, min_area)
