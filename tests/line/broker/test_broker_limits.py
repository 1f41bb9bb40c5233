"""A broker that cannot do what the contract needs: said in words by `check` and by `run`, and nobody sends parts."""

import time
from pathlib import Path

import pytest
from brokers import Mosquitto, until
from daemons import Subscriber
from stations import Bench, wait_until_ready

from edge_inspector.line.broker.probe import probe
from edge_inspector.settings import MqttSettings

OPEN = "allow_anonymous true"
FORCED = f"{OPEN}\nuse_username_as_clientid true"


def refused(mqtt: MqttSettings) -> list[str]:
    """Return what `check` finds at the broker."""
    return [one.why for one in probe(mqtt, "st1", 1, time.monotonic_ns)]


@pytest.mark.parametrize("version", [4, 5])
def test_without_retained_messages_the_station_is_not_ready_and_says_why(tmp_path: Path, version: int) -> None:
    """With 3.1.1 the broker only ends the connection; alarm, health and verdicts go over what works."""
    with (
        Mosquitto(tmp_path / "broker", f"{OPEN}\nretain_available false") as broker,
        Subscriber(broker.port) as heard,
        Bench(tmp_path, broker.port, mqtt={"version": version}) as bench,
    ):
        until(lambda: any(b"broker_lacks" in payload for payload in heard.payloads("alarms")), "the alarm")
        until(lambda: "retained" in heard.last("health")["last_error"], "the reason")
        until(lambda: any(b"broker_lacks" in payload for payload in heard.payloads("event")), "the event")
        bench.send("S1")
        heard.wait_for_results(["S1"], 60)

        assert heard.last("health")["state"] == "ERROR"
        assert set(heard.payloads("plc/ready")) == {b"0"}


@pytest.mark.parametrize("version", [4, 5])
def test_check_finds_that_nothing_is_retained(tmp_path: Path, version: int) -> None:
    """It connects as the daemon does, with its retained wills."""
    with Mosquitto(tmp_path / "broker", f"{OPEN}\nretain_available false") as broker:
        found = refused(MqttSettings(port=broker.port, version=version))  # type: ignore[arg-type]

    assert found
    assert all("keeps no retained messages" in words for words in found)


def test_a_broker_that_keeps_them_lets_the_station_be_ready(tmp_path: Path) -> None:
    """The alarm ends with the next connection."""
    with (
        Mosquitto(tmp_path / "broker", f"{OPEN}\nretain_available false") as broker,
        Bench(tmp_path, broker.port),
    ):
        with Subscriber(broker.port) as heard:
            until(lambda: heard.payloads("alarms"), "the station is there")
        broker.stop()
        broker.extra = OPEN
        with broker, Subscriber(broker.port) as heard:
            wait_until_ready(heard)
            until(lambda: heard.last("alarms")["active"] == [], "no alarm")


def test_a_broker_that_gives_all_our_connections_one_name_is_named(tmp_path: Path) -> None:
    """They end each other; it is not a second daemon."""
    with (
        Mosquitto(tmp_path / "broker", FORCED) as broker,
        Subscriber(broker.port, prepare=lambda client: client.username_pw_set("scada")) as heard,
    ):
        mqtt = MqttSettings(port=broker.port, username="station")

        assert ["same client id" in words for words in refused(mqtt)] == [True]
        with Bench(tmp_path, broker.port, mqtt={"username": "station"}):
            until(lambda: any(b"client_ids" in payload for payload in heard.payloads("alarms")), "the alarm")


def test_a_broker_without_qos_1_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A verdict without an acknowledgement may be lost."""
    with Mosquitto(tmp_path / "broker", f"{OPEN}\nmax_qos 0") as broker:
        found = refused(MqttSettings(port=broker.port))
        with Bench(tmp_path, broker.port):
            until(lambda: any("takes QoS 0 only" in record.message for record in caplog.records), "the log says so")

    assert any("QoS 0 only" in words for words in found)
