"""A silhouette says which way a part lies, or nothing where it cannot."""

import cv2
import numpy as np
import pytest
from factories import a_part
from numpy.typing import NDArray

from edge_inspector.inspection.silhouette import long_axis


def a_bar(angle: float, *, bright: bool = True, length: float = 60, width: float = 14) -> NDArray[np.uint8]:
    """Draw a bar on a plain plate, its long side at `angle` degrees clockwise from right."""
    image = np.full((120, 120), 40 if bright else 210, np.uint8)
    corners = cv2.boxPoints(((64.0, 55.0), (length, width), angle))
    cv2.fillPoly(image, [np.rint(corners).astype(np.int32)], 200 if bright else 30)
    return image


@pytest.mark.parametrize("angle", [-80, -45, 0, 10, 45, 89])
@pytest.mark.parametrize("bright", [True, False])
def test_the_axis_is_that_of_the_part(angle: float, bright: bool) -> None:  # noqa: FBT001
    """Bright on dark or dark on bright."""
    found = long_axis(a_bar(angle, bright=bright))

    assert found is not None
    assert abs((found - angle + 90) % 180 - 90) < 1.5


@pytest.mark.parametrize(
    "image",
    [
        np.full((60, 80), 90, np.uint8),
        a_bar(0, length=30, width=30),
        a_bar(0, length=4, width=2),
        np.random.default_rng(0).integers(0, 255, (60, 80)).astype(np.uint8),
        np.repeat(np.linspace(0, 255, 80).astype(np.uint8)[None], 60, 0),
        a_part(0)[..., 0],
    ],
    ids=["flat", "as long as wide", "a speck", "noise", "a gradient", "a round part"],
)
def test_what_has_no_direction_says_nothing(image: NDArray[np.uint8]) -> None:
    """All turns are tried then."""
    assert long_axis(image) is None
