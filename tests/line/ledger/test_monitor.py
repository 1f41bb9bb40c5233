"""Monitor mode: verdicts can be watched and nobody can act on them; it ends at its time and not with the process."""

import json
import time
from pathlib import Path

import cv2
import pytest
from brokers import Mosquitto, until
from daemons import Subscriber
from factories import a_part, a_result_builder
from hypothesis import given
from hypothesis import strategies as st
from plc import Plc, Word, parse_word
from stations import Bench, ask, wait_for_alarms, wait_until_not_ready, wait_until_ready

from edge_inspector.inspection.model import Reason
from edge_inspector.line.health.verdict_hold import read_hold
from edge_inspector.line.ledger.ledger import open_ledger
from edge_inspector.line.ledger.monitor import PRODUCTION, UNREADABLE, Monitor, monitor_for, parse_monitor
from edge_inspector.settings import StationSettings

NOW = 1_800_000_000_000_000_000
MINUTE = 60_000_000_000


@given(st.text())
def test_what_cannot_be_read_is_not_production(text: str) -> None:
    """Nothing but an empty state and one that was written says that parts may be accepted."""
    assert parse_monitor(text).is_on(NOW) == bool(text)


@pytest.mark.parametrize(
    "text", ["?", "{}", "[]", "null", '{"by": "a", "since_ns": 0, "until_ns": "0"}', '{"by": 1, "since_ns": 0}', "1"]
)
def test_a_damaged_state_lasts_until_somebody_ends_it(text: str) -> None:
    """It has no end that could come by itself."""
    assert parse_monitor(text) == UNREADABLE


@pytest.mark.parametrize("minutes", [None, -1, 10_081, 1.5, True, "60"])
def test_an_end_is_a_must(minutes: object) -> None:
    """Forgotten monitor mode is a line without inspection."""
    with pytest.raises(ValueError, match="expected minutes"):
        monitor_for("Maria", minutes, NOW)


@given(st.integers(1, 10_080))
def test_it_is_on_until_its_end(minutes: int) -> None:
    """To the nanosecond, and the same after it was kept and read."""
    monitor = parse_monitor(monitor_for("Maria", minutes, NOW).encode())

    assert monitor == Monitor("Maria", NOW, NOW + minutes * MINUTE)
    assert monitor.is_on(NOW + minutes * MINUTE - 1)
    assert not monitor.is_on(NOW + minutes * MINUTE)
    assert not monitor_for("Maria", 0, NOW).is_on(NOW)


def test_every_answer_is_flagged_and_counted_apart(tmp_path: Path) -> None:
    """Whoever gives it; the end is the ledger's clock."""
    now = [NOW]
    with open_ledger(tmp_path / "ledger.db", lambda: "l1", lambda: now[0]) as ledger:
        ledger.state.set_monitor(monitor_for("Maria", 1, NOW))
        watched = ledger.results.record(a_result_builder(id="a"), None)
        now[0] += MINUTE
        typical = ledger.results.record(a_result_builder(id="b"), None)
        counters = ledger.counters.since_reset(0.0)

    assert watched is not None
    assert typical is not None
    assert (watched.verdict, watched.accept, watched.monitored) == ("OK", False, True)
    assert (typical.accept, typical.monitored) == (True, False)
    assert (counters.total, counters.ok, counters.monitored) == (1, 1, 1)


@pytest.mark.parametrize("marks", ["kept", "damaged", "none"])
def test_it_outlives_the_ledger(tmp_path: Path, marks: str) -> None:
    """A ledger that is begun after a damaged one goes on in monitor mode; also where nobody knows any more."""
    path = tmp_path / "ledger.db"
    with open_ledger(path, lambda: "l1", lambda: NOW) as ledger:
        ledger.state.set_monitor(monitor_for("Maria", 5, NOW))
    for file in tmp_path.glob("ledger.db*"):
        file.unlink()
    high_water = tmp_path / "high-water.json"
    if marks == "damaged":
        high_water.write_text("{")
    if marks == "none":
        high_water.unlink()
    with open_ledger(path, lambda: "l2", lambda: NOW) as ledger:
        found = ledger.state.monitor()

    assert found == {"kept": monitor_for("Maria", 5, NOW), "damaged": UNREADABLE, "none": PRODUCTION}[marks]


