"""The newest of everything for late joiners, and commands: answered always, executed only when they may be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto, until
from daemons import BASE, Subscriber
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from stations import Bench, wait_until_ready

from edge_inspector.wire.topics import TOPICS


@pytest.fixture
def bench(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> Iterator[Bench]:
    """Run a station that is ready."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        yield bench


def command(correlation_id: str = "c1", **changes: Any) -> str:  # noqa: ANN401 - a test factory
    """Return a command of an operator."""
    return json.dumps({"correlation_id": correlation_id, "by": "operator", **changes})


def answer(heard: Subscriber, number: int) -> dict[str, Any]:
    """Return the ack that came as the `number`th."""
    until(lambda: len(heard.payloads("ack")) >= number, f"{number} answers to commands")
    found: dict[str, Any] = json.loads(heard.payloads("ack")[number - 1])
    return found


def test_who_comes_late_sees_everything(bench: Bench, heard: Subscriber, broker: Mosquitto) -> None:
    """A dashboard that is opened at noon shows the station as it is."""
    bench.send("S1")
    heard.wait_for_results(["S1"])
    until(lambda: heard.last("counters")["total"] == 1, "counters")
    until(lambda: heard.payloads("last/thumb"), "the last picture")
    with Subscriber(broker.port) as late:
        until(lambda: late.last("last/result"), "the last result")
        until(lambda: late.last("plc/ng_total"), "the display values")
        found = {message.topic: message for message in late.heard}

    retained = {topic.name for topic in TOPICS if topic.retain and "{" not in topic.name and "shift" not in topic.name}
    retained -= {"collection"}  # nothing was collected
    assert retained <= found.keys()
    assert found["last/thumb"].payload[:2] == b"\xff\xd8"
    assert found["availability"].payload == b"online"
    assert json.loads(found["last/result"].payload)["serial"] == "S1"
    assert "result" not in found
    assert "ack" not in found


def test_after_a_broker_restart_the_newest_state_is_there_again(
    bench: Bench, heard: Subscriber, broker: Mosquitto
) -> None:
    """A broker that is killed forgets what it retained."""
    bench.send("S1")
    heard.wait_for_results(["S1"])
    broker.kill()
    bench.send("S2")
    until(lambda: _count(bench) == 2, "S2 is judged")
    broker.start()

    with Subscriber(broker.port) as late:
        until(lambda: (late.last("last/result") or {}).get("serial") == "S2", "the newest result")
        until(lambda: (late.last("counters") or {}).get("total") == 2, "the newest counters")
        until(lambda: late.last("availability") == "online", "online")
        until(lambda: late.last("info"), "info")


def test_pause_and_resume(bench: Bench, heard: Subscriber) -> None:
    """While paused no part is taken and the PLC sends none; afterwards the parts are judged."""
    heard.send("cmd/pause", command("c1"))
    first = answer(heard, 1)
    until(lambda: heard.last("plc/ready") == "0", "not ready")
    until(lambda: heard.last("health")["state"] == "PAUSED", "PAUSED")
    bench.send("S1")

    heard.send("cmd/resume", command("c2"))
    second = answer(heard, 2)

    assert (first["command"], first["status"], first["correlation_id"]) == ("pause", "done", "c1")
    assert (second["command"], second["status"], second["correlation_id"]) == ("resume", "done", "c2")
    heard.wait_for_results(["S1"])
    wait_until_ready(heard)


def test_reset_counters(bench: Bench, heard: Subscriber) -> None:
    """The operator begins to count anew; the answer comes with the new numbers."""
    bench.send("S1")
    heard.wait_for_results(["S1"])
    until(lambda: heard.last("counters")["total"] == 1, "one part")

    heard.send("cmd/reset_counters", command())

    assert answer(heard, 1)["status"] == "done"
    until(lambda: heard.last("counters")["total"] == 0, "none")


def test_a_command_is_executed_once(bench: Bench, heard: Subscriber) -> None:
    """QoS 1 may deliver twice; the second one is answered and does nothing."""
    heard.send("cmd/pause", command("c1"))
    answer(heard, 1)
    heard.send("cmd/resume", command("c2"))
    answer(heard, 2)

    heard.send("cmd/pause", command("c1"))

    assert answer(heard, 3)["status"] == "duplicate"
    wait_until_ready(heard)
    with bench.opens() as ledger:
        assert ledger._db.execute("SELECT command, by FROM audit WHERE by <> 'start'").fetchall() == [
            ("pause", "operator"),
            ("resume", "operator"),
            ("pause", "operator"),
        ]


