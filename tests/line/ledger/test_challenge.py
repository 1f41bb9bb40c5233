"""A part that is known to be bad must come out NG, or nothing is accepted; it is no part of production."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto, until
from daemons import Subscriber, drop
from factories import a_part, a_result_builder, png
from plc import parse_word
from stations import Bench, ask, wait_for_alarms, wait_until_not_ready, wait_until_ready

from edge_inspector.inspection.model import Reason
from edge_inspector.line.ledger.challenge import NEVER, Challenged, after, overdue
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.settings import StationSettings

HOUR = 3_600_000_000_000
NOW = 1_800_000_000_000_000_000


def a_station(**keys: Any) -> StationSettings:  # noqa: ANN401 - a test factory
    """Return the settings of a station with challenges."""
    source = {"kind": "folder", "path": "inbox"}
    return StationSettings.model_validate(
        {"name": "st1", "source": source, "part": [{"name": "washer", "bundle": "b"}], **keys}
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Begin a ledger."""
    with open_ledger(tmp_path / "ledger.db", lambda: "l1", lambda: NOW) as ledger:
        yield ledger


@pytest.mark.parametrize(
    ("passed_ns", "keys", "wanted"),
    [
        (0, {}, ""),
        (0, {"challenge_hours": 8}, "no challenge part"),
        (0, {"challenge_each_shift": True}, "no challenge part"),
        (NOW - 8 * HOUR, {"challenge_hours": 8}, ""),
        (NOW - 8 * HOUR - 1, {"challenge_hours": 8}, "more than 8 h ago"),
        (NOW - HOUR, {"challenge_each_shift": True}, ""),
        (NOW - 2 * HOUR - 1, {"challenge_each_shift": True}, "before this shift"),
        (NOW - 3 * HOUR, {"challenge_each_shift": True, "challenge_hours": 8}, "before this shift"),
        (NOW + HOUR, {"challenge_hours": 8}, "the clock was set back"),
    ],
)
def test_a_challenge_is_wanted_so_often(passed_ns: int, keys: dict[str, Any], wanted: str) -> None:
    """By hours, by shift, by both; a challenge that was never passed, or tomorrow, is none."""
    said = overdue(Challenged(passed_ns), a_station(**keys), NOW - 2 * HOUR, NOW)

    assert wanted in said
    assert bool(said) == bool(wanted)


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("replayed", [False, True])
def test_only_an_ng_in_its_own_time_passes(reason: Reason, replayed: bool) -> None:  # noqa: FBT001
    """An unreadable image proves nothing, and one that was judged after a restart is no proof for now."""
    result = a_result_builder(reason=reason, replayed=replayed)("l1", 1, 1)
    stands = after(Challenged(5, ""), result, NOW)

    if reason not in (Reason.DEFECT, Reason.WHOLE_IMAGE):
        assert stands.passed_ns == 5
        assert stands.failed
    else:
        assert stands == (Challenged(5) if replayed else Challenged(NOW))


def test_a_failed_challenge_stands_until_one_passes() -> None:
    """The next NG clears it."""
    missed = a_result_builder(reason=Reason.WITHIN_LIMIT)("l1", 1, 1)
    found = a_result_builder(reason=Reason.DEFECT)("l1", 2, 1)
    failed = after(NEVER, missed, NOW)

    assert "p1 came out OK" in failed.failed
    assert after(failed, found, NOW).failed == ""


def test_a_challenge_is_kept_with_its_answer_and_counted_apart(ledger: Ledger) -> None:
    """One commit: what was found, for which part, and not one part more in the counters."""
    ledger.state.announce_challenge("Maria")
    ledger.state.take_challenge("c1")
    found = ledger.results.record(a_result_builder(id="c1", reason=Reason.DEFECT), None)
    ledger.state.take_challenge("c2")
    missed = ledger.results.record(a_result_builder(id="c2", part="bracket"), None)
    typical = ledger.results.record(a_result_builder(id="p1"), None)
    counters = ledger.counters.since_reset(0.0)

    assert ledger.state.announced_challenge() == ""
    assert [(r.challenge, r.accept, r.verdict.value) for r in (found, missed, typical) if r] == [
        (True, False, "NG"),
        (True, False, "OK"),
        (False, True, "OK"),
    ]
    assert ledger.state.challenged("washer") == Challenged(NOW)
    assert ledger.state.challenged("bracket").failed
    assert (counters.total, counters.ok, counters.ng, counters.challenges) == (1, 1, 0, 2)
    assert counters.yield_ == 1
    assert counters.by_part == {"washer": {"OK": 1}}
    assert ledger.counters.of_shift(0).challenges == 2


def test_a_trigger_is_the_announced_part_from_the_moment_it_is_accepted(ledger: Ledger) -> None:
    """Answered late, before the disk took its image in, it counted as production and nobody missed the challenge."""
    ledger.state.announce_challenge("Maria")
    ledger.triggers.accept("t1", "7", "washer")
    ledger.triggers.accept("t2", "8", "washer")
    late = ledger.results.record(a_result_builder(id="t1", trigger_id="7", reason=Reason.LATE), None)
    typical = ledger.results.record(a_result_builder(id="t2", trigger_id="8"), None)

    assert [result.challenge for result in (late, typical) if result] == [True, False]
    assert ledger.state.challenged("washer").failed
    assert ledger.state.announced_challenge() == ""


