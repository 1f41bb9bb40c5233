"""What a picture to teach from looks like, and where it is written."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import a_part, jpeg

from edge_inspector.line.album import Taken, look_at


def test_focus_and_exposure_are_told() -> None:
    """Whoever stands at the camera hears it at once, not after an hour of pictures."""
    sharp = a_part(0)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 4)
    looks = [look_at(image) for image in (sharp, blurred, np.zeros_like(sharp), np.full_like(sharp, 255))]
    deep = look_at(sharp.astype(np.uint16) * 257)
    twelve = look_at(sharp.astype(np.uint16) << 4)
    words = [Taken(1, Path("a.png"), look, looks[0].sharpness).in_words() for look in looks]

    assert "BLURRED" not in words[0]
    assert "TOO" not in words[0]
    assert "BLURRED" in words[1]
    assert "TOO DARK: 100%" in words[2]
    assert "TOO BRIGHT: 100%" in words[3]
    assert twelve.mean == pytest.approx(looks[0].mean, abs=0.5)
    assert twelve.black == pytest.approx(looks[0].black, abs=0.01)
    assert deep.mean == pytest.approx(looks[0].mean, abs=0.5)
    assert look_at(jpeg(sharp)).mean == pytest.approx(looks[0].mean, abs=1)
