"""A camera's PC: it keeps each image until the result has come back, and sends it again until then."""

import itertools
import json
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

import cv2
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from brokers import PATIENCE_S, Mosquitto, until
from daemons import Daemon, drop, let_go
from factories import a_part, png
from fleets import CAMERA, POOL, SENT, write_camera
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_inspector.errors import UsageError
from edge_inspector.line.collect.collect import for_collecting
from edge_inspector.line.environment import Environment
from edge_inspector.line.ledger.ledger import open_ledger
from edge_inspector.line.pool.sender import Intake, Sender
from edge_inspector.line.pool.stamps import arrival_id
from edge_inspector.line.sources.opening import open_source
from edge_inspector.line.sources.source import Opened, Source, SourceEvent
from edge_inspector.line.ticks import Worker
from edge_inspector.settings import CameraSettings, PoolSettings

IMAGE = png(a_part(0))


class Judge:
    """Stands for a pool: hears images, and answers those that a test wants answered."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answers = False
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_message = self._hear
        subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe(SENT, 1)
        assert subscribed.wait(PATIENCE_S)

    def _hear(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        assert message.properties is not None
        stamp = dict(message.properties.UserProperty)
        self.heard.append((stamp, bytes(message.payload)))
        if self.answers:
            self.answer(stamp["capture"])

    def answer(self, capture: str) -> None:
        """Say what became of a capture, with a field that this version does not know."""
        result = {"id": arrival_id(CAMERA, capture), "verdict": "OK", "of a later version": 1}
        self.client.publish(f"{SENT}/result", json.dumps(result), 1)

    def wait_for(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        """Return the first images when there are so many."""
        until(lambda: len(self.heard) >= count, f"{count} images")
        return self.heard[:count]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        let_go(self.client)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A source that says when it is open: what lies there before was there at the start."""

    source: Source
    opened: threading.Event = field(default_factory=threading.Event)
    can_wait: bool = True

    def events(self, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        for event in self.source.events(wanted):
            if isinstance(event, Opened):
                self.opened.set()
            yield event

    def done(self, arrival_id: str) -> None:
        self.source.done(arrival_id)


@contextmanager
def sending(folder: Path, port: int, **keys: Any) -> Iterator[Path]:  # noqa: ANN401 - a test factory
    """Send what lies in `folder`/inbox while the block runs, and yield that inbox."""
    inbox = folder / "inbox"
    inbox.mkdir(exist_ok=True)
    source = {"kind": "folder", "path": inbox, "scan_ms": 50, "settle_ms": 50}
    given: dict[str, Any] = {"name": CAMERA, "pool": POOL, "source": source, "resend_s": 1, "mqtt": {"port": port}}
    settings = CameraSettings(**{**given, **keys})
    numbers = itertools.count()
    stop = threading.Event()
    environment = Environment(time.time_ns, time.monotonic_ns, lambda: f"{time.time_ns():x}{next(numbers)}", Random(1))  # noqa: S311
    worker = Worker("camera", stop, queue.SimpleQueue(), time.monotonic_ns)
    images = _Seen(
        open_source(
            settings.source,
            CAMERA,
            str,
            environment=environment,
            open_ledger=lambda: open_ledger(folder / "ledger.db", lambda: "none", time.time_ns),
            wait=lambda _seconds: None,
        )
    )
    room: queue.Queue[None] = queue.Queue(settings.in_flight)
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    sender = Sender(settings, inbox=messages, room=room, done=images.done, worker=worker, rng=environment.rng)
    runs = (Intake(images, room, messages, worker).run, sender.run)
    threads = [threading.Thread(target=run) for run in runs]
    for thread in threads:
        thread.start()
    try:
        assert images.opened.wait(PATIENCE_S)
        yield inbox
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)

    assert not any(thread.is_alive() for thread in threads)


def waiting(inbox: Path) -> list[str]:
    """Return the images that have no result yet."""
    return sorted(path.name for path in (inbox / ".claimed").glob("*"))


def test_an_image_is_kept_until_its_result_comes(broker: Mosquitto, tmp_path: Path) -> None:
    """It says which capture it is, and goes away when that one's result has come, and no other's."""
    with Judge(broker.port) as judge, sending(tmp_path, broker.port, resend_s=60) as inbox:
        drop(inbox, "S0.png", IMAGE)  # it may lie there at the start; the next ones do not
        judge.answer(judge.wait_for(1)[0][0]["capture"])
        drop(inbox, "S1.png", IMAGE)
        stamp, image = judge.wait_for(2)[1]
        judge.answer("another")
        judge.client.publish(f"{SENT}/result", b"nonsense", 1)
        drop(inbox, "S2.png", IMAGE)
        judge.wait_for(3)
        until(lambda: not any(name.endswith("S0.png") for name in waiting(inbox)), "the one before is put away")
        kept = waiting(inbox)
        judge.answer(stamp["capture"])
        until(lambda: len(waiting(inbox)) == 1, "the first is put away")

    assert (image, stamp["serial"], stamp.get("again")) == (IMAGE, "S1", None)
    assert len(kept) == 2
    assert kept[0] == f"{stamp['capture']}--S1.png"


def test_without_a_result_it_is_sent_again_as_the_same_capture(broker: Mosquitto, tmp_path: Path) -> None:
    """Whoever gets it now knows that it is late."""
    with Judge(broker.port) as judge, sending(tmp_path, broker.port) as inbox:
        drop(inbox, "S1.png", IMAGE)
        first, second, third = (stamp for stamp, _ in judge.wait_for(3))
        judge.answers = True
        until(lambda: not waiting(inbox), "it is put away")

    assert second == third == {**first, "again": "true"}


