"""A camera that gives one image a request over HTTP: fetched when a trigger or the interval asks for it."""

import http.client
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import quote, unquote

from edge_inspector.inspection.model import Image, Reason
from edge_inspector.line.environment import Now
from edge_inspector.line.sources.camera import Damaged, Ended, Grabbed, Started, as_frame, what_is_wrong_with
from edge_inspector.settings import CaptureSettings

_MOST_BYTES = 200_000_000
_PIECE = 65536
_KNOCK_S = 0.25
_SAFE = "%/:=&?~#+!$,;'@()*[]-._"
"""What stands for itself in an address; a space or a quote is sent as its number."""


class NoSnapshotError(Exception):
    """The camera gave no image."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A camera that sends elsewhere would take the login along."""

    def redirect_request(self, *_: object) -> None:
        """Go nowhere: the answer is then an error of its own."""


def fetch(settings: CaptureSettings, monotonic_ns: Now) -> Image | Damaged:
    """Return the image that a camera gives now; damaged where its answer ends early or is no image's bytes.

    Raises:
        NoSnapshotError: no connection, too slow, a refused login, or an answer that is not an image.
    """
    data = _answer_of(settings, monotonic_ns)
    if isinstance(data, Damaged):
        return data
    image = as_frame(data)
    if isinstance(image, Damaged):
        return image
    if fault := what_is_wrong_with(image, settings.region):
        return Damaged(Reason.WRONG_FORMAT, fault)
    return image


def _answer_of(settings: CaptureSettings, monotonic_ns: Now) -> bytes | Damaged:
    address, user, password = _address_and_login(settings.device)
    until_ns = monotonic_ns() + settings.timeout_ms * 1_000_000

    def is_late() -> bool:
        return monotonic_ns() > until_ns

    try:
        with _opener(address, user, password).open(address, timeout=settings.timeout_ms / 1000) as answer:
            kind = str(answer.headers.get("Content-Type", "")).lower()
            if kind.startswith(("text/", "multipart/", "video/")):
                raise NoSnapshotError(f"it answers with {kind}, expected an image")
            return _whole(answer, settings.timeout_ms, is_late)
    except urllib.error.HTTPError as error:
        with error:
            what = "it refuses the login" if error.code in (401, 403) else "check the address"
            raise NoSnapshotError(f"HTTP status {error.code}, {what}") from None  # its own words hold the address
    except TimeoutError:
        raise _too_slow(settings.timeout_ms) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _too_slow(settings.timeout_ms) from None
        strerror = getattr(error.reason, "strerror", None) or type(error.reason).__name__
        raise NoSnapshotError(f"{strerror}: check cable, power and address") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoSnapshotError(f"{type(error).__name__}: check cable, power and address") from None


def _whole(answer: http.client.HTTPResponse, timeout_ms: int, is_late: Callable[[], bool]) -> bytes | Damaged:
    """Read an answer to its end, slow ones to their time only: a camera that drips would hold the line up."""
    pieces = bytearray()
    while len(pieces) <= _MOST_BYTES:
        if is_late():
            raise _too_slow(timeout_ms)
        try:
            piece = answer.read1(_PIECE)
        except http.client.IncompleteRead as error:
            return Damaged(Reason.TRUNCATED, f"the answer ends after {len(pieces) + len(error.partial)} bytes")
        if not piece:
            missing = answer.length or 0
            if missing:
                return Damaged(Reason.TRUNCATED, f"the answer ends after {len(pieces)} bytes, {missing} are missing")
            return bytes(pieces)
        pieces += piece
    return Damaged(Reason.TOO_LARGE, f"the answer is longer than {_MOST_BYTES:,} bytes")


def _too_slow(timeout_ms: int) -> NoSnapshotError:
    return NoSnapshotError(f"no whole answer within {timeout_ms} ms (timeout_ms)")


class _Digest(urllib.request.HTTPDigestAuthHandler):
    """Lets go of the answer that asks for a login once there is another: the library leaves it open."""

    def http_error_401(self, *asked: Any) -> Any:  # noqa: ANN401 - the library's
        """Ask again with the login."""
        return _instead_of(asked[1], lambda: super(_Digest, self).http_error_401(*asked))


class _Basic(urllib.request.HTTPBasicAuthHandler):
    """The same for the simpler login."""

    def http_error_401(self, *asked: Any) -> Any:  # noqa: ANN401 - the library's
        """Ask again with the login."""
        return _instead_of(asked[1], lambda: super(_Basic, self).http_error_401(*asked))


def _instead_of(first: IO[bytes], ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - the library's
    """Return what `ask` gets, and close `first`, unless it gets nothing: then `first` is the answer."""
    second: object = first
    try:
        second = ask()
    finally:
        if second is not None:
            first.close()
    return second


def _opener(address: str, user: str, password: str) -> urllib.request.OpenerDirector:
    """Return what asks for `address` and, where the camera wants a login, gives it as basic or digest."""
    logins = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    logins.add_password(None, address, user, password)
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _NoRedirects()]
    if user:
        handlers += [_Digest(logins), _Basic(logins)]
    return urllib.request.build_opener(*handlers)


def _address_and_login(device: str) -> tuple[str, str, str]:
    """Return an address without its login, the user and the password."""
    scheme, _, rest = device.partition("://")
    host, slash, path = rest.partition("/")
    login, _, host = host.rpartition("@")
    user, _, password = login.partition(":")
    return quote(f"{scheme}://{host}{slash}{path}", safe=_SAFE), unquote(user), unquote(password)


@dataclass(frozen=True, slots=True)
class SnapshotReader:
    """Stands where a stream's reader does: fetches an image for each request, none without."""

    settings: CaptureSettings
    requests: "queue.SimpleQueue[int]" = field(repr=False)
    """Monotonic times; a request made then or later answers."""
    say: Callable[[Started | Grabbed | Ended], None] = field(repr=False)
    stop: threading.Event = field(repr=False)
    monotonic_ns: Now = field(repr=False)

    def run(self) -> None:
        """Fetch once to see that all is well, then whenever it is wished; say how it ended."""
        try:
            fetch(self.settings, self.monotonic_ns)
            self.say(Started(f"{self.settings.shown}: snapshots", self.settings.timeout_ms * 1_000_000))
            while not self.stop.is_set():
                self.say(self._next())
        except NoSnapshotError as error:
            self.say(Ended(f"{self.settings.shown} gives no image: {error}"))
            return
        self.say(Ended(f"{self.settings.shown} is left"))

    def _next(self) -> Grabbed:
        """Return the image of the next request whose time has come; none, as a sign of life, while there is no such."""
        try:
            due = self.requests.get(timeout=_KNOCK_S)
        except queue.Empty:
            return Grabbed(self.monotonic_ns(), None)
        while (left := due - self.monotonic_ns()) > 0:
            if self.stop.wait(min(_KNOCK_S, left / 1e9)):
                return Grabbed(self.monotonic_ns(), None)
            if left / 1e9 > _KNOCK_S:
                self.say(Grabbed(self.monotonic_ns(), None))
        asked = self.monotonic_ns()
        return Grabbed(asked, fetch(self.settings, self.monotonic_ns))
