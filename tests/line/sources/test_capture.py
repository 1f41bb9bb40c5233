"""A camera: images at their interval, and a camera that is gone is waited for."""

import queue
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Self

import cv2
import numpy as np
import pytest
from brokers import PATIENCE_S, until
from factories import a_part, jpeg
from rtsp import RtspCamera, SilentServer, needs_rtsp

from edge_inspector.inspection.model import Arrival, Frame, Reason, Unreadable
from edge_inspector.line.sources import capture
from edge_inspector.line.sources.camera import Reader
from edge_inspector.line.sources.capture import CameraNews, CaptureSource
from edge_inspector.line.sources.source import Accepted, Idle, Opened, SourceEvent, Trouble
from edge_inspector.line.sources.triggers import Trigger
from edge_inspector.settings import CaptureSettings

FRAMES, RATE = 30, 30


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Write a video of a second; each of its 30 frames has its own brightness."""
    path = tmp_path / "camera.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (160, 120))
    for number in range(FRAMES):
        writer.write(np.full((120, 160, 3), 5 * number, np.uint8))
    writer.release()
    return path


class FakeCamera:
    """A V4L2 camera, of which this machine has none: it keeps what it is set to, and may hang or give nonsense."""

    def __init__(self, image: Any = None, kept: tuple[int, ...] = ()) -> None:  # noqa: ANN401 - a camera gives anything
        self.image = np.zeros((120, 160, 3), np.uint8) if image is None else image
        self.go_on = threading.Event()
        self.go_on.set()
        self.values = {cv2.CAP_PROP_FPS: 50.0, cv2.CAP_PROP_EXPOSURE: 157.0, cv2.CAP_PROP_AUTO_EXPOSURE: 3.0}
        self._kept = kept

    def open(self, *_: object) -> bool:
        """Be there."""
        return True

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's
        """Be open."""
        return True

    def set(self, what: int, value: float) -> bool:
        """Keep some of what is asked."""
        if what in self._kept:
            self.values[what] = value
        return what in self._kept

    def get(self, what: int) -> float:
        """Say what is kept; -1 for what is unknown."""
        return self.values.get(what, -1.0)

    def grab(self) -> bool:
        """Give a frame in 20 ms, or hang."""
        threading.Event().wait(0.02)
        return self.go_on.wait(PATIENCE_S)

    def retrieve(self) -> tuple[bool, Any]:
        """Give the frame."""
        return True, self.image

    def release(self) -> None:
        """Be unplugged."""


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeCamera], None]:
    """Plug a camera in where OpenCV would find one."""

    def plug(camera: FakeCamera) -> None:
        monkeypatch.setattr(capture, "Reader", partial(Reader, capture=lambda: camera))

    return plug


class Watching:
    """A capture source at work in its own thread."""

    def __init__(self, device: Path | str, **keys: Any) -> None:  # noqa: ANN401 - a test factory
        self.events: list[SourceEvent] = []
        self.triggers: queue.SimpleQueue[CameraNews] = queue.SimpleQueue()
        self.is_wanted: Callable[[], bool] = lambda: True
        self._stop = threading.Event()
        numbers = count()
        self._source = CaptureSource(
            CaptureSettings(kind="capture", device=str(device), **{"interval_ms": 100, **keys}),
            "st1",
            lambda: "washer",
            new_id=lambda: f"id{next(numbers)}",
            now_ns=time.time_ns,
            monotonic_ns=time.monotonic_ns,
            wait=lambda seconds: bool(self._stop.wait(seconds)) and None,
            rng=Random(1),  # noqa: S311 - jitter
            triggers=self.triggers,
        )
        self._thread = threading.Thread(target=self._run)

    def _wanted(self) -> bool:
        return self.is_wanted()

    def _run(self) -> None:
        with closing(self._source.events(self._wanted)) as events:
            for event in events:
                self.events.append(event)
                if self._stop.is_set():
                    return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def kinds(self) -> list[type[SourceEvent]]:
        """Return what kinds of events came."""
        return [type(event) for event in self.events.copy()]

    def troubles(self) -> list[str]:
        """Return what went wrong."""
        return [event.detail for event in self.events.copy() if isinstance(event, Trouble)]

    @property
    def arrivals(self) -> list[Arrival]:
        """What was accepted, in order."""
        return [event.arrival for event in self.events.copy() if isinstance(event, Accepted)]


def shapes_of(watching: Watching) -> list[tuple[int, ...]]:
    """Return the shapes of the images that were accepted."""
    images = [arrival.image for arrival in watching.arrivals if isinstance(arrival, Frame)]
    return [image.shape for image in images if not isinstance(image, bytes)]


def brightness(arrival: Arrival) -> float:
    """Return how bright an image is."""
    assert isinstance(arrival, Frame)
    assert not isinstance(arrival.image, bytes)
    return float(arrival.image.mean())


def test_an_image_is_taken_at_every_interval(video: Path) -> None:
    """Each is another part, with pixels as the camera gave them."""
    with Watching(video) as watching:
        until(lambda: len(watching.arrivals) >= 5, "five images")
    arrivals = watching.arrivals[:5]

    assert watching.kinds()[0] is Opened
    assert len({arrival.identity.id for arrival in arrivals}) == 5
    assert {arrival.identity.captured_source for arrival in arrivals} == {"grab"}
    assert all(isinstance(arrival, Frame) for arrival in arrivals)
    steps = np.diff([brightness(arrival) for arrival in arrivals])
    assert np.median(steps) > 5  # a busy machine takes one of them late and the next one soon after
    assert (steps > 0).all()


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """Write a video whose first 5 frames differ and whose next 25 are one frame, as from a camera that hangs."""
    path = tmp_path / "still.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (160, 120))
    for number in range(FRAMES):
        writer.write(np.full((120, 160, 3), 20 * min(number, 5), np.uint8))
    writer.release()
    return path


def test_a_camera_that_hangs_is_found_out(still: Path) -> None:
    """The third image that is equal bit by bit is INVALID, and all that follow, until one differs."""
    with Watching(still, interval_ms=1) as watching:
        until(lambda: sum(isinstance(a, Unreadable) for a in watching.arrivals) >= 5, "the frozen image is refused")
    refused = [isinstance(arrival, Unreadable) for arrival in watching.arrivals]
    first = watching.arrivals[refused.index(True)]

    assert isinstance(first, Unreadable)
    assert first.reason is Reason.FROZEN
    assert "3 consecutive images" in first.detail
    assert refused[: refused.index(True)].count(False) >= 3
    assert all(refused[refused.index(True) :][:5])


def test_the_watch_for_a_hanging_camera_can_be_switched_off(still: Path) -> None:
    """A line whose images are made by a program may give equal ones."""
    with Watching(still, interval_ms=1, frozen=0) as watching:
        until(lambda: len(watching.arrivals) >= 20, "twenty images")

    assert all(isinstance(arrival, Frame) for arrival in watching.arrivals)


def test_a_file_plays_at_its_own_speed(video: Path) -> None:
    """It stands for a camera, and a camera does not hurry."""
    begun = time.monotonic()
    with Watching(video) as watching:
        until(lambda: Trouble in watching.kinds(), "the end of the file")

    assert time.monotonic() - begun > 0.9
    assert 1 <= len(watching.arrivals) <= 11


def test_a_camera_that_ends_is_opened_again(video: Path) -> None:
    """A cable that was pulled out and put in again needs nobody at the keyboard."""
    with Watching(video) as watching:
        until(lambda: watching.kinds().count(Opened) >= 2, "opened again")
        before = len(watching.arrivals)
        until(lambda: len(watching.arrivals) > before, "images again")

    assert watching.kinds().count(Trouble) >= 1


@pytest.mark.parametrize("device", ["/nonexistent/video7", "rtsp://127.0.0.1:9/none", "99"])
def test_a_camera_that_is_not_there_is_trouble_and_tried_again(device: str, tmp_path: Path) -> None:
    """The station is DEGRADED, alive, and says which cable to look at."""
    with Watching(device) as watching:
        until(lambda: watching.kinds().count(Trouble) >= 2, "two tries")

    first = next(event for event in watching.events if isinstance(event, Trouble))
    assert device in first.detail
    assert Idle in watching.kinds()
    assert watching.arrivals == []
    assert tmp_path.exists()


def test_a_camera_that_appears_is_found(video: Path, tmp_path: Path) -> None:
    """It may be switched on after the PC."""
    late = tmp_path / "late.avi"
    with Watching(late) as watching:
        until(lambda: Trouble in watching.kinds(), "trouble")
        video.rename(late)
        until(lambda: watching.arrivals, "pictures")

    assert watching.kinds().index(Trouble) < watching.kinds().index(Opened)


def test_nothing_is_taken_while_paused(video: Path) -> None:
    """The camera runs on, its images are nobody's parts."""
    with Watching(video) as watching:
        watching.is_wanted = lambda: False
        until(lambda: watching.kinds().count(Opened) >= 2, "the file has played")
        taken = len(watching.arrivals)
        watching.is_wanted = lambda: True
        until(lambda: len(watching.arrivals) > taken, "pictures")

    assert taken <= 1


