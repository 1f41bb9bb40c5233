"""What the PLC is told: when it may send parts, once at each change."""

import pytest

from edge_inspector.line.health.health import StateName
from edge_inspector.line.health.readiness import Readiness, Ready


@pytest.mark.parametrize(
    ("state", "blocked", "withheld", "said"),
    [
        ("READY", False, False, Ready(ready=True, packml=4)),
        ("RUNNING", False, False, Ready(ready=True, packml=6)),
        ("RUNNING", True, False, Ready(ready=False, packml=6)),
        ("RUNNING", False, True, Ready(ready=False, packml=6, withheld=True)),
        ("RUNNING", True, True, Ready(ready=False, packml=6)),
        ("PAUSED", False, False, Ready(ready=False, packml=11)),
        ("DEGRADED", False, True, Ready(ready=False, packml=6)),
    ],
)
def test_ready_is_what_all_agree_on(state: StateName, *, blocked: bool, withheld: bool, said: Ready) -> None:
    """A full queue, a changeover, monitor mode or a wrong state: each alone holds the PLC back."""
    assert Readiness().change(state, blocked=blocked, withheld=withheld) == said


def test_only_a_change_is_told() -> None:
    """The PLC's thread ticks at every message, and every tick would bring one back."""
    readiness = Readiness()
    readiness.change("READY", blocked=False, withheld=False)

    assert readiness.change("READY", blocked=False, withheld=False) is None
    assert readiness.change("READY", blocked=True, withheld=False) == Ready(ready=False, packml=4)
