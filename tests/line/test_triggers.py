"""A trigger gets its busy word at once and exactly one answer, whatever happens in between."""

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import pytest
from brokers import PATIENCE_S, Mosquitto, until
from daemons import STATION, Subscriber
from factories import a_part
from plc import Plc, Word, parse_word
from stations import Bench, wait_until_ready, wait_until_triggers_work

FPS = 50
_SECONDS = 60


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a minute of a camera that looks at one part."""
    path = tmp_path_factory.mktemp("video") / "camera.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (160, 120))
    picture = a_part(0)
    for _ in range(FPS * _SECONDS):
        writer.write(picture)
    writer.release()
    return path


def a_camera(video: Path, **keys: Any) -> dict[str, Any]:  # noqa: ANN401 - a test factory
    """Return the settings of a camera that waits for triggers."""
    return {"kind": "capture", "device": str(video), "trigger": "mqtt", "frozen": 0, **keys}


def words(heard: Subscriber, trigger_id: object) -> list[Word]:
    """Return the words about one trigger, oldest first."""
    found = [parse_word(payload) for payload in heard.payloads("plc/word")]
    return [word for word in found if word.trigger_id == str(trigger_id)]


def answered(heard: Subscriber, trigger_id: object, count: int = 1) -> list[Word]:
    """Return the words about one trigger that are answers when there are `count` of them."""

    def found() -> list[Word]:
        answers = [word for word in words(heard, trigger_id) if word.code]
        return answers if len(answers) >= count else []

    return until(found, f"{count} answers to trigger {trigger_id}")


def codes(heard: Subscriber, trigger_id: object) -> list[int]:
    """Return the codes of the words about one trigger, oldest first."""
    return [word.code for word in words(heard, trigger_id)]


def test_a_trigger_is_acknowledged_and_answered(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber, video: Path
) -> None:
    """The busy word with its number, then the verdict; the tests' PLC lets the parts pass."""
    plc = Plc(timer_s=PATIENCE_S)
    with (
        Bench(tmp_path, broker.port, source=a_camera(video)),
        Subscriber(broker.port, hear=lambda h: plc.hear(h.topic, h.payload, h.at)) as line,
    ):
        wait_until_ready(line)
        until(lambda: len(line.payloads("plc/heartbeat")) >= 3, "heartbeats")
        for number in range(1, 11):
            plc.expect(time.monotonic(), trigger_id=str(number))
            heard.send("plc/cmd/trigger", str(number))
            answered(line, number)
        until(lambda: len(heard.results) == 10, "ten results")

    assert [codes(heard, number) for number in range(1, 11)] == [[0, 1]] * 10
    assert plc.accepted == [str(number) for number in range(1, 11)]
    assert {result["captured_at_source"] for result in heard.results} == {"trigger"}


def test_the_same_number_is_the_same_request(tmp_path: Path, broker: Mosquitto, heard: Subscriber, video: Path) -> None:
    """A PLC that lost the answer asks again, also after a restart of ours, and is told again: no second picture."""
    with Bench(tmp_path, broker.port, source=a_camera(video)):
        wait_until_ready(heard)
        heard.send("plc/cmd/trigger", "7")
        answered(heard, 7)
        heard.send("plc/cmd/trigger", "7")
        answered(heard, 7, 2)
    with Bench(tmp_path, broker.port, source=a_camera(video)) as bench:
        until(lambda: heard.payloads("info")[1:], "the second run; ready 1 of the first is over")
        wait_until_ready(heard)
        heard.send("plc/cmd/trigger", "7")
        answered(heard, 7, 3)
        bench.now_ns = lambda: time.time_ns() + 61_000_000_000
        heard.send("plc/cmd/trigger", "7")
        answered(heard, 7, 4)
        until(lambda: len(heard.results) == 2, "a second picture")

    assert codes(heard, 7) == [0, 1, 1, 1, 0, 1]
    assert len({word.seq for word in words(heard, 7)}) == 6


def test_more_triggers_than_the_station_can_judge_are_answered_at_once(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber, video: Path
) -> None:
    """Each number has one answer: the parts that could be judged, and ERROR for the others, with the reason."""
    with Bench(tmp_path, broker.port, source=a_camera(video), queue=1, deadline_ms=5000) as bench:
        wait_until_ready(heard)
        bench.hold.clear()
        for number in range(1, 7):
            heard.send("plc/cmd/trigger", str(number))
        refused = until(
            lambda: [n for n in range(1, 7) if any(word.code == 5 for word in words(heard, n))], "an ERROR at once"
        )
        bench.hold.set()
        until(lambda: all(any(w.code for w in words(heard, n)) for n in range(1, 7)), "all are answered")

    assert refused
    assert all([word.code for word in words(heard, n) if word.code] in ([1], [5]) for n in range(1, 7))
    assert [codes(heard, 1)] == [[0, 1]]
    reasons = {result["reason_code"] for result in heard.results if result["verdict"] == "ERROR"}
    assert reasons <= {204}


@pytest.mark.parametrize("payload", ["0", "-1", "2147483648", "1.5", "", "seven", "\u0667", "1;2", "x" * 500])
def test_what_is_no_number_is_refused(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber, video: Path, payload: str
) -> None:
    """An ERROR word with the reason, no picture, and the next one works."""
    with Bench(tmp_path, broker.port, source=a_camera(video)):
        wait_until_ready(heard)
        heard.send("plc/cmd/trigger", payload)
        heard.send("plc/cmd/trigger", "2147483647")
        answered(heard, 2147483647)

    fields = [word.split(b";") for word in heard.payloads("plc/word")]
    assert len([field for field in fields if field[2:4] == [b"5", b"211"]]) == 1
    until(lambda: len(heard.results) == 1, "one result")


