"""A frame that arrives damaged is INVALID: never a part filled up with the pixels of the one before it."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from brokers import until
from factories import a_part, jpeg
from line.sources.test_capture import FakeCamera, Watching
from rtsp import h264_video

from edge_inspector.inspection.model import Arrival, Frame, Reason, Unreadable, Verdict
from edge_inspector.line.sources import capture
from edge_inspector.line.sources.camera import Reader, open_camera, why_unchecked
from edge_inspector.line.sources.presence import Presence
from edge_inspector.line.sources.source import Opened
from edge_inspector.line.sources.triggers import Trigger
from edge_inspector.settings import CaptureSettings

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "cut by a byte": lambda data: data[:-1],
    "holed": lambda data: data[: len(data) // 3] + data[2 * len(data) // 3 :],
    "zeroed": lambda data: data[: len(data) // 3] + bytes(len(data) // 3) + data[2 * len(data) // 3 :],
    "another behind it": lambda data: data[: len(data) // 2] + jpeg(a_part(5)),
}
EACH = 3
"""Every third frame is damaged."""


def frame(number: int) -> bytes:
    """Return a JPEG of a part with the noise of its own that every real frame has."""
    noise = np.random.default_rng(number).normal(0, 3, (120, 160, 3))
    return jpeg(np.clip(a_part(1) + noise, 0, 255).astype(np.uint8))


@contextmanager
def streaming(damage: Callable[[bytes], bytes], *, lengths: bool = True, every_s: float = 0.03) -> Iterator[str]:
    """Serve an endless MJPEG stream over HTTP, every third frame of it damaged; give its address."""

    class Camera(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
            self.end_headers()
            try:
                for number in count():
                    data = frame(number)
                    data = damage(data) if number % EACH == EACH - 1 else data
                    length = b"Content-Length: %d\r\n" % len(data) if lengths else b""
                    self.wfile.write(b"--b\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n" + data + b"\r\n")
                    threading.Event().wait(every_s)
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/video.mjpg"
        finally:
            server.shutdown()
            thread.join()


def sound_ones(arrivals: list[Arrival]) -> list[bool]:
    """Say of each arrival whether it may be judged; what is damaged must say so."""
    for arrival in arrivals:
        assert isinstance(arrival, Frame) or (isinstance(arrival, Unreadable) and arrival.detail)
    return [isinstance(arrival, Frame) for arrival in arrivals]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("lengths", [True, False], ids=["with lengths", "without"])
def test_every_damaged_frame_of_a_stream_is_invalid(damage: str, *, lengths: bool) -> None:
    """FFmpeg shows the part before it where bytes are missing, and OpenCV says nothing: the frames come raw."""
    with streaming(DAMAGES[damage], lengths=lengths) as url, Watching(url, trigger="every_frame") as watching:
        until(lambda: len(watching.arrivals) >= 4 * EACH, "a dozen frames came")
        arrivals = [arrival for arrival in watching.arrivals if getattr(arrival, "reason", None) != Reason.OVERRUN]

    sound = sound_ones(arrivals)
    faults = [arrival for arrival in arrivals if isinstance(arrival, Unreadable)]
    assert all(arrival.reason.verdict is Verdict.INVALID for arrival in faults)
    assert not any(all(sound[n : n + EACH]) for n in range(len(sound) - EACH)), "a damaged frame passed for sound"
    assert sum(sound) >= len(sound) // EACH


def test_a_sound_stream_has_no_invalid_frame_and_no_warning() -> None:
    """The checks let good frames through, whole and in colour."""
    with streaming(lambda data: data) as url, Watching(url, trigger="every_frame") as watching:
        until(lambda: len(watching.arrivals) >= 6, "frames came")
        arrivals = watching.arrivals

    assert all(isinstance(arrival, Frame) or arrival.reason is Reason.OVERRUN for arrival in arrivals)
    frames = [arrival.image for arrival in arrivals if isinstance(arrival, Frame)]
    assert all(image.shape == (120, 160, 3) for image in frames if isinstance(image, np.ndarray))
    assert [event.warning for event in watching.events if isinstance(event, Opened)] == [""]


@pytest.mark.parametrize("ending", [".avi", ".mjpeg"])
def test_a_damaged_frame_in_a_video_file_is_invalid(tmp_path: Path, ending: str) -> None:
    """Recorded streams are judged by the same rule."""
    path = tmp_path / f"camera{ending}"
    if ending == ".mjpeg":
        frames = [frame(number) for number in range(6)]
        frames[2] = DAMAGES["holed"](frames[2])
        path.write_bytes(b"".join(frames))
    else:
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (160, 120))
        for number in range(6):
            writer.write(cv2.imdecode(np.frombuffer(frame(number), np.uint8), cv2.IMREAD_COLOR))
        writer.release()
        data = bytearray(path.read_bytes())
        third = [place for place in range(len(data)) if data[place : place + 3] == b"\xff\xd8\xff"][2]
        data[third + 900 : third + 1900] = bytes(1000)
        path.write_bytes(data)
    with Watching(path, trigger="every_frame") as watching:
        until(lambda: len(watching.arrivals) >= 6, "all frames came")

        assert sound_ones(watching.arrivals[:6]) == [True, True, False, True, True, True]


def test_a_trigger_that_meets_a_damaged_frame_is_answered_invalid() -> None:
    """Not lost, and not answered with the next frame, in which the part may have gone."""
    with streaming(lambda data: data[:700]) as url, Watching(url, trigger="mqtt") as watching:
        until(lambda: Opened in watching.kinds(), "the stream is open")
        for number in range(12):
            asked = Trigger(f"t{number}", str(number), "washer", time.monotonic_ns(), time.time_ns())
            watching.triggers.put(asked)
            until(lambda number=number: len(watching.arrivals) > number, "the trigger is answered")
        arrivals = watching.arrivals

    assert len(arrivals) == 12
    assert {type(arrival) for arrival in arrivals} <= {Frame, Unreadable}


class FakeJpegCamera(FakeCamera):
    """A V4L2 camera that sends MJPEG: raw once it is asked not to convert."""

    def __init__(self, frames: list[bytes]) -> None:
        super().__init__(kept=(cv2.CAP_PROP_CONVERT_RGB,))
        self.values[cv2.CAP_PROP_FOURCC] = float(cv2.VideoWriter.fourcc(*"MJPG"))
        self._frames = frames
        self._numbers = count()

    def getBackendName(self) -> str:  # noqa: N802 - OpenCV's
        """Be a USB camera."""
        return "V4L2"

    def retrieve(self) -> tuple[bool, Any]:
        """Give the bytes of the next frame."""
        assert self.values.get(cv2.CAP_PROP_CONVERT_RGB) == 0
        data = self._frames[next(self._numbers) % len(self._frames)]
        return True, np.frombuffer(data, np.uint8)[None]


def test_a_usb_camera_that_sends_mjpeg_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's V4L2 backend decodes what is cut without a word, so it is asked for the bytes."""
    camera = FakeJpegCamera([frame(0), frame(1)[:900], frame(2)])
    monkeypatch.setattr(capture, "Reader", partial(Reader, capture=lambda: camera))
    with Watching("0", trigger="every_frame") as watching:
        until(lambda: len(watching.arrivals) >= 6, "frames came")

        assert sound_ones(watching.arrivals[:6]) == [True, False, True, True, False, True]


