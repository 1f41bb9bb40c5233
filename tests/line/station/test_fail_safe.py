"""What the station does when it is not one part that is wrong."""

import json
from pathlib import Path

from brokers import until
from daemons import STATION, Subscriber
from stations import Bench, wait_until_ready


def test_errors_in_a_row_are_an_alarm_and_then_a_new_start(heard: Subscriber, tmp_path: Path) -> None:
    """Once: what is wrong with the process may be gone with it."""
    with Bench(tmp_path, heard._port, errors_to_restart=3) as bench:
        wait_until_ready(heard)
        for number in range(3):
            bench.send(f"p{number}", level=-1)
            heard.wait_for_results([f"p{number}"])
        until(lambda: "errors" in heard.last("alarms")["active"], "the alarm")
        until(lambda: heard.payloads("event"), "the event")
        restarts = bench.restarts()
        events = [json.loads(payload) for payload in heard.payloads("event")]

    assert len(restarts) == 1
    assert "3 consecutive parts" in restarts[0]
    assert [event["code"] for event in events if event["active"]] == ["errors"]


def test_rejects_in_a_row_stop_the_line_where_it_wants_that(heard: Subscriber, tmp_path: Path) -> None:
    """Never a new start; the PLC's reset ends it."""
    with Bench(tmp_path, heard._port, ng_in_a_row=2, ng_stops=True) as bench:
        wait_until_ready(heard)
        for number in range(2):
            bench.send(f"p{number}", level=2.0)
            heard.wait_for_results([f"p{number}"])
        until(lambda: heard.last("plc/ready") == "0", "the station is not ready")
        until(lambda: heard.last("alarms")["active"] == ["process"], "the alarm")
        heard.send("plc/cmd/reset", "1")
        wait_until_ready(heard)
        restarts = bench.restarts()

    assert restarts == []


def test_stuck_inference_answers_its_part_and_stops_ticking(heard: Subscriber, tmp_path: Path) -> None:
    """The part gets ERROR at its deadline, the inspecting stage no longer turns: the watchdog starves of it."""
    with Bench(tmp_path, heard._port, deadline_ms=300) as bench:
        wait_until_ready(heard)
        bench.hold.clear()
        bench.send("p1")
        result = heard.wait_for_results(["p1"])["p1"]
        until(lambda: heard.last("health")["stages"]["inspect"] > 3, "the stage stands still")
        stages = heard.last("health")["stages"]
        bench.hold.set()

    assert (result["verdict"], result["reason_code"]) == ("ERROR", 203)
    assert stages["intake"] < stages["inspect"]


def test_a_damaged_ledger_wants_a_new_start(heard: Subscriber, tmp_path: Path) -> None:
    """It is marked, and the start sets it aside."""
    with Bench(tmp_path, heard._port) as bench:
        wait_until_ready(heard)
        with bench.opens() as ledger:
            ledger._db.execute("DELETE FROM meta WHERE key = 'seq'")
        bench.send("p1")
        until(bench.restarts, "a new start is wanted")
        until(lambda: heard.last("plc/ready") == "0", "the station is not ready")

    assert (tmp_path / "state" / STATION / "ledger-is-damaged").exists()


def test_two_stations_with_one_name_are_an_alarm(heard: Subscriber, tmp_path: Path) -> None:
    """The broker gives a name to who came last; both say so instead of fighting in silence."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Bench(tmp_path / "a", heard._port):
        wait_until_ready(heard)
        with Bench(tmp_path / "b", heard._port):
            alarmed = [b"taken_over"]
            until(lambda: any(alarmed[0] in payload for payload in heard.payloads("alarms")), "the alarm")
