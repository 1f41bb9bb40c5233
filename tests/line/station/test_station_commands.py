"""What operators and PLCs ask of a station is done, or refused with a reason."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.line.broker.commands import AcceptedCommand, Answer
from edge_inspector.line.collect.request import CollectionRequest
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.line.station.changeover import CurrentPart
from edge_inspector.line.station.commands import Commands

NOW = 1_700_000_000_000_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Open a new ledger."""
    with open_ledger(tmp_path / "ledger.db", lambda: "ledger-1", lambda: NOW) as ledger:
        yield ledger


@pytest.fixture
def requests() -> "queue.SimpleQueue[CollectionRequest]":
    """Return where collections are asked for."""
    return queue.SimpleQueue()


@pytest.fixture
def commands(ledger: Ledger, requests: "queue.SimpleQueue[CollectionRequest]") -> Commands:
    """Return the commands of a station whose part is washer."""

    def collect(request: CollectionRequest) -> str:
        requests.put(request)
        return "" if request.count != 7 else "the disk is full"

    return Commands(
        state=ledger.state,
        current=CurrentPart("washer", ("washer",), (), ledger.state),
        paused=threading.Event(),
        reset_alarms=lambda: None,
        begin_check=lambda asked: ("accepted", asked.name),
        collect=collect,
        is_pool=False,
        now_ns=lambda: NOW,
        monotonic_ns=lambda: 1,
    )


def ask(commands: Commands, name: str, **args: Any) -> Answer:  # noqa: ANN401 - any JSON
    """Send a command as Maria does."""
    return commands.carry_out(AcceptedCommand(name, "Maria", args))


def test_pause_lasts_until_resume(commands: Commands) -> None:
    """The threads that take images in look at one event."""
    paused = [ask(commands, name) and commands.paused.is_set() for name in ("pause", "resume")]

    assert paused == [True, False]


def test_a_challenge_is_committed_before_anybody_is_told(commands: Commands, ledger: Ledger) -> None:
    """The next part is the challenge, unless it is taken back."""
    told = ask(commands, "challenge")
    by = ledger.state.announced_challenge()
    ask(commands, "challenge", cancel=True)

    assert (told, by) == (("done", "the next part is the challenge"), "Maria")
    assert ledger.state.announced_challenge() == ""


def test_monitor_mode_says_until_when(commands: Commands, ledger: Ledger) -> None:
    """Without an end it would be forgotten."""
    status, until = ask(commands, "monitor", minutes=10)

    assert (status, until[:6]) == ("done", "until ")
    assert ledger.state.monitor().is_on(NOW)
    assert ask(commands, "monitor", minutes=0) == ("done", "")


def test_images_of_the_active_part_are_collected(
    commands: Commands, requests: "queue.SimpleQueue[CollectionRequest]"
) -> None:
    """A changeover ends the collection."""
    begun = ask(commands, "collect", count=5)
    commands.end_collection("a change of part")
    asked = [requests.get_nowait() for _ in range(2)]

    assert begun == ("done", "")
    assert [(one.by, one.part, one.count) for one in asked] == [
        ("Maria", "washer", 5),
        ("a change of part", "washer", 0),
    ]


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("challenge", {"cancel": "yes"}, "expected args cancel (true or false), or none"),
        ("monitor", {"minutes": 0.5}, "expected minutes"),
        ("collect", {"count": -1}, "expected count"),
        ("collect", {"count": 7}, "the disk is full"),
        ("dance", {}, "nobody here does dance"),
    ],
)
def test_what_cannot_be_done_says_why(commands: Commands, name: str, args: dict[str, Any], why: str) -> None:
    """Nothing happens, and the reason is in the answer."""
    status, reason = ask(commands, name, **args)

    assert status == "rejected"
    assert reason.startswith(why)


def test_a_share_of_the_images_is_not_collected(commands: Commands) -> None:
    """It would be a part of the truth; the camera PC has all of them."""
    status, reason = ask(replace(commands, is_pool=True), "collect", count=5)

    assert (status, reason.endswith("collect them where the camera is")) == ("rejected", True)


@pytest.mark.parametrize("name", ["part", "self_check"])
def test_golden_images_are_judged_behind_it(commands: Commands, name: str) -> None:
    """The command is accepted; what came of it is told later."""
    assert ask(commands, name) == ("accepted", name)
