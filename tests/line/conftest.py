"""What most tests of the daemon's threads have: a broker of their own, and somebody who listens from the beginning."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto
from daemons import Subscriber


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker."""
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def heard(broker: Mosquitto) -> Iterator[Subscriber]:
    """Listen from the beginning."""
    with Subscriber(broker.port) as heard:
        yield heard