def test_a_trigger_gets_an_image_exposed_after_it(video: Path) -> None:
    """A frame out of the driver's buffer would show the part before."""
    with Watching(video, trigger="mqtt") as watching:
        until(lambda: Opened in watching.kinds(), "the camera is open")
        asked = time.monotonic_ns()
        watching.triggers.put(Trigger("t1", "77", "washer", asked, time.time_ns()))
        until(lambda: watching.arrivals, "the image")

    (arrival,) = watching.arrivals
    assert isinstance(arrival, Frame)
    assert (arrival.identity.id, arrival.identity.trigger_id) == ("t1", "77")


def test_a_trigger_without_a_camera_is_answered_at_once() -> None:
    """The PLC hears ERROR now rather than nothing."""
    with Watching("/nonexistent/video7", trigger="mqtt") as watching:
        watching.triggers.put(Trigger("t1", "77", "washer", time.monotonic_ns(), time.time_ns()))
        until(lambda: watching.arrivals, "the answer")

    (arrival,) = watching.arrivals
    assert isinstance(arrival, Unreadable)
    assert "gives no image" in arrival.detail


def test_a_still_image_is_a_camera_that_ends_at_once(tmp_path: Path) -> None:
    """Somebody names an image as device: no crash, and no storm of parts either."""
    cv2.imwrite(str(tmp_path / "one.png"), a_part(0))
    with Watching(tmp_path / "one.png") as watching:
        until(lambda: watching.kinds().count(Trouble) >= 2, "the end")

    assert len(watching.arrivals) <= 3


