"""How a station is, from what its stages report."""

from typing import Any

import pytest
from factories import a_result_builder

from edge_inspector.line.health.health import PACKML, HealthState
from edge_inspector.line.ticks import Answered, Fault, Report, SourceState, StageReported, Tick

SECOND = 1_000_000_000
OPEN, CLOSED = SourceState(open=True, detail="inbox"), SourceState(open=False, detail="inbox: gone")
NO_DISK = Fault("ledger", "the ledger cannot be written: disk full")


def an_answer() -> Answered:
    """Return an answered part."""
    return Answered(a_result_builder()("ledger-1", 1, 0), None, live=True)


def some_vitals(*reports: Report, part_ready: str = "") -> HealthState:
    """Return the vitals of a station with one stage, born at 0, that reported at 0."""
    health_state = HealthState(("inspect",), 15 * SECOND, part_ready, 0)
    for report in reports:
        health_state.take(report, 0)
    return health_state


@pytest.mark.parametrize(
    ("reports", "asked", "state"),
    [
        ((), {}, "STARTING"),
        ((OPEN,), {}, "READY"),
        ((OPEN, an_answer()), {}, "RUNNING"),
        ((OPEN, an_answer()), {"now_ns": 14 * SECOND}, "RUNNING"),
        ((OPEN,), {"paused": True}, "PAUSED"),
        ((CLOSED,), {}, "DEGRADED"),
        ((CLOSED, an_answer()), {}, "DEGRADED"),
        ((CLOSED, OPEN), {}, "READY"),
        ((OPEN, NO_DISK), {}, "ERROR"),
        ((OPEN, NO_DISK, Fault("ledger", "", active=False)), {}, "READY"),
        ((OPEN, NO_DISK), {"paused": True}, "ERROR"),
        ((OPEN,), {"now_ns": 16 * SECOND}, "ERROR"),
        ((OPEN, Fault("retained_command", "ignored")), {}, "READY"),
        ((OPEN, NO_DISK), {"stopping": True}, "STOPPING"),
    ],
)
def test_the_worst_that_applies_is_the_state(reports: tuple[Report, ...], asked: dict[str, Any], state: str) -> None:
    """One word tells the operator how the station is."""
    given = {"now_ns": 0, "paused": False, "stopping": False, **asked}

    found = some_vitals(*reports).state(given.pop("now_ns"), **given)

    assert found == state


def test_running_is_forgotten_after_a_minute() -> None:
    """A station that has seen no part for a minute waits."""
    health_state = some_vitals(OPEN, an_answer())
    health_state.take(Tick("inspect", 61 * SECOND), 61 * SECOND)

    assert health_state.state(61 * SECOND, paused=False, stopping=False) == "READY"


def test_a_part_without_a_usable_bundle_is_an_error() -> None:
    """What differs from what was accepted does not run, and everybody sees why."""
    health_state = some_vitals(OPEN, part_ready="gives other answers here")

    assert health_state.state(0, paused=False, stopping=False) == "ERROR"
    assert [(alarm.code, alarm.message) for alarm in health_state.alarms(0)] == [("bundle", "gives other answers here")]


def test_a_stage_that_hangs_is_named() -> None:
    """The watchdog is not fed for it, and the log says whom to blame."""
    health_state = some_vitals(OPEN)

    assert health_state.alive(15 * SECOND)
    assert not health_state.alive(16 * SECOND)
    assert [alarm.message for alarm in health_state.alarms(16 * SECOND)] == ["no sign of life from inspect"]


def test_alarms_come_and_go_with_their_cause() -> None:
    """What is over is no alarm any more."""
    health_state = some_vitals(CLOSED, NO_DISK)
    before = [alarm.code for alarm in health_state.alarms(0)]

    health_state.take(OPEN, 0)
    health_state.take(Fault("ledger", "", active=False), 0)

    assert before == ["ledger", "source"]
    assert health_state.alarms(0) == ()
    assert health_state.last_error == NO_DISK.message


def test_the_connection_to_the_broker_is_known() -> None:
    """Health says whether results go out."""
    health_state = some_vitals(StageReported("results", "results connected"))
    before = health_state.connected("results")

    health_state.take(StageReported("results", "results disconnected"), 0)

    assert before
    assert not health_state.connected("results")
    assert not health_state.connected("plc")


def test_every_state_has_its_number() -> None:
    """The PLC reads PackML numbers (ISA-TR88.00.02)."""
    expected = {"STARTING": 3, "READY": 4, "RUNNING": 6, "PAUSED": 11, "DEGRADED": 6, "ERROR": 9, "STOPPING": 7}

    assert expected == PACKML
