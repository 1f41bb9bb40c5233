"""The prior system's rule, as it was: contour area of 85, relative to each image's own maximum."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_inspector.lab.evaluation.aivision import AREA_LIMIT, largest_area


def a_map(height: int, width: int, value: float = 0.9) -> NDArray[np.float32]:
    """Return a 256 x 256 map with one rectangle."""
    amap = np.zeros((256, 256), np.float32)
    amap[100 : 100 + height, 80 : 80 + width] = value
    return amap


@pytest.mark.parametrize(
    ("height", "width", "rejects"), [(10, 10, "no"), (11, 11, "yes"), (1, 40, "no"), (40, 40, "yes"), (0, 0, "no")]
)
def test_a_part_is_rejected_from_eleven_pixels_square(height: int, width: int, rejects: str) -> None:
    """10 x 10 passes, 11 x 11 does not; a thin scratch of 40 pixels passes, and a map without anything."""
    assert (largest_area(a_map(height, width)) >= AREA_LIMIT) == (rejects == "yes")


def test_the_rule_knows_no_absolute_limit() -> None:
    """A large faint stain in an otherwise perfect image is rejected like a strong one: the rule's weakness."""
    assert largest_area(a_map(40, 40, 0.01)) == pytest.approx(largest_area(a_map(40, 40, 0.9)), rel=0.05)


def test_a_strong_speck_hides_a_large_stain() -> None:
    """What is below two thirds of the maximum is not looked at."""
    amap = a_map(40, 40, 0.5)
    amap[10:16, 10:16] = 1

    assert largest_area(amap) < AREA_LIMIT
