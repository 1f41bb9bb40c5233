"""A camera, stream or video file: opened, pinned, and drained by a thread of its own, because a read may block."""

import math
import os
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.model import Image, Reason
from edge_inspector.inspection.preprocess import decode
from edge_inspector.line.environment import Now
from edge_inspector.settings import CaptureSettings

_TIMEOUT_MS = 5000
_SECOND_NS = 1_000_000_000
_MOST_WAITING = 8
"""Messages, with their images, that may wait for the intake thread; it needs microseconds for one."""
_UNKNOWN = (0.0, -1.0)
"""What OpenCV says of a property that the camera or the backend does not have."""
_MANUAL_EXPOSURE = 1.0
"""V4L2's number for it."""
_JPEG = frozenset({"MJPG", "mjpg", "JPEG", "jpeg", "AVRn", "dmb1"})
"""FOURCCs of streams whose every frame is a JPEG of its own."""
_RAW = -1.0
"""What `CAP_PROP_FORMAT` is set to for frames as they were sent."""
_UNPACKED = frozenset({"", "YUYV", "UYVY", "YUY2", "YV12", "NV12", "NV21", "BGR3", "RGB3", "GREY", "Y16 ", "I420"})
"""FOURCCs of frames that nothing has to decode."""
_PINNED: tuple[tuple[str, int, int | None, float], ...] = (
    ("exposure", cv2.CAP_PROP_EXPOSURE, cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL_EXPOSURE),
    ("gain", cv2.CAP_PROP_GAIN, None, 0.0),
    ("white_balance", cv2.CAP_PROP_WB_TEMPERATURE, cv2.CAP_PROP_AUTO_WB, 0.0),
    ("focus", cv2.CAP_PROP_FOCUS, cv2.CAP_PROP_AUTOFOCUS, 0.0),
)
"""Setting, property, and the automatic that must be off for it to stay."""

Readings: TypeAlias = tuple[tuple[str, float], ...]
"""What the camera says that it is set to."""


@dataclass(frozen=True, slots=True)
class Started:
    """Images can come."""

    detail: str
    period_ns: int
    """From frame to frame."""
    warning: str = ""
    """Why its frames cannot be trusted as they are; empty when they can."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A frame that came and may not be judged."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Grabbed:
    """A frame came."""

    exposed_ns: int
    """Monotonic; it was exposed no earlier."""
    image: Image | Damaged | None = field(repr=False)
    """None where nobody had asked for this frame, or nobody had time for it."""
    readings: Readings = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """No more frames come from this opening."""

    detail: str


@dataclass(frozen=True, slots=True)
class Reader:
    """Grabs without a pause, so that no frame in the driver's buffers is older than the image asked for."""

    settings: CaptureSettings
    every: bool
    """Whether every frame is wanted; otherwise those that `requests` ask for."""
    requests: "queue.SimpleQueue[int]" = field(repr=False)
    """Monotonic times; the first frame exposed then or later is wanted."""
    say: Callable[[Started | Grabbed | Ended], None] = field(repr=False)
    waiting: Callable[[], int] = field(repr=False)
    """How much of what was said has not been heard."""
    stop: threading.Event = field(repr=False)
    monotonic_ns: Now = field(repr=False)
    wait: Callable[[float], None] = field(repr=False)
    capture: Callable[[], cv2.VideoCapture] = field(default=cv2.VideoCapture, repr=False)

    def run(self) -> None:
        """Open, grab until told to stop or the camera ends, and say how it ended."""
        camera = self.capture()
        try:
            why = open_camera(camera, self.settings) or self._grab(camera)
        except cv2.error as error:
            why = f"OpenCV: {error.err or error}".replace(self.settings.device, self.settings.shown)
        finally:
            camera.release()
        self.say(Ended(f"{self.settings.shown} gives no image: {why}"))

    def _grab(self, camera: cv2.VideoCapture) -> str:
        """Grab and pass on; return why it ended."""
        is_raw = asks_for_raw(camera)
        warning = "" if is_raw else why_unchecked(camera, self.settings)
        self.say(Started(described(camera, self.settings), _period_ns(camera), warning))
        wanted_from: list[int] = []
        for exposed in self._exposures(camera):
            if self.stop.is_set():
                return "it hung and is opened again"
            while not self.requests.empty():
                wanted_from.append(self.requests.get())
            asked = self.every or any(exposed >= since for since in wanted_from)
            if not asked or self.waiting() > _MOST_WAITING:
                self.say(Grabbed(exposed, None))
                continue
            image = retrieved(camera, is_raw=is_raw)
            fault = "" if isinstance(image, Damaged) else what_is_wrong_with(image, self.settings.region)
            if fault:
                return fault
            wanted_from = [since for since in wanted_from if exposed < since]
            self.say(Grabbed(exposed, image, readings_of(camera)))
        return "check cable, power and address"

    def _exposures(self, camera: cv2.VideoCapture) -> Iterator[int]:
        """Grab frame after frame and yield from when on each was exposed: not before the one before it had come.

        A file is played at its own speed.
        """
        rate = camera.get(cv2.CAP_PROP_FPS) if Path(self.settings.device).is_file() else 0
        exposed = start = self.monotonic_ns()
        count = 0
        while camera.grab():
            count += 1
            if rate > 0:
                ahead = start + int(count / rate * _SECOND_NS) - self.monotonic_ns()
                self.wait(max(0.0, ahead / _SECOND_NS))
            yield exposed
            exposed = self.monotonic_ns()


