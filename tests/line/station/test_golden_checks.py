"""Golden checks, one at a time: who asks is told, and who comes too early waits or is turned away."""

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_inspector.line.broker.commands import AcceptedCommand
from edge_inspector.line.ledger.ledger import open_ledger
from edge_inspector.line.station.changeover import ActivePart, CurrentPart
from edge_inspector.line.station.golden_checks import RELOAD, FinishedCheck, GoldenCheck, GoldenChecks, GoldenOutcome

CHANGE = AcceptedCommand("part", "Maria", {"part": "bracket"}, "c1")
SELF_CHECK = AcceptedCommand("self_check", "Maria", {}, "c2")
OUR_OWN = AcceptedCommand("self_check", RELOAD)


@pytest.fixture
def listener() -> ActivePart:
    """Return who must hear of a changeover."""
    return ActivePart("washer")


@pytest.fixture
def current(tmp_path: Path, listener: ActivePart) -> Iterator[CurrentPart]:
    """Return part washer of two."""
    with open_ledger(tmp_path / "ledger.db", lambda: "ledger-1", lambda: 0) as ledger:
        yield CurrentPart("washer", ("washer", "bracket"), (listener,), ledger.state)


class Judge:
    """Answers golden checks as the judging thread does."""

    def __init__(self, current: CurrentPart) -> None:
        self._asked: queue.SimpleQueue[GoldenCheck] = queue.SimpleQueue()
        self.checks = GoldenChecks(current, self._asked)

    def answers(self, *problems: str) -> list[FinishedCheck]:
        """Judge one part, and return what has ended."""
        check = self._asked.get_nowait()
        check.reply.put(GoldenOutcome(check.part, problems))
        return list(self.checks.finished())


def test_a_check_ends_with_its_command(current: CurrentPart) -> None:
    """While it is for a changeover the PLC waits; then whoever asked hears what came of it."""
    judge = Judge(current)
    status, _ = judge.checks.begin(CHANGE)
    changing = judge.checks.is_changing
    ended = judge.answers("one", "two", "three", "four")

    assert (status, changing, judge.checks.is_idle) == ("accepted", True, True)
    assert ended == [FinishedCheck(CHANGE, "bracket", "one; two; three")]


def test_one_check_at_a_time(current: CurrentPart) -> None:
    """Two people that ask at once cannot both change the part."""
    judge = Judge(current)
    judge.checks.begin(SELF_CHECK)

    assert judge.checks.begin(CHANGE) == ("rejected", "self_check is still going on")


def test_an_unknown_part_is_refused(current: CurrentPart) -> None:
    """The answer names the parts that are known."""
    status, why = Judge(current).checks.begin(AcceptedCommand("part", "Maria", {"part": "wsher"}))

    assert (status, why) == ("rejected", "unknown part 'wsher'; known are washer, bracket")


def test_nobody_is_turned_away_for_a_check_of_our_own(current: CurrentPart) -> None:
    """The check after a reload is nobody's business: who asks meanwhile waits for its end."""
    judge = Judge(current)
    judge.checks.begin(OUR_OWN)
    waits, _ = judge.checks.begin(CHANGE)
    too_many, _ = judge.checks.begin(SELF_CHECK)
    first = judge.answers()
    changing = judge.checks.is_changing
    second = judge.answers()

    assert (waits, too_many) == ("accepted", "rejected")
    assert (first, second) == ([FinishedCheck(OUR_OWN, "washer", "")], [FinishedCheck(CHANGE, "bracket", "")])
    assert changing


def test_a_changeover_outlives_the_process_and_is_heard_when_it_is_told(
    current: CurrentPart, listener: ActivePart, tmp_path: Path
) -> None:
    """It is committed before an image is bound to the new part."""
    forgotten = current.change("bracket")
    before = listener.now()
    current.announce()
    with open_ledger(tmp_path / "ledger.db", lambda: "ledger-1", lambda: 0) as ledger:
        kept = ledger.state.active_part()

    assert (forgotten, kept, before, listener.now()) == ("", "bracket", "washer", "bracket")
