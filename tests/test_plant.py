"""What `make load` prints is measured; here that it measures at all."""

from pathlib import Path

import pytest
from load import measure

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("light", [False, True], ids=["the real connections", "what they say"])
def test_a_few_stations_are_carried(tmp_path: Path, *, light: bool) -> None:
    """Every part is heard, and everything that is retained comes back when the broker is killed."""
    row = measure(tmp_path, 3, 6.0, 4.0, dashboard=False, light=light)

    assert not row.is_behind
    assert row.judged == pytest.approx(6, rel=0.2)
    assert row.retained.messages == 3 * (12 if light else 14)
    assert row.packets > 6 * 6
