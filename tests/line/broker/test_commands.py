"""Each command does what it says, answers, and stands in the audit trail."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from brokers import Mosquitto, until
from daemons import BASE, Subscriber
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from stations import Bench, wait_until_ready


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subscriber]:
    """Run a broker with somebody who listens from the beginning."""
    with Mosquitto(tmp_path_factory.mktemp("broker")) as broker, Subscriber(broker.port) as heard:
        yield heard


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, heard: Subscriber) -> Iterator[Bench]:
    """Run one station that is ready and has judged a good part and a bad one."""
    with Bench(tmp_path_factory.mktemp("station"), heard._port) as bench:
        wait_until_ready(heard)
        for serial, level in (("good", 0.5), ("bad", 2.0)):
            bench.send(serial, level)
            heard.wait_for_results([serial])
        yield bench


def ask(heard: Subscriber, name: str, correlation_id: str, **args: Any) -> None:  # noqa: ANN401 - a test factory
    """Send a command as an operator does."""
    heard.send(f"cmd/{name}", json.dumps({"correlation_id": correlation_id, "by": "Maria", "args": args}))


def answers_to(heard: Subscriber, correlation_id: str, count: int = 1) -> list[dict[str, Any]]:
    """Return the answers to one command when there are `count`."""

    def found() -> list[dict[str, Any]]:
        acks = [json.loads(payload) for payload in heard.payloads("ack")]
        return [ack for ack in acks if ack["correlation_id"] == correlation_id]

    return until(lambda: found() if len(found()) >= count else [], f"{count} answers to {correlation_id}")


def audit(bench: Bench, command: str) -> tuple[str, str]:
    """Return who sent a command last, and what became of it."""
    with bench.opens() as ledger:
        row = ledger._db.execute("SELECT by, status FROM audit WHERE command = ? ORDER BY rowid DESC", (command,))
        by, status = row.fetchone()
    return by, status


@pytest.mark.parametrize("agree", [True, False])
def test_feedback_is_kept_with_who_and_when(bench: Bench, heard: Subscriber, agree: bool) -> None:  # noqa: FBT001
    """Months later one can ask which rejections operators did not believe, and who said so."""
    result_id = heard.by_serial()["bad"]["id"]
    ask(heard, "feedback", f"opinion-{agree}", id=result_id, agree=agree, comment="a shadow; no scratch")

    assert answers_to(heard, f"opinion-{agree}")[0]["status"] == "done"
    with bench.opens() as ledger:
        kept = ledger._db.execute("SELECT id, agree, comment, by, recorded_ns FROM feedback").fetchall()[-1]
    assert kept[:4] == (result_id, agree, "a shadow; no scratch", "Maria")
    assert abs(kept[4] - bench.now_ns()) < 60e9
    assert audit(bench, "feedback") == ("Maria", "accepted")


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"id": "a"},
        {"agree": True},
        {"id": "a", "agree": 1},
        {"id": 1, "agree": True},
        {"id": "nobody", "agree": True},
    ],
    ids=str,
)
def test_feedback_on_nothing_is_refused(bench: Bench, heard: Subscriber, args: dict[str, Any]) -> None:
    """An opinion needs a result that is there, and a yes or no."""
    ask(heard, "feedback", f"no-{args}", **args)

    assert answers_to(heard, f"no-{args}")[0]["status"] == "rejected"
    assert bench.inbox.exists()


def test_resend_repeats_results_as_replayed(bench: Bench, heard: Subscriber) -> None:
    """SCADA that found a gap asks for it; nothing else in the results changes, and the cursor stays where it was."""
    before = list(heard.results)
    with bench.opens() as ledger:
        until(lambda: ledger.outbox.cursor() >= 2, "the results are acknowledged")
        cursor = ledger.outbox.cursor()
    ask(heard, "resend", "again", from_seq=1, to_seq=2)
    until(lambda: len(heard.results) == len(before) + 2, "the results again")
    again = heard.results[len(before) :]

    assert answers_to(heard, "again")[0]["status"] == "accepted"
    assert again == [{**result, "replayed": True} for result in before[:2]]
    with bench.opens() as ledger:
        assert ledger.outbox.cursor() == cursor
    assert heard.last("counters")["total"] == 2


@pytest.mark.parametrize(
    "args", [{}, {"from_seq": 2, "to_seq": 1}, {"from_seq": 0, "to_seq": 1}, {"from_seq": 1, "to_seq": 10_001},
             {"from_seq": True, "to_seq": 1}, {"from_seq": "1", "to_seq": "2"},
             {"from_seq": 1.0, "to_seq": 2.0}, {"from_seq": 10**30, "to_seq": 10**30}],
    ids=str,
)  # fmt: skip
def test_resend_of_no_range_is_refused(bench: Bench, heard: Subscriber, args: dict[str, Any]) -> None:
    """Whoever asks for everything at once, or for nothing, is told what can be asked for."""
    ask(heard, "resend", f"range-{args}", **args)

    assert "from_seq" in answers_to(heard, f"range-{args}")[0]["reason"]
    assert bench.inbox.exists()


def test_a_self_check_that_passes_changes_nothing(bench: Bench, heard: Subscriber) -> None:
    """Accepted at once, done when the golden images have been judged."""
    words = len(heard.payloads("plc/word"))
    ask(heard, "self_check", "check-1")

    assert [ack["status"] for ack in answers_to(heard, "check-1", 2)] == ["accepted", "done"]
    assert heard.last("plc/ready") == "1"
    assert len(heard.payloads("plc/word")) == words
    assert audit(bench, "self_check") == ("Maria", "accepted")


def test_a_self_check_that_fails_drops_ready_until_one_passes(bench: Bench, heard: Subscriber) -> None:
    """A detector that gives other answers than on the day it was accepted must not judge parts."""
    bench.golden["washer"] = ("good-1.png: expected OK, got NG",)
    ask(heard, "self_check", "check-2")
    failed = answers_to(heard, "check-2", 2)[1]
    until(lambda: heard.last("plc/ready") == "0", "not ready")
    until(lambda: heard.last("alarms")["active"] == ["bundle"], "the alarm")
    until(lambda: heard.last("health")["state"] == "ERROR", "health says so too")
    word = heard.last("plc/word").split(";")
    bench.golden.clear()
    ask(heard, "self_check", "check-3")
    until(lambda: heard.last("plc/ready") == "1", "ready again")

    assert failed["status"] == "rejected"
    assert "good-1.png" in failed["reason"]
    assert word[2] == "0"
    until(lambda: heard.last("alarms")["active"] == [], "the alarm is cleared")


def test_a_trigger_without_a_camera_is_refused(bench: Bench, heard: Subscriber) -> None:
    """Where images come by themselves there is nothing to trigger."""
    ask(heard, "trigger", "t1")

    assert answers_to(heard, "t1")[0]["status"] == "rejected"
    assert bench.inbox.exists()


def test_a_live_command_with_the_retain_flag_is_not_executed(bench: Bench, heard: Subscriber) -> None:
    """It would wait on the broker for the next start; its sender hears of it the first time."""
    heard.send("cmd/pause", json.dumps({"correlation_id": "kept", "by": "Maria"}), retain=True)
    ack = answers_to(heard, "kept")
    heard.send("cmd/pause", b"", retain=True)

    assert ack[0]["status"] == "rejected"
    assert "retained" in ack[0]["reason"]
    assert heard.last("plc/ready") == "1"
    assert audit(bench, "pause")[1] == "rejected"


def test_an_answer_never_goes_into_the_station_s_own_tree(bench: Bench, heard: Subscriber) -> None:
    """Who may command must not make the daemon publish a PLC's word."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = f"{BASE}/plc/word"
    words = len(heard.payloads("plc/word"))
    command = json.dumps({"correlation_id": "deputy", "by": "Maria"})
    heard.send("cmd/reset_counters", command, properties=properties)
    answers_to(heard, "deputy")
    ask(heard, "reset_counters", "after")
    answers_to(heard, "after")

    assert len(heard.payloads("plc/word")) == words
    assert bench.inbox.exists()