def test_every_frame_is_a_part(video: Path) -> None:
    """A line-scan camera or a gate before it has chosen already."""
    with Watching(video, trigger="every_frame") as watching:
        until(lambda: Trouble in watching.kinds(), "the end of the file")
    grey = [round(brightness(arrival) / 5) for arrival in watching.arrivals[:FRAMES]]

    assert grey == list(range(FRAMES))
    assert len({arrival.identity.id for arrival in watching.arrivals}) == len(watching.arrivals)


def test_a_camera_that_hangs_is_an_alarm_after_a_second(plug: Callable[[FakeCamera], None]) -> None:
    """`read` may block for half a minute; nobody waits for it, and a trigger hears ERROR at once."""
    camera = FakeCamera()
    plug(camera)
    with Watching("0", trigger="mqtt") as watching:
        until(lambda: Opened in watching.kinds(), "the camera is open")
        camera.go_on.clear()
        until(watching.troubles, "the alarm")
        watching.triggers.put(Trigger("t1", "77", "washer", time.monotonic_ns(), time.time_ns()))
        until(lambda: watching.arrivals, "the answer")
        opened = watching.kinds().count(Opened)
        camera.go_on.set()
        until(lambda: watching.kinds().count(Opened) > opened, "opened again")

    (arrival,) = watching.arrivals
    assert isinstance(arrival, Unreadable)
    assert arrival.reason is Reason.NO_IMAGE
    assert re.search(r"none for [1-9]\d*\.", watching.troubles()[0])


def test_a_stream_that_accepts_and_sends_nothing_is_trouble() -> None:
    """A camera whose encoder has died still has a network; the station says so, and tries again and again."""
    with SilentServer() as server, Watching(server.url) as watching:
        until(lambda: server.accepted >= 2, "another try")

    assert "gives no image" in watching.troubles()[0]
    assert Idle in watching.kinds()
    assert watching.arrivals == []


def test_a_stream_that_dies_is_found_again(tmp_path: Path) -> None:
    """Somebody takes the camera's power for a minute."""
    needs_rtsp()
    for number in range(100):
        cv2.imwrite(str(tmp_path / f"{number:05}.png"), a_part(number))
    camera = RtspCamera(tmp_path, 25)
    with camera, Watching(camera.url) as watching:
        until(lambda: len(watching.arrivals) >= 2, "pictures")
        camera.kill()
        until(watching.troubles, "trouble")
        before = len(watching.arrivals)
        with camera:
            until(lambda: len(watching.arrivals) > before, "images again")

    assert watching.kinds().count(Opened) >= 2


