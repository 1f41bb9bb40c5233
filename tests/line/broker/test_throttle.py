"""So many commands and no more."""

from edge_inspector.line.broker.throttle import Throttle

SECOND = 1_000_000_000


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    """Whoever waits is heard again; a long silence is no bigger burst."""
    throttle = Throttle(per_s=2, burst=3, left=3, at_ns=0)

    assert [throttle.lets_through(0) for _ in range(4)] == [True, True, True, False]
    assert [throttle.lets_through(SECOND) for _ in range(3)] == [True, True, False]
    assert [throttle.lets_through(9 * SECOND) for _ in range(4)] == [True, True, True, False]