@pytest.mark.parametrize(
    ("topic", "payload", "status", "reason", "correlation_id"),
    [
        ("cmd/pause", command(expires="2020-01-01T00:00:00Z"), "expired", "2020-01-01", "c1"),
        ("cmd/pause", command(expires="2020-01-01T00:00:00"), "expired", "2020-01-01", "c1"),
        ("cmd/pause", "pause!", "rejected", "JSON", ""),
        ("cmd/pause", "", "rejected", "JSON", ""),
        ("cmd/pause", "[]", "rejected", "payload", ""),
        ("cmd/pause", '{"correlation_id": "c1"}', "rejected", "by", "c1"),
        ("cmd/pause", command(colour="red"), "rejected", "colour", "c1"),
        ("cmd/pause", command(args={"x": [1]}), "rejected", "args", "c1"),
        ("cmd/pause", command(args={"x": "y" * 20_000}), "rejected", "bytes", ""),
        ("cmd/pause", b"\xff\xfe", "rejected", "", ""),
        ("cmd/pause", "[" * 9_999, "rejected", "", ""),
        ("cmd/pause", '{"correlation_id": "\\ud800", "by": "me"}', "rejected", "", "?"),
        ("cmd/explode", command(), "rejected", "unknown command", "c1"),
        ("cmd/", command(), "rejected", "unknown command", "c1"),
        ("cmd/pause/now", command(), "rejected", "unknown command", "c1"),
        ("cmd/part", command(args={"part": "no-such-part"}), "rejected", "", "c1"),
    ],
    ids=[
        "expired",
        "expired-without-zone",
        "no-json",
        "empty",
        "no-object",
        "nobody",
        "unknown-key",
        "nested-args",
        "too-large",
        "no-text",
        "deep",
        "half-a-character",
        "unknown",
        "no-name",
        "too-long-a-name",
        "unknown-part",
    ],
)
def test_what_may_not_be_executed_is_answered(
    bench: Bench, heard: Subscriber, topic: str, payload: str | bytes, status: str, reason: str, correlation_id: str
) -> None:
    """Whoever sends nonsense is told so, and nothing happens: not to the station, not to the program."""
    heard.send(topic, payload)

    ack = answer(heard, 1)

    assert ack["status"] == status
    assert reason in ack["reason"]
    assert ack["correlation_id"] == correlation_id
    heard.send("cmd/reset_counters", command("c2"))
    assert answer(heard, 2)["status"] == "done"
    assert heard.last("plc/ready") == "1"
    bench.send("S1")
    heard.wait_for_results(["S1"])


def test_a_retained_command_is_never_executed(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """It would pause the station at every start, months after somebody meant it."""
    heard.send("cmd/pause", command(), retain=True)
    with Bench(tmp_path, broker.port):
        ack = answer(heard, 1)
        until(lambda: "retained_command" in heard.last("alarms")["active"], "the alarm")
        wait_until_ready(heard)

    assert ack["status"] == "rejected"
    assert "retained" in ack["reason"]


def test_the_answer_goes_where_the_sender_wants_it_too(bench: Bench, heard: Subscriber, broker: Mosquitto) -> None:
    """MQTT 5 clients ask for the answer on a topic of their own, with their own mark."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = "private/answers"
    properties.CorrelationData = b"mark"
    with Subscriber(broker.port, base="private") as private:
        heard.send("cmd/pause", command(), properties=properties)
        until(lambda: private.payloads("answers"), "the private answer")
        answer(heard, 1)

    assert private.payloads("answers") == heard.payloads("ack")
    assert bench.inbox.exists()


def test_an_answer_that_cannot_be_sent_anywhere_does_no_harm(bench: Bench, heard: Subscriber) -> None:
    """A topic with a wildcard is none; whoever asks for it must not bring the station down."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = "private/#"

    heard.client.publish(f"{BASE}/cmd/pause", command("c1"), 1, properties=properties)

    heard.send("cmd/resume", command("c2"))
    until(lambda: [p for p in heard.payloads("ack") if b"c2" in p], "an answer")
    bench.send("S1")
    heard.wait_for_results(["S1"])


def test_a_command_that_was_sent_while_nobody_was_there_is_gone(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber
) -> None:
    """A trigger of this morning must not be carried out on the part that lies there now."""
    with Bench(tmp_path, broker.port):
        wait_until_ready(heard)
    heard.send("cmd/pause", command("c1"))
    until(lambda: heard.last("plc/ready") == "0", "stopped")
    with Bench(tmp_path, broker.port):
        wait_until_ready(heard)
        heard.send("cmd/reset_counters", command("c2"))

        assert answer(heard, 1)["correlation_id"] == "c2"


def test_the_last_word_is_offline_however_much_is_to_say(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """A clean goodbye has no last will: what stays retained must be the truth."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        for number in range(60):
            bench.send(f"S{number}")
        heard.wait_for_results(["S5"])

    until(lambda: heard.last("availability") == "offline", "offline")
    until(lambda: heard.last("plc/ready") == "0", "not ready")
    assert heard.last("health")["state"] == "STOPPING"


def _count(bench: Bench) -> int:
    with bench.opens() as ledger:
        return ledger.counters(0).total