def test_images_that_change_their_size_are_passed_on(plug: Callable[[FakeCamera], None]) -> None:
    """Somebody turns a knob at the camera: each image is passed on as it is, and is INVALID by its recipe."""
    camera = FakeCamera()
    plug(camera)
    with Watching("0", trigger="every_frame") as watching:
        until(lambda: len(watching.arrivals) > 3, "pictures")
        camera.image = np.zeros((64, 96, 3), np.uint8)
        until(lambda: (64, 96, 3) in shapes_of(watching), "images of another size")

    assert watching.troubles() == []


def test_presence_begins_anew_when_the_size_changes(plug: Callable[[FakeCamera], None]) -> None:
    """What was the empty belt can no longer be compared."""
    camera = FakeCamera()
    plug(camera)
    with Watching("0", trigger="presence") as watching:
        until(lambda: Opened in watching.kinds(), "the camera is open")
        camera.image = np.zeros((64, 96, 3), np.uint8)
        until(lambda: watching.kinds().count(Idle) > 1, "some frames")
        camera.image = a_part(0, width=96, height=64)
        until(lambda: watching.arrivals, "the part")

    assert shapes_of(watching) == [(64, 96, 3)]


def test_a_size_that_changes_in_an_mjpeg_stream_is_seen(tmp_path: Path) -> None:
    """Of raw frames each has its own size; of others OpenCV scales each to the size at the opening."""
    path = tmp_path / "camera.mjpeg"
    sizes = [(160, 120)] * 12 + [(96, 64)] * 12
    path.write_bytes(b"".join(jpeg(a_part(0, width=width, height=height)) for width, height in sizes))
    with Watching(path, trigger="every_frame", frozen=0) as watching:
        until(lambda: Trouble in watching.kinds(), "the end of the file")

    assert shapes_of(watching)[:24] == [(120, 160, 3)] * 12 + [(64, 96, 3)] * 12


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((0, 0, 3), np.uint8), "zero size"),
        (np.zeros((120, 160, 2), np.uint8), "(120, 160, 2) uint8"),
        (np.zeros((120, 160), np.float32), "float32"),
    ],
    ids=["zero", "yuyv", "float"],
)
def test_a_frame_that_is_no_image_is_trouble(plug: Callable[[FakeCamera], None], image: Any, said: str) -> None:  # noqa: ANN401
    """A driver that was not told to convert, or is broken: never a part."""
    plug(FakeCamera(image))
    with Watching("0") as watching:
        until(watching.troubles, "trouble")

    assert said in watching.troubles()[0]
    assert watching.arrivals == []


def test_another_pixel_format_is_trouble(video: Path) -> None:
    """A camera that was to send raw pixels and sends JPEG would be judged by its compression."""
    with Watching(video, pixel_format="YUYV") as watching:
        until(watching.troubles, "trouble")

    assert "its pixel format is MJPG, expected YUYV" in watching.troubles()[0]
    assert Opened not in watching.kinds()


def test_a_region_outside_the_images_is_trouble(video: Path) -> None:
    """Nothing could ever enter it."""
    with Watching(video, trigger="presence", region=(100, 0, 100, 100)) as watching:
        until(watching.troubles, "trouble")

    assert "lies outside its images of 160x120" in watching.troubles()[0]


def test_what_the_camera_is_set_to_is_kept_with_each_image(plug: Callable[[FakeCamera], None]) -> None:
    """Automatics are switched off; what a camera does not keep is said, and what it says it did is recorded."""
    camera = FakeCamera(kept=(cv2.CAP_PROP_EXPOSURE, cv2.CAP_PROP_AUTO_EXPOSURE, cv2.CAP_PROP_GAIN))
    plug(camera)
    with Watching("0", exposure=80, gain=4, focus=12) as watching:
        until(lambda: watching.arrivals, "an image")
    opened = next(event.detail for event in watching.events if isinstance(event, Opened))

    assert dict(watching.arrivals[0].identity.camera) == {"exposure": 80, "gain": 4}
    assert camera.values[cv2.CAP_PROP_AUTO_EXPOSURE] == 1
    assert "focus 12 was asked for and is not kept" in opened
    assert "exposure 80" in opened
