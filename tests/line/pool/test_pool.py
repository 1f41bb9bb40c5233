"""A worker of a pool: what it takes, what it answers, and what it acknowledges when."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from brokers import Mosquitto, until
from daemons import Subscriber, let_go
from factories import a_part, jpeg, png
from fleets import CAMERA, POOL, SENT
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from stations import Bench, ask, wait_until_ready

from edge_inspector.line.pool.stamps import arrival_id

IMAGE = png(a_part(0))
SOURCE = {"kind": "mqtt", "pool": POOL, "max_mb": 1}
TAKEN = "2026-01-01T12:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Camera:
    """Sends as any program can that knows MQTT 5."""

    client: mqtt.Client
    answers: list[str] = field(default_factory=list)

    def send(self, image: bytes, topic: str = SENT, **stamp: str) -> str:
        """Send an image, and return what the broker said: not Success when nobody will get it."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = list(stamp.items())
        before = len(self.answers)
        self.client.publish(topic, image, 1, False, properties)
        until(lambda: len(self.answers) > before, "the broker has the image")
        return self.answers[-1]


@pytest.fixture
def camera(broker: Mosquitto) -> Iterator[Camera]:
    """Connect a camera."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    camera = Camera(client)
    client.on_publish = lambda _c, _u, _mid, code, _p: camera.answers.append(str(code))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield camera
    client.disconnect()
    client.loop_stop()
    client.on_publish = None
    let_go(client)


@pytest.fixture
def bench(broker: Mosquitto, heard: Subscriber, tmp_path: Path) -> Iterator[Bench]:
    """Run a worker."""
    with Bench(tmp_path, broker.port, source=SOURCE) as bench:
        wait_until_ready(heard)
        yield bench


def results(heard: Subscriber, count: int) -> list[dict[str, Any]]:
    """Return the first results when there are so many."""
    until(lambda: len(heard.results) >= count, f"{count} results")
    return heard.results[:count]


@pytest.mark.usefixtures("bench")
def test_a_sent_image_is_judged_and_its_camera_hears_of_it(
    broker: Mosquitto, heard: Subscriber, camera: Camera
) -> None:
    """The result has the capture's id, says which camera, and comes to the camera's topic as well."""
    with Subscriber(broker.port, base=SENT, only="result") as own:
        camera.send(IMAGE, capture="c1", captured_at=TAKEN, part="washer", serial="S7", lot="L1", view="top")
        told = until(lambda: own.results, "the camera hears of it")[0]
    result = results(heard, 1)[0]

    assert told == result
    assert (result["id"], result["sender"]) == (arrival_id(CAMERA, "c1"), CAMERA)
    assert (result["serial"], result["lot"], result["view"], result["captured_at"]) == ("S7", "L1", "top", TAKEN)
    assert (result["verdict"], result["replayed"]) == ("OK", False)


KNOWN = {"capture": "c1", "captured_at": TAKEN}
BAD: tuple[tuple[bytes, dict[str, str], int, str], ...] = (
    (IMAGE, {}, 117, "INVALID"),
    (IMAGE, {"capture": "c1"}, 117, "INVALID"),
    (IMAGE, {"captured_at": TAKEN}, 117, "INVALID"),
    (IMAGE, {**KNOWN, "capture": "a/b"}, 117, "INVALID"),
    (IMAGE, {**KNOWN, "captured_at": "now"}, 117, "INVALID"),
    (IMAGE, {**KNOWN, "part": "no such part"}, 117, "INVALID"),
    (IMAGE, {**KNOWN, "capture": "c2", "part": "nut"}, 206, "ERROR"),
    (b"", {**KNOWN, "capture": "c3"}, 101, "INVALID"),
    (b"GIF89a, no image", {**KNOWN, "capture": "c4"}, 102, "INVALID"),
    (jpeg(a_part(0))[:500], {**KNOWN, "capture": "c5"}, 103, "INVALID"),
    (IMAGE + bytes(1_000_000), {**KNOWN, "capture": "c6"}, 104, "INVALID"),
    (b"", {**KNOWN, "capture": "c7", "no_picture": "UNREADABLE"}, 210, "ERROR"),
)


@pytest.mark.usefixtures("bench")
def test_what_is_no_image_is_answered(heard: Subscriber, camera: Camera) -> None:
    """One message in, one answer out, never OK and never silence; and the next image is judged as ever."""
    for image, stamp, _, _ in BAD:
        camera.send(image, **stamp)
    camera.send(IMAGE, **KNOWN)
    found = results(heard, len(BAD) + 1)

    assert [(one["reason_code"], one["verdict"]) for one in found] == [(bad[2], bad[3]) for bad in BAD] + [(0, "OK")]
    assert [one["accept"] for one in found] == [False] * len(BAD) + [True]
    assert {one["sender"] for one in found} == {CAMERA}


def test_the_same_capture_has_one_verdict(bench: Bench, heard: Subscriber, camera: Camera) -> None:
    """Sent again it is not judged again; its camera hears the first verdict once more."""
    camera.send(IMAGE, capture="c1", captured_at=TAKEN)
    first = results(heard, 1)[0]
    bench.level = 2.0
    camera.send(IMAGE, capture="c1", captured_at=TAKEN, again="true")
    _, second = results(heard, 2)
    camera.send(IMAGE, capture="c2", captured_at=TAKEN)
    third = results(heard, 3)[2]

    assert second == {**first, "replayed": True}
    assert (third["seq"], third["verdict"]) == (first["seq"] + 1, "NG")


def test_what_was_sent_again_is_for_the_record(bench: Bench, heard: Subscriber, camera: Camera) -> None:
    """A PLC's timer is over when an image comes a second time: nothing of it goes to `plc/`."""
    before = len(heard.payloads("plc/word"))
    camera.send(IMAGE, capture="c1", captured_at=TAKEN, again="true")
    result = results(heard, 1)[0]
    camera.send(IMAGE, capture="c2", captured_at=TAKEN, serial="S2")
    words = until(lambda: heard.payloads("plc/word")[before:], "the word of the second image")

    assert result["replayed"]
    assert [word.decode().split(";")[6] for word in words] == ["S2"]
    assert bench.restarts() == []


