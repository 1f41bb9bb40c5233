"""What an image that goes over MQTT says of itself, as user properties: which capture it is, and of which part."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args
from uuid import NAMESPACE_URL, uuid5

from edge_inspector.errors import SettingsError
from edge_inspector.inspection.model import CapturedSource, Reason
from edge_inspector.line.sources.naming import WrongNameError, checked, printable
from edge_inspector.settings import NAMED
from edge_inspector.wire.messages import utc
from edge_inspector.wire.topics import check_name

_LONGEST = 255
NO_IMAGES = {
    reason.name: reason
    for reason in (
        *(Reason.NOT_A_FILE, Reason.UNREADABLE, Reason.BAD_NAME),
        *(Reason.TOO_LARGE, Reason.FROZEN, Reason.OVERRUN, Reason.NO_IMAGE),
    )
}
"""Why a camera may say that there is no image; the part is answered all the same."""


_YES = "true"


class StampError(ValueError):
    """An image does not say, or not rightly, what it is."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """One capture; sent again it is the same one."""

    capture: str
    """Names the capture among all of its camera."""
    captured_ns: int
    """Unix time, by the camera's clock."""
    captured_source: CapturedSource
    part: str = ""
    """Empty: whatever part the worker inspects now."""
    serial: str = ""
    lot: str = ""
    view: str = ""
    group: str = ""
    again: bool = False
    """It was sent before, or lay there when the camera's program began: for the record, never for a PLC."""
    no_image: str = ""
    """Why the payload is empty, one of `NO_IMAGES`."""
    detail: str = ""
    """The same in words."""


def arrival_id(camera: str, capture: str) -> str:
    """Return the id of a capture's result: the same whoever judges it, however often it was sent."""
    return uuid5(NAMESPACE_URL, f"{camera}/{capture}").hex


def camera_of(name: str) -> str:
    """Return the camera that the last level of a topic names.

    Raises:
        StampError: no camera is called so.
    """
    try:
        return check_name(name, "camera")
    except SettingsError as error:
        raise StampError(str(error)) from error


def write_stamp(stamp: Stamp) -> tuple[tuple[str, str], ...]:
    """Return the MQTT 5 user properties of an image."""
    return tuple((key, value) for key, value in _properties(stamp) if value)


def _properties(stamp: Stamp) -> Iterator[tuple[str, str]]:
    yield "capture", stamp.capture
    yield "captured_at", utc(stamp.captured_ns)
    yield "captured_at_source", stamp.captured_source
    yield from ((name, getattr(stamp, name)) for name in NAMED)
    yield "again", _YES if stamp.again else ""
    yield "no_picture", stamp.no_image
    yield "detail", printable(stamp.detail)[:_LONGEST]


def read_stamp(properties: Sequence[tuple[str, str]]) -> Stamp:
    """Return what an image says of itself; properties that nobody knows are the sender's own business.

    Raises:
        StampError: `capture` or `captured_at` is missing, a property comes twice or is not allowed.
    """
    found = dict(properties)
    twice = sorted(key for key in found if sum(key == other for other, _ in properties) > 1)
    if twice:
        raise StampError(f"user property {twice[0][:64]!r} comes twice")
    missing = [key for key in ("capture", "captured_at") if not found.get(key)]
    if missing:
        raise StampError(f"no user property {' and no '.join(missing)}: expected those of `edge-inspector camera`")
    try:
        return Stamp(
            capture=check_name(found["capture"], "capture"),
            captured_ns=_time(found["captured_at"]),
            captured_source=_source(found.get("captured_at_source", "mtime")),
            **{name: checked(name, found[name]) for name in NAMED if found.get(name)},
            again=_said(found.get("again", "")),
            no_image=_excuse(found.get("no_picture", "")),
            detail=printable(found.get("detail", ""))[:_LONGEST],
        )
    except (SettingsError, WrongNameError) as error:
        raise StampError(str(error)) from error


def _time(text: str) -> int:
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise StampError(f"captured_at {text[:64]!r}: expected UTC such as 2026-01-01T12:00:00.000Z") from error
    if moment.year < 1970:
        raise StampError(f"captured_at {text[:64]!r}: expected a time after 1970")
    return int(moment.timestamp() * 1000) * 1_000_000


def _source(text: str) -> CapturedSource:
    for known in get_args(CapturedSource):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise StampError(f"captured_at_source {text[:64]!r}: expected one of {', '.join(get_args(CapturedSource))}")


def _said(text: str) -> bool:
    if text not in ("", _YES):
        raise StampError(f"again {text[:64]!r}: expected {_YES}, or nothing")
    return bool(text)


def _excuse(text: str) -> str:
    if text and text not in NO_IMAGES:
        raise StampError(f"no_picture {text[:64]!r}: expected one of {', '.join(NO_IMAGES)}")
    return text
