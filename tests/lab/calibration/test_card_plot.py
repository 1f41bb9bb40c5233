"""The plot of a calibration shows every part and every limit, and needs nothing but the card."""

from xml.etree import ElementTree as ET

import pytest

from edge_inspector.bundle import Bundle
from edge_inspector.lab.calibration.card_plot import draw_card

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("review", [None, 0.8])
def test_every_part_is_a_dot_under_or_over_the_limit(bundle: Bundle, review: float | None) -> None:
    """Well-formed, one dot a part, the highest part highest, and the promise in words."""
    card = bundle.manifest.calibration
    limit = None if review is None else review * card.threshold
    root = ET.fromstring(draw_card(card, limit))  # noqa: S314
    heights = [float(dot.get("cy", "")) for dot in root.iter(f"{SVG}circle")]
    texts = [text.text for text in root.iter(f"{SVG}text")]

    assert len(heights) == len(card.levels)
    assert heights == sorted(heights)
    assert card.in_words() in texts
    assert ("review" in texts) == (review is not None)
    assert "threshold" in texts


def test_the_plot_is_the_same_each_time(bundle: Bundle) -> None:
    """It belongs to a record."""
    assert draw_card(bundle.manifest.calibration) == draw_card(bundle.manifest.calibration)