@pytest.mark.parametrize("pattern", ["(", ".*", "x?"])
def test_a_pattern_that_marks_every_part_is_refused(pattern: str) -> None:
    """Else nothing is ever accepted, and nobody sees why."""
    with pytest.raises(ValueError, match="challenge_serial"):
        a_station(challenge_serial=pattern)


def test_an_announced_part_is_flagged_never_accepted_and_the_next_is_usual(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber
) -> None:
    """The PLC may throw it out as NG; counters and charts do not see it."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        assert ask(heard, "challenge", "c1") == ("done", "the next part is the challenge")
        until(lambda: heard.last("health")["challenge"]["announced"], "it is announced")
        bench.send("bad", 2.0)
        heard.wait_for_results(["bad"])
        bench.send("good")
        results = heard.wait_for_results(["good"])
        until(lambda: parse_word(heard.payloads("plc/word")[-1]).serial == "good", "the word of the next part")
        until(lambda: heard.last("health")["challenge"]["passed_at"], "it is passed")
        until(lambda: heard.last("counters")["total"] == 1, "one part is counted")
    codes = {word.serial: word.code for word in map(parse_word, heard.payloads("plc/word")) if word.serial}

    assert (results["bad"]["challenge"], results["good"]["challenge"]) == (True, False)
    assert codes == {"bad": 2, "good": 1}
    assert (heard.last("counters")["ng"], heard.last("counters")["challenges"]) == (0, 1)


def test_a_missed_challenge_stops_the_line_over_a_restart_until_one_is_found(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber
) -> None:
    """The detector is blind: no OK reaches the PLC, whatever is switched off and on, or reset."""
    with Bench(tmp_path, broker.port, challenge_serial="KNOWN-BAD.*") as bench:
        wait_until_ready(heard)
        bench.send("KNOWN-BAD-1", 0.5)
        missed = heard.wait_for_results(["KNOWN-BAD-1"])["KNOWN-BAD-1"]
        wait_for_alarms(heard, "challenge_failed")
        wait_until_not_ready(heard)
        heard.send("plc/cmd/reset", "1")
        ask(heard, "self_check", "check")
    with Bench(tmp_path, broker.port, challenge_serial="KNOWN-BAD.*") as bench:
        until(lambda: heard.payloads("info")[1:], "the second run")
        until(lambda: heard.last("health")["state"] in ("READY", "RUNNING"), "it works")
        before = heard.last("plc/ready")
        bench.send("usual")
        heard.wait_for_results(["usual"])
        until(lambda: parse_word(heard.payloads("plc/word")[-1]).serial == "usual", "its word")
        bench.send("KNOWN-BAD-2", 2.0)
        heard.wait_for_results(["KNOWN-BAD-2"])
        wait_until_ready(heard)
        wait_for_alarms(heard)
    codes = {word.serial: (word.code, word.error) for word in map(parse_word, heard.payloads("plc/word"))}

    assert (missed["verdict"], missed["accept"]) == ("OK", False)
    assert before == "0"
    assert codes["KNOWN-BAD-1"] == codes["usual"] == (5, Reason.WITHHELD.number)


def test_overdue_is_not_ready_and_a_restart_does_not_mend_it(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber
) -> None:
    """Never challenged is overdue; passed is ready, also in the next run; and hours later it is overdue again."""
    with Bench(tmp_path, broker.port, challenge_hours=1) as bench:
        wait_for_alarms(heard, "challenge_overdue")
        wait_until_not_ready(heard)
        ask(heard, "challenge", "c1")
        bench.send("bad", 2.0)
        wait_until_ready(heard)
        wait_for_alarms(heard)
    with Bench(tmp_path, broker.port, challenge_hours=1) as bench:
        until(lambda: heard.payloads("info")[1:], "the second run")
        wait_until_ready(heard)
        bench.now_ns = lambda: time.time_ns() + HOUR
        wait_for_alarms(heard, "challenge_overdue")
        wait_until_not_ready(heard)


def test_an_announcement_outlives_a_restart_and_can_be_taken_back(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber
) -> None:
    """Announced, power cut, the part comes: it is the challenge. What lay there before the start is not."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        ask(heard, "challenge", "c1")
    drop(bench.inbox, "before.png", png(a_part(0)))
    with Bench(tmp_path, broker.port) as bench:
        heard.wait_for_results(["before"])
        wait_until_ready(heard)
        bench.send("bad", 2.0)
        results = heard.wait_for_results(["bad"])
        ask(heard, "challenge", "c2")
        assert ask(heard, "challenge", "c3", cancel="yes")[0] == "rejected"
        assert ask(heard, "challenge", "c4", cancel=True) == ("done", "")
        bench.send("usual")
        results = heard.wait_for_results(["usual"])

    assert {serial: result["challenge"] for serial, result in results.items()} == {
        "before": False,
        "bad": True,
        "usual": False,
    }


def test_a_challenge_says_nothing_of_the_line(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """Three rejects in a row are an alarm, three challenges are not."""
    with Bench(tmp_path, broker.port, ng_in_a_row=2, challenge_serial="K.*") as bench:
        wait_until_ready(heard)
        for serial in ("K1", "K2", "K3", "n1"):
            bench.send(serial, 2.0)
            heard.wait_for_results([serial])
        quiet = heard.last("alarms")["active"]
        bench.send("n2", 2.0)
        wait_for_alarms(heard, "process")

    assert quiet == []
