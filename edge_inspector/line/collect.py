"""Takes pictures of good parts from a station's own source, into a folder that `train` takes."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

import cv2
import numpy as np

from edge_inspector.atomic import write_file
from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.header import UnreadablePictureError
from edge_inspector.inspection.model import Frame, Identity, Image, Unreadable
from edge_inspector.inspection.preprocess import as_image
from edge_inspector.line.naming import printable
from edge_inspector.line.source import Accepted, Idle, Opened, Source, Trouble
from edge_inspector.settings import CaptureSettings, FolderSettings, OwnSettings, PoolSettings, SourceSettings

_DARK, _BRIGHT = 5, 250
_MUCH = 0.02
"""Share of a picture's pixels that may be black or white; more is lost for good."""
_BLUNT = 0.6
"""Of the sharpest picture so far."""
_ENDINGS = ((b"\xff\xd8", ".jpg"), (b"\x89PNG", ".png"), (b"BM", ".bmp"))


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture came out."""

    sharpness: float
    """Variance of the Laplacian, 8-bit grey values squared; comparable between pictures of one station only."""
    mean: float
    """Grey value, 0 to 255."""
    black: float
    """Share of the pixels that hold nothing more."""
    white: float
    """As black."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture was written."""

    number: int
    path: Path
    look: Look
    sharpest: float
    """Sharpness of the sharpest picture so far."""

    def in_words(self) -> str:
        """Return what to look at, for whoever stands at the camera."""
        look = self.look
        share = look.sharpness / self.sharpest if self.sharpest else 1.0
        words = [f"sharpness {share:.0%} of the best", f"brightness {look.mean:.0f} of 255"]
        words += ["BLURRED: check focus and motion"] if share < _BLUNT else []
        words += [f"TOO DARK: {look.black:.0%} is black"] if look.black > _MUCH else []
        words += [f"TOO BRIGHT: {look.white:.0%} is white"] if look.white > _MUCH else []
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Waiting:
    """No picture yet."""

    detail: str
    """Why, where something is wrong; empty while all is well."""


def for_collecting(source: SourceSettings) -> OwnSettings:
    """Return the source's settings as `collect` uses them: nothing is claimed, and nobody sends triggers.

    Raises:
        UsageError: the station has no source of its own.
    """
    match source:
        case PoolSettings(pool=pool):
            raise UsageError(
                f"the pictures are sent to pool {pool}, and judged there: collect them where the camera is"
            )
        case FolderSettings():
            return source.model_copy(update={"after": "keep"})
        case CaptureSettings(trigger="mqtt"):
            return source.model_copy(update={"trigger": "interval"})
        case CaptureSettings():
            return source
        case _:
            assert_never(source)


def collect(
    source: Source, folder: Path, count: int, *, group: str = "", serial: str = "", stopping: Callable[[], bool]
) -> Iterator[Taken | Waiting]:
    """Yield pictures as they are written, until there are `count` of them.

    Args:
        source: the station's.
        folder: where they are written, below sub-folders named for view and group where there are any.
        count: how many to take.
        group: of all of them; otherwise each picture's own. `train` keeps a group in one of its sets.
        serial: of all of them, with a number; otherwise each picture's own.
        stopping: whether to end earlier.

    Raises:
        OSError: the disk is full, read-only or gone.
    """
    number, sharpest = 0, 0.0
    events: Generator[Accepted | Idle | Trouble | Opened] = source.events(lambda: number < count)
    with closing(events):
        for event in events:
            if stopping():
                return
            match event:
                case Accepted(arrival=Frame(identity=identity, image=image)):
                    try:
                        look = look_at(image)
                    except UnreadablePictureError as error:
                        yield Waiting(f"{_called(identity)}: {error.reason.meaning} ({error.detail})")
                        continue
                    number, sharpest = number + 1, max(sharpest, look.sharpness)
                    named = replace(identity, group=group or identity.group, serial=serial or identity.serial)
                    yield Taken(number, _write(folder, named, image, serial=bool(serial)), look, sharpest)
                    if number >= count:
                        return
                case Accepted(arrival=Unreadable(identity=identity, detail=detail)):
                    yield Waiting(f"{_called(identity)}: {detail}")
                case Trouble(detail=detail):
                    yield Waiting(detail)
                case Accepted() | Idle() | Opened():
                    yield Waiting("")
                case _:
                    assert_never(event)


def look_at(image: bytes | Image) -> Look:
    """Return how a picture came out.

    Raises:
        UnreadablePictureError: it is none.
    """
    grey = as_image(image, 1)
    grey = grey if grey.dtype == np.uint8 else (grey >> 8).astype(np.uint8)
    return Look(
        sharpness=float(cv2.Laplacian(grey, cv2.CV_32F).var()),
        mean=float(grey.mean()),
        black=float((grey <= _DARK).mean()),
        white=float((grey >= _BRIGHT).mean()),
    )


def _write(folder: Path, identity: Identity, image: bytes | Image, *, serial: bool) -> Path:
    """Write one picture, what a camera gave as PNG, and never over another one."""
    if isinstance(image, bytes):
        content, ending = image, next((ending for magic, ending in _ENDINGS if image.startswith(magic)), ".tif")
    else:
        content, ending = bytes(cv2.imencode(".png", image)[1]), ".png"
    place = folder.joinpath(*(_safe(step) for step in (identity.view, identity.group) if step))
    place.mkdir(parents=True, exist_ok=True)
    path = _free(place, _safe(identity.serial) if identity.serial else "part", ending, numbered=serial)
    write_file(path, content)
    return path


def _free(folder: Path, stem: str, ending: str, *, numbered: bool) -> Path:
    """Return a name in the folder that nobody has."""
    path = folder / f"{stem}{ending}"
    number = 0
    while numbered or stem == "part" or path.exists():
        number += 1
        path = folder / f"{stem}-{number:04}{ending}"
        if not path.exists():
            return path
    return path


def _safe(name: str) -> str:
    """Return a name that stays in its folder and that the file system takes.

    Raises:
        DataError: it cannot.
    """
    name = printable(name).replace("/", "_")
    if name.startswith(".") or len(name.encode()) > 200:
        raise DataError(f"{name[:64]!r} cannot name a file: expected at most 200 bytes and no dot first")
    return name


def _called(identity: Identity) -> str:
    return identity.serial or identity.id
