"""A broker that refuses the login or a topic: the station says so and goes on inspecting."""

import json
from pathlib import Path

import pytest
from brokers import Mosquitto, until
from daemons import BASE, Subscriber
from stations import Bench, wait_until_ready

from edge_inspector.wire.topics import TOPICS

OPEN = "allow_anonymous true"


def a_broker(folder: Path, *refused: str) -> Mosquitto:
    """Return a broker that takes everything but some of the contract's topics."""
    allowed = [name for topic in TOPICS if (name := topic.name.replace("{name}", "+")) not in refused]
    rules = [f"topic readwrite {BASE}/{name}" for name in (*allowed, "cmd/+", "plc/cmd/+")]
    folder.mkdir()
    (folder / "acl").write_text("\n".join(rules) + "\n")
    return Mosquitto(folder, f"{OPEN}\nacl_file {folder}/acl")


@pytest.mark.parametrize("refused", ["result", "last/result", "plc/word"])
def test_a_refused_topic_is_an_alarm_and_nothing_else(tmp_path: Path, refused: str) -> None:
    """One topic over each connection: the others go on, and the alarm names what to look at."""
    with (
        a_broker(tmp_path / "broker", refused) as broker,
        Subscriber(broker.port) as heard,
        Bench(tmp_path, broker.port) as bench,
    ):
        wait_until_ready(heard)
        for number in range(3):
            bench.send(f"S{number}")
            until(lambda number=number: heard.last("counters")["total"] == number + 1, "it is counted")
        until(lambda: heard.last("alarms")["active"] == ["refused"], "the alarm")
        until(lambda: refused in heard.last("health")["last_error"], "the topic in the health report")
        with bench.opens() as ledger:
            until(lambda: ledger.backlog().count == 0, "nothing waits for ever")
            refusals = ledger.backlog().refused
            buried = ledger._db.execute("SELECT topic, reason FROM dead").fetchall()

    assert heard.payloads(refused) == []
    assert refusals == len(buried)
    assert buried == ([("result", "Not authorized")] * 3 if refused == "result" else [])


def test_everything_refused_is_no_storm(tmp_path: Path) -> None:
    """A wrong ACL: the parts are judged and kept, and the station does not answer refusals with more messages."""
    everything = (topic.name.replace("{name}", "+") for topic in TOPICS)
    with (
        a_broker(tmp_path / "broker", *everything) as broker,
        Bench(tmp_path, broker.port) as bench,
        bench.opens() as ledger,
    ):
        for number in range(3):
            bench.send(f"S{number}")
        until(lambda: ledger.counters(0).total == 3, "the parts are judged")
        until(lambda: ledger._db.execute("SELECT count(*) FROM dead").fetchone()[0] >= 4, "dead letters")
        events = ledger._db.execute("SELECT payload FROM entry WHERE topic = 'event'").fetchall()

    assert len(events) <= 2


def test_a_refused_login_does_not_stop_the_inspection(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says why, once a connection; when the login is right the results come."""
    folder = tmp_path / "broker"
    with (
        Mosquitto(folder, "allow_anonymous false") as broker,
        Bench(tmp_path, broker.port) as bench,
        bench.opens() as ledger,
    ):
        for number in range(3):
            bench.send(f"S{number}")
        until(lambda: ledger.counters(0).total == 3, "the parts are judged")
        until(lambda: len([r for r in caplog.records if "Not authorized" in r.message]) == 3, "three warnings")
        broker.stop()
        broker.extra = OPEN
        with broker, Subscriber(broker.port) as heard:
            until(lambda: ledger.backlog().count == 0, "the broker has all results")  # before we hear it, maybe
            until(lambda: heard.payloads("last/result"), "the last one, which is retained")

        assert json.loads(heard.payloads("last/result")[-1])["seq"] == 3
        assert ledger.backlog().refused == 0

    said = [record.message for record in caplog.records if "no connection to the broker" in record.message]
    assert len([words for words in said if "Not authorized" in words]) == 3
