"""There is no verdict without a reason, and only one reason accepts."""

from dataclasses import FrozenInstanceError

import pytest
from factories import a_judgement

from edge_inspector.inspection.model import Reason, Verdict


@pytest.mark.parametrize("reason", Reason)
def test_only_one_reason_accepts_a_part(reason: Reason) -> None:
    """Everything but "no blob over the limit" keeps the part from going on."""
    judgement = a_judgement(reason)

    assert judgement.accept == (reason is Reason.WITHIN_LIMIT)
    assert (judgement.verdict is Verdict.OK) == judgement.accept


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_can_be_looked_up(reason: Reason) -> None:
    """A number of its own range, a meaning, and what to do about it."""
    ranges = {
        Verdict.OK: range(1),
        Verdict.NG: (1, 3),
        Verdict.REVIEW: range(2, 3),
        Verdict.INVALID: range(101, 200),
        Verdict.ERROR: range(201, 300),
    }

    assert reason.number in ranges[reason.verdict]
    assert reason.meaning
    assert reason.remedy or reason is Reason.WITHIN_LIMIT


def test_every_reason_has_its_own_number() -> None:
    """The PLC shows a number, and the handbook one line for it."""
    numbers = [reason.number for reason in Reason]

    assert len(set(numbers)) == len(numbers)


def test_a_judgement_cannot_be_changed_afterwards() -> None:
    """What was decided stays decided."""
    with pytest.raises(FrozenInstanceError):
        a_judgement().reason = Reason.DEFECT  # type: ignore[misc]