def test_damaged_frames_in_a_row_are_one_part_that_may_have_been_missed() -> None:
    """Presence cannot look at them: once in each row of them somebody must hear of it, and not once a frame."""
    presence = Presence(None, 0.05, 25)
    empty = np.zeros((120, 160, 3), np.uint8)
    presence.see(empty)

    assert [presence.miss() for _ in range(8)] == [False] * 3 + [True] + [False] * 4
    assert presence.see(empty) is None
    assert [presence.miss() for _ in range(4)] == [False] * 3 + [True]


def test_a_stream_whose_damage_cannot_be_told_says_so(tmp_path: Path) -> None:
    """H.264: OpenCV hands out what the decoder made up and no error; unless it is accepted, there is a warning."""
    path = h264_video(tmp_path / "camera.ts", lost=0.0)
    with Watching(path) as watching:
        until(lambda: Opened in watching.kinds(), "the stream is open")
        warnings = [event.warning for event in watching.events.copy() if isinstance(event, Opened)]
    with Watching(path, accept_unchecked=True) as accepted:
        until(lambda: Opened in accepted.kinds(), "the stream is open")
        silent = [event.warning for event in accepted.events.copy() if isinstance(event, Opened)]

    assert "accept_unchecked" in warnings[0]
    assert "snapshot" in warnings[0]
    assert silent[0] == ""


def test_opencv_hides_the_errors_of_an_h264_stream(tmp_path: Path) -> None:
    """What the warning rests on: packets are lost, frames differ from what was sent, and every frame comes as good."""
    sound, lossy = h264_video(tmp_path / "sound.ts", lost=0.0), h264_video(tmp_path / "lossy.ts", lost=0.03)
    shown = {}
    for path in (sound, lossy):
        camera = cv2.VideoCapture()
        settings = CaptureSettings(kind="capture", device=str(path))

        assert open_camera(camera, settings) == ""
        assert why_unchecked(camera, settings)
        shown[path] = [camera.retrieve()[1] for _ in range(60) if camera.grab()]
        camera.release()

    wrong = sum(all(np.abs(one.astype(int) - other).mean() > 1 for other in shown[sound]) for one in shown[lossy])
    assert wrong > 0