def test_the_broker_keeps_what_is_not_judged(
    broker: Mosquitto, heard: Subscriber, camera: Camera, tmp_path: Path
) -> None:
    """A worker that stops with images in hand gets them again at its next start, under the same ids."""
    with Bench(tmp_path, broker.port, source=SOURCE) as bench:
        wait_until_ready(heard)
        bench.hold.clear()
        for number in range(5):
            camera.send(IMAGE, capture=f"c{number}", captured_at=TAKEN)
        with bench.opens() as ledger:
            until(ledger.attempts.begun, "the first is being judged")
        bench._stop.set()
        bench.hold.set()
    with Bench(tmp_path, broker.port, source=SOURCE) as bench, bench.opens() as ledger:
        until(lambda: len({one["id"] for one in heard.results}) == 5, "five results")
        seqs = [json.loads(payload)["seq"] for payload in ledger.results.newest(100)]

    assert {one["id"] for one in heard.results} == {arrival_id(CAMERA, f"c{number}") for number in range(5)}
    assert seqs == [1, 2, 3, 4, 5]


def test_who_is_paused_leaves_the_images_to_others(bench: Bench, heard: Subscriber, camera: Camera) -> None:
    """The broker hands it no more: what nobody takes the camera sends again, to whoever does."""
    ask(heard, "pause", "1")
    until(lambda: "No matching" in camera.send(IMAGE, capture="c1", captured_at=TAKEN), "nobody listens any more")
    ask(heard, "resume", "2")
    until(lambda: camera.send(IMAGE, capture="c2", captured_at=TAKEN) == "Success", "the worker listens again")
    until(lambda: arrival_id(CAMERA, "c2") in {one["id"] for one in heard.results}, "its result")

    assert bench.restarts() == []


def test_a_worker_survives_its_broker(bench: Bench, broker: Mosquitto, heard: Subscriber, camera: Camera) -> None:
    """It says that images cannot come, and takes them again when they can."""
    broker.kill()
    broker.start()
    until(camera.client.is_connected, "the camera is back")
    until(lambda: camera.send(IMAGE, capture="c1", captured_at=TAKEN) == "Success", "the worker is back")
    until(lambda: arrival_id(CAMERA, "c1") in {one["id"] for one in heard.results}, "its result")

    assert bench.restarts() == []


@pytest.mark.usefixtures("bench")
def test_nobody_triggers_what_is_sent(heard: Subscriber) -> None:
    """A trigger would name one worker of several; it is rejected."""
    status, reason = ask(heard, "trigger", "1")

    assert (status, reason) == ("rejected", "this station's images come by themselves")


def test_two_workers_share_what_is_sent(broker: Mosquitto, heard: Subscriber, camera: Camera, tmp_path: Path) -> None:
    """Each image goes to one of them."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with (
        Subscriber(broker.port, base="edge-inspector/v1/st2") as second,
        Bench(tmp_path / "a", broker.port, source=SOURCE),
        Bench(tmp_path / "b", broker.port, source=SOURCE, name="st2"),
    ):
        wait_until_ready(heard)
        wait_until_ready(second)
        for number in range(10):
            camera.send(IMAGE, capture=f"c{number}", captured_at=TAKEN)
        until(lambda: len(heard.results) + len(second.results) == 10, "ten results")
        counts = len(heard.results), len(second.results)

    assert all(counts)
    assert {one["id"] for one in heard.results + second.results} == {arrival_id(CAMERA, f"c{n}") for n in range(10)}