def open_camera(camera: cv2.VideoCapture, settings: CaptureSettings) -> str:
    """Open a device, ask for what the settings pin, and return why it cannot be used; empty when it can."""
    device = settings.device
    index = int(device) if device.isdecimal() else device
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
    is_stream = not device.isdecimal() and not os.path.exists(device)  # noqa: PTH110 - a URL is not a path
    camera.open(index, *((cv2.CAP_FFMPEG, limits) if is_stream else (cv2.CAP_ANY,)))
    if not camera.isOpened():
        return "check cable, power and address, and whether another program holds it"
    if settings.pixel_format is not None:
        camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*settings.pixel_format))
    if settings.width is not None:
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
    if settings.height is not None:
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
    asked = _asked(settings)
    for name, what, automatic, off in _PINNED:
        if name in asked and automatic is not None:
            camera.set(automatic, off)
        if name in asked:
            camera.set(what, asked[name])
    found = _fourcc(camera)
    if settings.pixel_format is not None and found != settings.pixel_format:
        return f"its pixel format is {found or 'unknown'}, expected {settings.pixel_format}"
    return ""


def asks_for_raw(camera: cv2.VideoCapture) -> bool:
    """Ask for frames as they were sent where each is a JPEG, before the first is grabbed; say whether they come.

    FFmpeg fills what is missing of a JPEG with the frame before it, the last part's, and says nothing.
    """
    if _fourcc(camera) not in _JPEG:
        return False
    if camera.getBackendName() == "FFMPEG":
        return bool(camera.set(cv2.CAP_PROP_FORMAT, _RAW))
    return bool(camera.set(cv2.CAP_PROP_CONVERT_RGB, 0.0))


def why_unchecked(camera: cv2.VideoCapture, settings: CaptureSettings) -> str:
    """Return why damaged frames of a camera that gives no raw ones would pass for sound; empty where they cannot be."""
    codec = _fourcc(camera)
    if settings.accept_unchecked or codec in _UNPACKED:
        return ""
    return (
        f"{settings.shown}: OpenCV hides the decoder's errors in {codec}: a frame that arrives damaged is filled with "
        "earlier parts' pixels, and judged. Let the camera send MJPEG, snapshots (mode = snapshot) or files; or accept "
        "it: accept_unchecked = true"
    )


def retrieved(camera: cv2.VideoCapture, *, is_raw: bool) -> Image | Damaged | None:
    """Return the frame that was grabbed; a raw one is checked and decoded here."""
    fetched, frame = camera.retrieve()
    if not fetched:
        return Damaged(Reason.NOT_AN_IMAGE, "the frame could not be decoded")
    return as_frame(frame.tobytes()) if is_raw else frame


def as_frame(data: bytes) -> Image | Damaged:
    """Return a frame that was sent as a file; in colour, as all others come."""
    try:
        return decode(data, 3)
    except UnreadableImageError as error:
        return Damaged(error.reason, error.detail)


def readings_of(camera: cv2.VideoCapture) -> Readings:
    """Return what the camera says that it is set to; what it does not know is left out."""
    found = ((name, float(camera.get(what))) for name, what, _, _ in _PINNED)
    return tuple((name, value) for name, value in found if math.isfinite(value) and value not in _UNKNOWN)


def described(camera: cv2.VideoCapture, settings: CaptureSettings) -> str:
    """Return what a camera gives, and what it was asked for and does not do."""
    size = f"{camera.get(cv2.CAP_PROP_FRAME_WIDTH):.0f}x{camera.get(cv2.CAP_PROP_FRAME_HEIGHT):.0f}"
    readings = dict(readings_of(camera))
    words = [f"{settings.shown}: {size} {_fourcc(camera)}".rstrip()]
    words += [f"{name} {value:g}" for name, value in readings.items()]
    words += [
        f"{name} {value:g} was asked for and is not kept"
        for name, value in _asked(settings).items()
        if not math.isclose(readings.get(name, math.inf), value, rel_tol=0.01)
    ]
    return ", ".join(words)


def what_is_wrong_with(image: NDArray[Any] | None, region: tuple[int, int, int, int] | None) -> str:
    """Return why a frame is not an image, or one without the region that is watched; empty when all is well."""
    if image is None or not image.size:
        return "a frame of zero size"
    if (
        image.dtype not in (np.uint8, np.uint16)
        or image.ndim not in (2, 3)
        or (image.ndim == 3 and image.shape[2] != 3)
    ):
        return f"a frame of {image.shape} {image.dtype}, expected grey or three colours of 8 or 16 bits"
    x, y, width, height = region or (0, 0, 0, 0)
    if x + width > image.shape[1] or y + height > image.shape[0]:
        return f"region {region} lies outside its images of {image.shape[1]}x{image.shape[0]}"
    return ""


def _asked(settings: CaptureSettings) -> dict[str, float]:
    """Return what the settings pin."""
    pinned = {
        "exposure": settings.exposure,
        "gain": settings.gain,
        "white_balance": settings.white_balance,
        "focus": settings.focus,
    }
    return {name: value for name, value in pinned.items() if value is not None}


def _fourcc(camera: cv2.VideoCapture) -> str:
    code = int(camera.get(cv2.CAP_PROP_FOURCC))
    letters = "".join(chr((code >> shift) & 0xFF) for shift in (0, 8, 16, 24)) if code > 0 else ""
    return letters if letters.isprintable() else ""


def _period_ns(camera: cv2.VideoCapture) -> int:
    rate = camera.get(cv2.CAP_PROP_FPS)
    return int(_SECOND_NS / rate) if math.isfinite(rate) and 0.1 <= rate <= 10_000 else _SECOND_NS // 10