def test_a_ledger_that_cannot_be_read_is_not_ready(tmp_path: Path) -> None:
    """Whether parts may be accepted is not known."""
    station = StationSettings.model_validate(
        {
            "name": "st1",
            "source": {"kind": "folder", "path": "inbox"},
            "part": [{"name": "washer", "bundle": "b"}],
        }
    )
    with open_ledger(tmp_path / "ledger.db", lambda: "l1", lambda: NOW) as ledger:
        well = read_hold(ledger.state, station, "washer", 0, NOW)
        ledger._db.execute("DELETE FROM meta WHERE key = 'monitor'")
        lost = read_hold(ledger.state, station, "washer", 0, NOW)

    assert not well.withholds
    assert lost.withholds
    assert [fault.code for fault in lost.faults() if fault.active] == ["monitor"]


def test_nobody_can_act_on_a_monitored_verdict(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """Not by `accept`, not by the PLC's word, not by ready; over a restart; and its end is the end of it."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        assert ask(heard, "monitor", "none")[0] == "rejected"
        assert ask(heard, "monitor", "m1", minutes=30)[0] == "done"
        wait_for_alarms(heard, "monitor")
        wait_until_not_ready(heard)
        bench.send("S1")
        heard.wait_for_results(["S1"])
    with Bench(tmp_path, broker.port) as bench:
        until(lambda: heard.payloads("info")[1:], "the second run")
        until(lambda: heard.last("health")["state"] in ("READY", "RUNNING"), "it works")
        bench.send("S2")
        heard.wait_for_results(["S2"])
        until(lambda: parse_word(heard.payloads("plc/word")[-1]).serial == "S2", "its word")
        still = (heard.last("plc/ready"), heard.last("health")["monitor"]["by"])
        bench.now_ns = lambda: time.time_ns() + 31 * MINUTE
        wait_until_ready(heard)
        wait_for_alarms(heard)
        bench.send("S3")
        results = heard.wait_for_results(["S3"])
        until(lambda: parse_word(heard.payloads("plc/word")[-1]).serial == "S3", "its word")
    codes = {word.serial: word.code for word in map(parse_word, heard.payloads("plc/word")) if word.serial}

    assert {serial: (result["monitored"], result["accept"]) for serial, result in results.items()} == {
        "S1": (True, False),
        "S2": (True, False),
        "S3": (False, True),
    }
    assert still == ("0", "Maria")
    assert codes == {"S1": 5, "S2": 5, "S3": 1}


def test_a_trigger_is_answered_and_no_plc_lets_the_part_pass(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber
) -> None:
    """Monitor mode is for watching: images are taken, and the tests' PLC accepts none of the parts."""
    video = tmp_path / "camera.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 50, (160, 120))
    for _ in range(1500):
        writer.write(a_part(0))
    writer.release()
    plc = Plc()
    source = {"kind": "capture", "device": str(video), "trigger": "mqtt", "frozen": 0}
    with (
        Bench(tmp_path, broker.port, source=source),
        Subscriber(broker.port, hear=lambda h: plc.hear(h.topic, h.payload, h.at)),
    ):
        wait_until_ready(heard)
        ask(heard, "monitor", "m1", minutes=5)
        wait_until_not_ready(heard)
        for count, number in enumerate(("1", "2", "2"), 1):  # a repeated request hears the same again
            plc.expect(time.monotonic(), trigger_id=number)
            heard.send("plc/cmd/trigger", number)
            until(lambda count=count: len(answers(heard)) == count, f"{count} answers")
        heard.send("cmd/trigger", json.dumps({"correlation_id": "mine", "by": "Maria"}))
        until(lambda: len(heard.results) == 3, "three results")
        until(lambda: len(answers(heard)) == 4, "the last word")

    assert {(result["verdict"], result["monitored"]) for result in heard.results} == {("OK", True)}
    assert {(word.code, word.error) for word in answers(heard)} == {(5, Reason.WITHHELD.number)}
    assert plc.accepted == []


def answers(heard: Subscriber) -> list[Word]:
    """Return the PLC's words that are answers."""
    return [word for word in map(parse_word, heard.payloads("plc/word")) if word.code]
