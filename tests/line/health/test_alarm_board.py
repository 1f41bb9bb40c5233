"""What everybody is told of alarms: once when each begins, once when it ends."""

from edge_inspector.line.health.alarm_board import AlarmBoard
from edge_inspector.line.health.health import Alarm
from edge_inspector.wire.messages import utc

DISK, CAMERA = Alarm("ledger", "error", "disk full"), Alarm("source", "error", "no camera")
SECOND = 1_000_000_000


def test_an_alarm_is_told_when_it_begins_and_when_it_ends() -> None:
    """Both events carry the moment at which it began."""
    board = AlarmBoard()
    raised = board.update((DISK, CAMERA), SECOND)
    again = board.update((DISK, CAMERA), 2 * SECOND)
    cleared = board.update((CAMERA,), 3 * SECOND)

    assert [(event.code, event.active, event.since) for event in (*raised, *again, *cleared)] == [
        ("ledger", True, utc(SECOND)),
        ("source", True, utc(SECOND)),
        ("ledger", False, utc(SECOND)),
    ]
    assert board.message().active == ("source",)


def test_what_changes_at_once_is_told_at_once() -> None:
    """What is new comes first; what is over is told in the words in which it was raised."""
    board = AlarmBoard()
    board.update((DISK,), 0)

    events = board.update((CAMERA,), 0)

    assert [(event.code, event.active, event.message) for event in events] == [
        ("source", True, "no camera"),
        ("ledger", False, "disk full"),
    ]