def test_no_more_are_under_way_than_allowed(broker: Mosquitto, tmp_path: Path) -> None:
    """The others wait in the folder, where anybody can see them."""
    with Judge(broker.port) as judge, sending(tmp_path, broker.port, in_flight=2, resend_s=60) as inbox:
        for number in range(5):
            drop(inbox, f"S{number}.png", IMAGE)
        judge.wait_for(2)
        judge.answer(judge.heard[0][0]["capture"])
        judge.wait_for(3)
        lying = len(list(inbox.glob("*.png")))
        judge.answers = True
        for stamp, _ in judge.heard.copy():
            judge.answer(stamp["capture"])
        judge.wait_for(5)
        until(lambda: not waiting(inbox), "all are put away")

    assert lying == 2
    assert len({stamp["capture"] for stamp, _ in judge.heard}) == len(judge.heard) == 5


def test_what_an_earlier_run_sent_is_sent_again(broker: Mosquitto, tmp_path: Path) -> None:
    """The same capture; a worker that has judged it says so once more."""
    with Judge(broker.port) as judge:
        with sending(tmp_path, broker.port, resend_s=60) as inbox:
            drop(inbox, "S1.png", IMAGE)
            first = judge.wait_for(1)[0][0]
        judge.answers = True
        with sending(tmp_path, broker.port, resend_s=60):
            second = judge.wait_for(2)[1][0]
            until(lambda: not waiting(inbox), "it is put away")

    assert second == {**first, "again": "true"}


def test_what_cannot_be_sent_is_said(broker: Mosquitto, tmp_path: Path) -> None:
    """Too large, no file, a name that does not fit: no image goes out, and the part is answered all the same."""
    with Judge(broker.port) as judge, sending(tmp_path, broker.port, max_mb=1) as inbox:
        judge.answers = True
        (inbox / "link.png").symlink_to("/etc/hostname")
        said = [judge.wait_for(1)[0]]
        drop(inbox, "large.png", IMAGE + bytes(1_000_000))
        said.append(judge.wait_for(2)[1])
        until(lambda: not waiting(inbox), "both are put away")

    assert [(stamp["no_picture"], image) for stamp, image in said] == [("NOT_A_FILE", b""), ("TOO_LARGE", b"")]
    assert "at most 1000000" in said[1][0]["detail"]


def test_a_broker_that_takes_no_such_size_stops_nothing(tmp_path: Path) -> None:
    """It ends the connection at an image over its limit: after the second time it is answered, the rest sent."""
    broker = Mosquitto(tmp_path / "broker", "allow_anonymous true\nmessage_size_limit 50000")
    with broker, Judge(broker.port) as judge, sending(tmp_path, broker.port) as inbox:
        judge.answers = True
        drop(inbox, "large.png", IMAGE + bytes(60_000))
        drop(inbox, "small.png", IMAGE)
        found = {stamp["serial"]: stamp for stamp, _ in judge.wait_for(2)}
        until(lambda: not waiting(inbox), "both are put away")

    assert found["large"]["no_picture"] == "TOO_LARGE"
    assert "message_size_limit" in found["large"]["detail"]
    assert "no_picture" not in found["small"]


def test_a_sender_survives_its_broker(broker: Mosquitto, tmp_path: Path) -> None:
    """What was under way is sent again to the broker that has forgotten it."""
    with sending(tmp_path, broker.port) as inbox:
        with Judge(broker.port) as judge:
            drop(inbox, "S1.png", IMAGE)
            first = judge.wait_for(1)[0][0]
        broker.kill()
        drop(inbox, "S2.png", IMAGE)
        broker.start()
        with Judge(broker.port) as judge:
            judge.answers = True
            until(lambda: len({stamp["serial"] for stamp, _ in judge.heard}) == 2, "both images")
            until(lambda: not waiting(inbox), "both are put away")

    assert first["capture"] in {stamp["capture"] for stamp, _ in judge.heard}


def test_a_camera_s_frames_outlive_its_program(broker: Mosquitto, tmp_path: Path) -> None:
    """The real program with a real stream: killed, its next run sends what was not judged, as the same captures."""
    video = tmp_path / "belt.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for number in range(30):
        writer.write(a_part(number))
    writer.release()
    source = 'kind = "capture"\ndevice = "belt.avi"\ntrigger = "every_frame"'
    config = write_camera(tmp_path, port=broker.port, source=source, keys="resend_s = 60\nin_flight = 4")
    with Judge(broker.port) as judge, Daemon(config, program="camera") as camera:
        camera.start()
        first = [stamp["capture"] for stamp, _ in judge.wait_for(4)]
        camera.kill()
        count = len(judge.heard)
        camera.start()
        judge.wait_for(count + 4)
        second = [stamp for stamp, _ in judge.heard[count : count + 4]]
        image = cv2.imdecode(np.frombuffer(judge.heard[0][1], np.uint8), cv2.IMREAD_UNCHANGED)
        judge.answers = True
        for stamp in second:
            judge.answer(stamp["capture"])
        until(lambda: len(judge.heard) > count + 8, "the next ones")
        ended = camera.stop()

    assert [stamp["capture"] for stamp in second] == first
    assert {stamp["again"] for stamp in second} == {"true"}
    assert "serial" not in second[0]
    assert image.shape == (120, 160, 3)
    assert ended == 0


def test_nobody_collects_at_a_worker() -> None:
    """It would take its images from the line."""
    with pytest.raises(UsageError, match="collect them where the camera is"):
        for_collecting(PoolSettings(kind="mqtt", pool=POOL))