def test_plc_reset_clears_alarms_and_never_counters(bench: Bench, heard: Subscriber) -> None:
    """The button in the PLC's panel; what still is wrong comes again."""
    bench.send("counted")
    heard.wait_for_results(["counted"])
    until(lambda: heard.last("counters")["total"] > 0, "it is counted")
    total = heard.last("counters")["total"]
    until(lambda: "retained_command" in heard.last("alarms")["active"], "the alarm of the test before")
    heard.send("plc/cmd/reset", "1")
    until(lambda: heard.last("alarms")["active"] == [], "the alarm is cleared")

    assert heard.last("counters")["total"] == total
    assert audit(bench, "plc/reset") == ("plc", "accepted")


def test_every_command_is_in_the_audit_trail(bench: Bench, heard: Subscriber) -> None:
    """Who paused the line at night? With what, and what became of it."""
    heard.send("cmd/explode", json.dumps({"correlation_id": "boom", "by": "Mallory"}))
    answers_to(heard, "boom")
    ask(heard, "pause", "p1")
    ask(heard, "resume", "p2")
    answers_to(heard, "p2")

    assert audit(bench, "explode") == ("", "rejected")
    assert audit(bench, "pause") == audit(bench, "resume") == ("Maria", "accepted")


def test_a_flood_of_commands_is_an_alarm_and_no_flood_of_the_disk(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What comes faster than anybody types is not carried out; parts go on, and so do commands when it is over."""
    folder = tmp_path_factory.mktemp("flood")
    with Mosquitto(folder / "broker") as broker, Subscriber(broker.port) as heard, Bench(folder, broker.port) as bench:
        wait_until_ready(heard)
        payload = json.dumps({"correlation_id": "flood", "by": "nobody", "args": {}})
        for _ in range(600):
            heard.client.publish(f"{BASE}/cmd/feedback", payload, 1)
        until(lambda: "flood" in heard.last("alarms")["active"], "the alarm")
        bench.send("S1")
        verdict = heard.wait_for_results(["S1"])["S1"]["verdict"]
        with bench.opens() as ledger:
            (rows,) = ledger._db.execute("SELECT count(*) FROM audit WHERE command = 'feedback'").fetchone()
        ask(heard, "reset_alarms", "unknown")
        until(lambda: [a for a in heard.payloads("ack") if b'"unknown"' in a] or ask(heard, "x", "unknown"), "an ack")

        assert verdict == "OK"
        assert 200 <= rows < 500
