"""A camera that gives one image a request over HTTP: fetched when asked for, and checked like a file."""

import base64
import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from brokers import until
from factories import a_part, jpeg
from line.sources.test_capture import Watching

from edge_inspector.inspection.model import Frame, Reason, Unreadable
from edge_inspector.line.sources.camera import Damaged
from edge_inspector.line.sources.snapshot import NoSnapshotError, fetch
from edge_inspector.line.sources.source import Opened, Trouble
from edge_inspector.line.sources.triggers import Trigger
from edge_inspector.settings import CaptureSettings

USER, PASSWORD = "admin", "it's 5ecret"


class Camera(http.server.BaseHTTPRequestHandler):
    """Answers as cameras do, by its path."""

    asked = 0

    def do_GET(self) -> None:  # noqa: C901, PLR0912 - a table of answers
        """Give an image, or something else."""
        type(self).asked += 1
        image = jpeg(a_part(type(self).asked % 7))
        match self.path.split("?")[0]:
            case "/basic" if self.headers.get("Authorization") != _basic():
                self._refuse('Basic realm="camera"')
            case "/digest" if not _is_digest(self.headers.get("Authorization", "")):
                self._refuse('Digest realm="camera", nonce="abc", qop="auth", algorithm=MD5')
            case "/refuses":
                self._refuse('Basic realm="camera"')
            case "/missing":
                self.send_error(404)
            case "/moved":
                self.send_response(302)
                self.send_header("Location", "/image")
                self.end_headers()
            case "/page":
                self._give(b"<html>Please log in</html>", "text/html")
            case "/page-as-image":
                self._give(b"<html>Please log in</html>", "image/jpeg")
            case "/cut":
                self._give(image[: len(image) // 2], "image/jpeg", len(image))
            case "/cut-without-length":
                self._give(image[: len(image) // 2], "image/jpeg", None)
            case "/holed":
                self._give(image[: len(image) // 3] + image[2 * len(image) // 3 :], "image/jpeg")
            case "/slow":
                threading.Event().wait(3)
                self._give(image, "image/jpeg")
            case "/drips":
                self._drip(image)
            case "/without-kind":
                self._give(image, None)
            case _:
                self._give(image, "image/jpeg")

    def _give(self, body: bytes, kind: str | None, length: int | None = -1) -> None:
        self.send_response(200)
        if kind:
            self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        with suppress(OSError):  # who does not wait for a slow answer has hung up
            self.end_headers()
            self.wfile.write(body)

    def _drip(self, image: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(image)))
        self.end_headers()
        try:
            for place in range(40):
                self.wfile.write(image[place : place + 1])
                threading.Event().wait(0.1)
        except OSError:
            pass

    def _refuse(self, how: str) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", how)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def _is_digest(given: str) -> bool:
    """Say whether an answer to the challenge is right (RFC 7616)."""
    parts = dict(part.strip().split("=", 1) for part in given.removeprefix("Digest ").split(",") if "=" in part)
    said = {key: value.strip('"') for key, value in parts.items()}
    if said.get("username") != USER:
        return False
    first = hashlib.md5(f"{USER}:camera:{PASSWORD}".encode()).hexdigest()  # noqa: S324 - what cameras speak
    second = hashlib.md5(f"GET:{said['uri']}".encode()).hexdigest()  # noqa: S324 - what cameras speak
    whole = f"{first}:abc:{said['nc']}:{said['cnonce']}:auth:{second}"
    return hashlib.md5(whole.encode()).hexdigest() == said["response"]  # noqa: S324 - what cameras speak


@contextmanager
def serving() -> Iterator[str]:
    """Run such a camera; give host and port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def a_snapshot(device: str, **keys: Any) -> CaptureSettings:  # noqa: ANN401 - a test factory
    """Return settings of such a camera."""
    return CaptureSettings(kind="capture", device=device, **{"mode": "snapshot", "timeout_ms": 20_000, **keys})


@pytest.mark.parametrize("path", ["image", "image?user=a&pwd=it's 5ecret", "without-kind"])
def test_an_image_is_fetched_whole(path: str) -> None:
    """Whatever the address looks like, and where the camera does not say what it sends."""
    with serving() as host:
        image = fetch(a_snapshot(f"http://{host}/{path}"), time.monotonic_ns)

    assert not isinstance(image, Damaged)
    assert image.shape == (120, 160, 3)


@pytest.mark.parametrize("how", ["basic", "digest"])
def test_a_login_is_given_as_the_camera_wants_it(how: str) -> None:
    """From the address, as for a stream; quotes and spaces may stand in it."""
    with serving() as host:
        image = fetch(a_snapshot(f"http://{USER}:{PASSWORD}@{host}/{how}"), time.monotonic_ns)
        with pytest.raises(NoSnapshotError, match="refuses the login"):
            fetch(a_snapshot(f"http://{USER}:wrong@{host}/{how}"), time.monotonic_ns)

    assert not isinstance(image, Damaged)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("missing", "HTTP status 404"),
        ("refuses", "HTTP status 401, it refuses the login"),
        ("moved", "HTTP status 302"),
        ("page", "text/html, expected an image"),
    ],
)
def test_an_answer_that_is_no_image_says_what_it_is(path: str, said: str) -> None:
    """And never repeats the address."""
    with serving() as host, pytest.raises(NoSnapshotError, match=said) as caught:
        fetch(a_snapshot(f"http://admin:5ecret@{host}/{path}?pwd=5ecret"), time.monotonic_ns)

    assert "5ecret" not in str(caught.value)


@pytest.mark.parametrize("path", ["slow", "drips"])
def test_a_slow_answer_is_none(path: str) -> None:
    """Also one that comes byte by byte, each of them in time."""
    with serving() as host, pytest.raises(NoSnapshotError, match="timeout_ms"):
        fetch(a_snapshot(f"http://{host}/{path}", timeout_ms=500), time.monotonic_ns)


@pytest.mark.parametrize("device", ["http://127.0.0.1:1/x", "http://[::1/x", "http://127.0.0.1:port/x", "http:///x"])
def test_an_address_that_leads_nowhere_is_no_traceback(device: str) -> None:
    """A closed port, and what is no address at all."""
    with pytest.raises(NoSnapshotError):
        fetch(a_snapshot(device), time.monotonic_ns)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("cut", Reason.TRUNCATED),
        ("cut-without-length", Reason.TRUNCATED),
        ("holed", Reason.NOT_AN_IMAGE),
        ("page-as-image", Reason.NOT_AN_IMAGE),
    ],
)
def test_a_trigger_whose_image_is_damaged_is_invalid(path: str, reason: Reason) -> None:
    """The part was there and cannot be judged."""
    with (
        serving() as host,
        Watching(f"http://{host}/{path}", trigger="mqtt", mode="snapshot", timeout_ms=20_000) as watching,
    ):
        until(lambda: Opened in watching.kinds(), "the camera answers")
        watching.triggers.put(Trigger("t1", "77", "washer", time.monotonic_ns(), time.time_ns()))
        until(lambda: watching.arrivals, "the trigger is answered")

    (arrival,) = watching.arrivals
    assert isinstance(arrival, Unreadable)
    assert arrival.reason is reason


def test_each_trigger_fetches_one_image() -> None:
    """Its own, and the source stays open all the time."""
    with (
        serving() as host,
        Watching(f"http://{host}/image", trigger="mqtt", mode="snapshot", timeout_ms=20_000) as watching,
    ):
        until(lambda: Opened in watching.kinds(), "the camera answers")
        for number in range(3):
            asked = Trigger(f"t{number}", str(number), "washer", time.monotonic_ns(), time.time_ns())
            watching.triggers.put(asked)
            until(lambda number=number: len(watching.arrivals) > number, "the trigger is answered")

    assert all(isinstance(arrival, Frame) for arrival in watching.arrivals)
    assert [arrival.identity.trigger_id for arrival in watching.arrivals if isinstance(arrival, Frame)] == [
        "0",
        "1",
        "2",
    ]
    assert Trouble not in watching.kinds()
    assert watching.kinds().count(Opened) == 1


def test_snapshots_at_an_interval_keep_the_source_open() -> None:
    """Read as a stream, such an address ended and began at every image."""
    with serving() as host, Watching(f"http://{host}/image", mode="snapshot", timeout_ms=20_000) as watching:
        until(lambda: len(watching.arrivals) >= 4, "images came")

    assert all(isinstance(arrival, Frame) for arrival in watching.arrivals)
    assert Trouble not in watching.kinds()


def test_a_trigger_while_the_camera_does_not_answer_is_answered() -> None:
    """ERROR, no image; and the source is down until it answers again."""
    with serving() as host, Watching(f"http://{host}/missing", trigger="mqtt", mode="snapshot") as watching:
        until(watching.troubles, "the camera is missed")
        watching.triggers.put(Trigger("t1", "77", "washer", time.monotonic_ns(), time.time_ns()))
        until(lambda: watching.arrivals, "the trigger is answered")

    (arrival,) = watching.arrivals
    assert isinstance(arrival, Unreadable)
    assert arrival.reason is Reason.NO_IMAGE
    assert "404" in watching.troubles()[0]


@pytest.mark.parametrize(
    "keys", [{"trigger": "every_frame"}, {"trigger": "presence"}, {"device": "rtsp://h/x"}, {"device": "0"}]
)
def test_a_snapshot_that_nobody_can_ask_for_is_refused(keys: dict[str, Any]) -> None:
    """By the settings, with what is possible."""
    with pytest.raises(ValueError, match="mode = snapshot"):
        CaptureSettings(**{"kind": "capture", "device": "http://h/x", "mode": "snapshot", **keys})
