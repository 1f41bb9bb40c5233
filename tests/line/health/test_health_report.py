"""What a station says of itself, and how often."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_inspector.line.health.health import HealthState
from edge_inspector.line.health.health_report import HealthReports
from edge_inspector.line.health.verdict_hold import VerdictHold
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.line.ticks import SourceState

SECOND = 1_000_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Open a new ledger."""
    with open_ledger(tmp_path / "ledger.db", lambda: "ledger-1", lambda: SECOND) as ledger:
        yield ledger


@pytest.fixture
def stages() -> HealthState:
    """Return one stage that turned at 0."""
    return HealthState(("inspect",), 15 * SECOND, "", 0)


@pytest.fixture
def reports(tmp_path: Path, ledger: Ledger, stages: HealthState) -> HealthReports:
    """Return the reports of a station at one second after 1970."""
    return HealthReports(tmp_path, ledger.outbox, stages, lambda: SECOND)


def test_health_is_told_at_every_change_and_every_ten_seconds(reports: HealthReports, stages: HealthState) -> None:
    """An operator sees a change at once, and a receiver that came late waits ten seconds at most."""
    told = [reports.due(second * SECOND, VerdictHold(), ()) is not None for second in (0, 1, 10, 11)]
    reports.enter("READY")
    told.append(reports.due(12 * SECOND, VerdictHold(), ()) is not None)
    stages.take(SourceState(open=True, detail="inbox"), 0)
    told.append(reports.due(12 * SECOND, VerdictHold(), ()) is not None)

    assert told == [True, False, True, False, True, True]


def test_the_newest_health_lies_beside_the_ledger(reports: HealthReports, tmp_path: Path) -> None:
    """`diagnose` reads it where no broker is."""
    reports.enter("PAUSED")
    health = reports.due(0, VerdictHold(), ())

    assert health is not None
    assert json.loads((tmp_path / "health.json").read_text()) == json.loads(health.encode())
    assert health.state == "PAUSED"
    assert health.monitor is not None  # a station that begins knows nothing of it yet