def test_a_trigger_before_the_station_is_ready_is_refused(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """No camera: ready is 0, and whoever triggers all the same hears ERROR at once, from an operator's command too."""
    with Bench(tmp_path, broker.port, source=a_camera(tmp_path / "no-such-camera.avi")):
        until(lambda: heard.last("health")["state"] == "DEGRADED", "DEGRADED")
        heard.send("plc/cmd/trigger", "3")
        answered(heard, 3)
        heard.send("cmd/trigger", json.dumps({"correlation_id": "c", "by": "me"}))
        until(lambda: heard.last("ack"), "an answer")

    assert codes(heard, 3) == [5]
    assert heard.last("ack")["status"] == "rejected"
    assert heard.results == []


def test_an_operator_s_trigger_is_never_taken_for_the_plc_s(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber, video: Path
) -> None:
    """The same number, in a command: the PLC's own trigger still gets a picture of its own part."""
    with Bench(tmp_path, broker.port, source=a_camera(video)):
        wait_until_triggers_work(heard)
        heard.send("cmd/trigger", json.dumps({"correlation_id": "5", "by": "me"}))
        until(lambda: len(heard.results) == 1, "the operator's result")
        heard.send("plc/cmd/trigger", "5")
        answered(heard, 5)
        until(lambda: len(heard.results) == 2, "the PLC's result")

    assert [result["trigger_id"] for result in heard.results] == ["cmd/5", "5"]
    assert heard.results[0]["id"] in heard.last("ack")["reason"]
    assert codes(heard, 5) == [0, 1]


def test_a_trigger_that_died_with_the_program_becomes_an_error(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber, video: Path
) -> None:
    """It was accepted, so it is answered: for the record at the start, and to the PLC when it asks again."""
    with Bench(tmp_path, broker.port, source=a_camera(video)) as bench:
        wait_until_ready(heard)
    with bench.opens() as ledger:
        ledger.accept_trigger("lost", "9", "washer")
    with Bench(tmp_path, broker.port, source=a_camera(video)):
        until(lambda: heard.results, "the answer")
        until(lambda: heard.payloads("plc/ready")[-1] == b"1", "ready")
        before = codes(heard, 9)
        heard.send("plc/cmd/trigger", "9")
        answered(heard, 9)

    (result,) = heard.results
    assert (result["id"], result["trigger_id"], result["reason_code"]) == ("lost", "9", 205)
    assert result["replayed"]
    assert before == []
    assert codes(heard, 9) == [5]


def test_a_camera_that_dies_answers_its_triggers(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber, video: Path
) -> None:
    """Accepted, and then the cable is pulled: ERROR, no picture, and ready falls."""
    short = tmp_path / "short.avi"
    _shorten(video, short, frames=FPS)
    with Bench(tmp_path, broker.port, source=a_camera(short, delay_ms=5000), deadline_ms=20_000):
        wait_until_ready(heard)
        heard.send("plc/cmd/trigger", "4")
        answered(heard, 4)

    assert codes(heard, 4) == [0, 5]
    assert heard.results[0]["reason_code"] == 209


def test_a_retained_trigger_is_ignored_and_reported(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber, video: Path
) -> None:
    """It would take a picture of whatever lies there at every start."""
    heard.send("plc/cmd/trigger", "8", retain=True)
    with Bench(tmp_path, broker.port, source=a_camera(video)):
        wait_until_ready(heard)
        until(lambda: "retained_command" in heard.last("alarms")["active"], "the alarm")

    assert words(heard, 8) == []
    assert heard.results == []
    with closing(sqlite3.connect(tmp_path / "state" / STATION / "ledger.db")) as ledger:
        trail = ledger.execute("SELECT command, status FROM audit WHERE by <> 'start'").fetchall()
    assert trail == [("plc/trigger", "rejected")]


def _shorten(video: Path, path: Path, frames: int) -> None:
    with_frames = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (160, 120))
    camera = cv2.VideoCapture(str(video))
    for _ in range(frames):
        with_frames.write(camera.read()[1])
    with_frames.release()
    camera.release()


@pytest.mark.fault("clock set by an hour between a trigger and its repetition (station in this process)")
@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_that_is_set_does_not_make_a_request_new(
    tmp_path: Path,
    broker: Mosquitto,
    heard: Subscriber,
    video: Path,
    jump_s: int,
    record_property: Callable[[str, object], None],
) -> None:
    """A request and its repetition were two parts when the clock was set between them (a seed found it)."""
    with Bench(tmp_path, broker.port, source=a_camera(video)) as bench:
        wait_until_ready(heard)
        heard.send("plc/cmd/trigger", "7")
        answered(heard, 7)
        bench.now_ns = lambda: time.time_ns() + jump_s * 1_000_000_000
        begun = time.monotonic()
        heard.send("plc/cmd/trigger", "7")
        answered(heard, 7, 2)
    ids = {result["id"] for result in heard.results}
    for column, value in (("parts in", 1), ("results out", len(ids)), ("duplicates", len(heard.results) - len(ids))):
        record_property(column, value)
    record_property("recovery s", f"{time.monotonic() - begun:.1f}")

    assert len(ids) == 1
