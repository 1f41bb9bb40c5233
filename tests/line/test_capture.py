"""A camera: pictures at their interval, and a camera that is gone is waited for."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Self

import cv2
import numpy as np
import pytest
from brokers import until
from factories import a_part

from edge_inspector.inspection.model import Arrival, Frame, Reason, Unreadable
from edge_inspector.line.capture import CaptureSource
from edge_inspector.line.source import Accepted, Idle, Opened, SourceEvent, Trouble
from edge_inspector.line.triggers import Trigger
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


class Watching:
    """A capture source at work in its own thread."""

    def __init__(self, device: Path | str, **keys: Any) -> None:  # noqa: ANN401 - a test factory
        self.events: list[SourceEvent] = []
        self.triggers: queue.SimpleQueue[Trigger] = queue.SimpleQueue()
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

    @property
    def arrivals(self) -> list[Arrival]:
        """What was accepted, in order."""
        return [event.arrival for event in self.events.copy() if isinstance(event, Accepted)]


def brightness(arrival: Arrival) -> float:
    """Return how bright a picture is."""
    assert isinstance(arrival, Frame)
    assert not isinstance(arrival.image, bytes)
    return float(arrival.image.mean())


def test_a_picture_is_taken_at_every_interval(video: Path) -> None:
    """Each is another part, with pixels as the camera gave them."""
    with Watching(video) as watching:
        until(lambda: len(watching.arrivals) >= 5, "five pictures")
    arrivals = watching.arrivals[:5]

    assert watching.kinds()[0] is Opened
    assert len({arrival.identity.id for arrival in arrivals}) == 5
    assert {arrival.identity.captured_source for arrival in arrivals} == {"grab"}
    assert all(isinstance(arrival, Frame) for arrival in arrivals)
    steps = np.diff([brightness(arrival) for arrival in arrivals])
    assert (steps > 5).all()


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
    """The third picture that is equal bit by bit is INVALID, and all that follow, until one differs."""
    with Watching(still, interval_ms=1) as watching:
        until(lambda: sum(isinstance(a, Unreadable) for a in watching.arrivals) >= 5, "the frozen picture is refused")
    refused = [isinstance(arrival, Unreadable) for arrival in watching.arrivals]
    first = watching.arrivals[refused.index(True)]

    assert isinstance(first, Unreadable)
    assert first.reason is Reason.FROZEN
    assert "3 pictures" in first.detail
    assert refused[: refused.index(True)].count(False) >= 3
    assert all(refused[refused.index(True) :][:5])


def test_the_watch_for_a_hanging_camera_can_be_switched_off(still: Path) -> None:
    """A line whose pictures are made by a program may give equal ones."""
    with Watching(still, interval_ms=1, frozen=0) as watching:
        until(lambda: len(watching.arrivals) >= 20, "twenty pictures")

    assert all(isinstance(arrival, Frame) for arrival in watching.arrivals)


def test_a_file_plays_at_its_own_speed(video: Path) -> None:
    """It stands for a camera, and a camera does not hurry."""
    begun = time.monotonic()
    with Watching(video) as watching:
        until(lambda: Trouble in watching.kinds(), "the end of the file")

    assert 0.9 < time.monotonic() - begun < 5
    assert 5 <= len(watching.arrivals) <= 11


def test_a_camera_that_ends_is_opened_again(video: Path) -> None:
    """A cable that was pulled out and put in again needs nobody at the keyboard."""
    with Watching(video) as watching:
        until(lambda: watching.kinds().count(Opened) >= 2, "opened again", 20)
        before = len(watching.arrivals)
        until(lambda: len(watching.arrivals) > before, "pictures again")

    assert watching.kinds().count(Trouble) >= 1


@pytest.mark.parametrize("device", ["/nonexistent/video7", "rtsp://127.0.0.1:9/none", "99"])
def test_a_camera_that_is_not_there_is_trouble_and_tried_again(device: str, tmp_path: Path) -> None:
    """The station is DEGRADED, alive, and says which cable to look at."""
    with Watching(device) as watching:
        until(lambda: watching.kinds().count(Trouble) >= 2, "two tries", 30)

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
        until(lambda: watching.arrivals, "pictures", 20)

    assert watching.kinds().index(Trouble) < watching.kinds().index(Opened)


def test_nothing_is_taken_while_paused(video: Path) -> None:
    """The camera runs on, its pictures are nobody's parts."""
    with Watching(video) as watching:
        watching.is_wanted = lambda: False
        until(lambda: watching.kinds().count(Opened) >= 2, "the file has played", 20)
        taken = len(watching.arrivals)
        watching.is_wanted = lambda: True
        until(lambda: len(watching.arrivals) > taken, "pictures", 20)

    assert taken <= 1


def test_a_trigger_gets_a_picture_exposed_after_it(video: Path) -> None:
    """A frame out of the driver's buffer would show the part before."""
    with Watching(video, trigger="mqtt") as watching:
        until(lambda: Opened in watching.kinds(), "the camera is open")
        asked = time.monotonic_ns()
        watching.triggers.put(Trigger("t1", "77", "washer", asked, time.time_ns()))
        until(lambda: watching.arrivals, "the picture", 20)

    (arrival,) = watching.arrivals
    assert isinstance(arrival, Frame)
    assert (arrival.identity.id, arrival.identity.trigger_id) == ("t1", "77")


def test_a_trigger_without_a_camera_is_answered_at_once() -> None:
    """The PLC hears ERROR now rather than nothing."""
    with Watching("/nonexistent/video7", trigger="mqtt") as watching:
        watching.triggers.put(Trigger("t1", "77", "washer", time.monotonic_ns(), time.time_ns()))
        until(lambda: watching.arrivals, "the answer", 20)

    (arrival,) = watching.arrivals
    assert isinstance(arrival, Unreadable)
    assert "gives no picture" in arrival.detail


def test_a_still_picture_is_a_camera_that_ends_at_once(tmp_path: Path) -> None:
    """Somebody names a picture as device: no crash, and no storm of parts either."""
    cv2.imwrite(str(tmp_path / "one.png"), a_part(0))
    with Watching(tmp_path / "one.png") as watching:
        until(lambda: watching.kinds().count(Trouble) >= 2, "the end", 20)

    assert len(watching.arrivals) <= 3
