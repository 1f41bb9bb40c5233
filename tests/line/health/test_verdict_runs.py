"""What many verdicts say together."""

from typing import Any

import pytest
from factories import a_result_builder

from edge_inspector.inspection.model import Reason
from edge_inspector.line.health.verdict_runs import VerdictRuns
from edge_inspector.settings import StationSettings

OK, NG, BROKEN, LATE, GONE = (
    Reason.WITHIN_LIMIT,
    Reason.DEFECT,
    Reason.EXCEPTION,
    Reason.LATE,
    Reason.NO_IMAGE,
)


def a_streak(*reasons: Reason, replayed: bool = False, **settings: Any) -> VerdictRuns:  # noqa: ANN401 - a test factory
    """Return what counted these verdicts."""
    station = StationSettings.model_validate(
        {
            "name": "st1",
            "source": {"kind": "folder", "path": "in"},
            "part": [{"name": "washer", "bundle": "b"}],
            **settings,
        }
    )
    verdict_runs = VerdictRuns(station)
    for reason in reasons:
        verdict_runs.take(a_result_builder(reason=reason, replayed=replayed)("ledger-1", 1, 0))
    return verdict_runs


@pytest.mark.parametrize(
    ("reasons", "restarts"),
    [
        ([BROKEN] * 3, True),
        ([BROKEN, LATE, BROKEN], True),
        ([BROKEN] * 2, False),
        ([BROKEN, BROKEN, OK, BROKEN], False),
        ([GONE] * 9, False),
        ([NG] * 9, False),
    ],
)
def test_errors_of_the_program_in_a_row_want_a_new_start(reasons: list[Reason], restarts: bool) -> None:  # noqa: FBT001
    """What a new start cannot cure (no camera, a bad part) never causes one."""
    assert bool(a_streak(*reasons, errors_to_restart=3).concern().errors) is restarts


@pytest.mark.parametrize(
    ("reasons", "alarm"),
    [
        ([NG] * 4, True),
        ([NG] * 3, False),
        ([NG, NG, OK, NG, NG], False),
        ([NG, NG, BROKEN, NG, NG], True),
    ],
)
def test_rejects_in_a_row_are_a_process_alarm(reasons: list[Reason], alarm: bool) -> None:  # noqa: FBT001
    """A part that could not be judged says nothing of the process; none of this ever starts the program again."""
    concern = a_streak(*reasons, ng_in_a_row=4).concern()

    assert bool(concern.rejects) is alarm
    assert concern.errors == ""


@pytest.mark.parametrize(("rejects", "alarm"), [(2, False), (3, True)])
def test_a_reject_rate_over_the_limit_is_a_process_alarm(rejects: int, alarm: bool) -> None:  # noqa: FBT001
    """Twenty percent of ten is two: that is at the limit, not over it."""
    reasons = [NG, OK, OK] * rejects + [OK] * (10 - 3 * rejects)

    assert bool(a_streak(*reasons, ng_rate_percent=20, ng_rate_parts=10).concern().rejects) is alarm


def test_a_rate_needs_its_parts() -> None:
    """One NG of one is no rate."""
    assert a_streak(NG, ng_rate_percent=20, ng_rate_parts=10).concern().rejects == ""


def test_what_was_judged_after_its_time_does_not_count() -> None:
    """A backlog of old images says nothing of the line as it is now."""
    concern = a_streak(*[BROKEN] * 5, replayed=True, errors_to_restart=3).concern()

    assert concern.errors == ""


def test_by_default_only_errors_count() -> None:
    """How many rejects are too many is for the factory to say."""
    assert a_streak(*[NG] * 500).concern().rejects == ""
    assert a_streak(*[BROKEN] * 10).concern().errors
    assert not a_streak(*[BROKEN] * 10, errors_to_restart=0).concern().errors
