"""Takes images of good parts from a station's own source while no daemon runs."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import assert_never

from edge_inspector.errors import UsageError
from edge_inspector.inspection.header import UnreadableImageError
from edge_inspector.inspection.model import Frame, Identity, Unreadable
from edge_inspector.line.collect.image_collection import ImageCollection, Taken
from edge_inspector.line.sources.source import (
    Accepted,
    Idle,
    NotPutAway,
    Opened,
    PassedOver,
    Source,
    SourceEvent,
    Trouble,
)
from edge_inspector.settings import CaptureSettings, FolderSettings, OwnSettings, PoolSettings, SourceSettings


@dataclass(frozen=True, slots=True)
class Waiting:
    """No image yet."""

    detail: str
    """Why, where something is wrong; empty while all is well."""


def for_collecting(source: SourceSettings) -> OwnSettings:
    """Return the source's settings as `collect` uses them: nothing is claimed, and nobody sends triggers.

    Raises:
        UsageError: the station has no source of its own.
    """
    match source:
        case PoolSettings(pool=pool):
            raise UsageError(f"the images are sent to pool {pool}, and judged there: collect them where the camera is")
        case FolderSettings():
            return source.model_copy(update={"after": "keep"})
        case CaptureSettings(trigger="mqtt"):
            return source.model_copy(update={"trigger": "interval"})
        case CaptureSettings():
            return source
        case _:
            assert_never(source)


def collect(
    source: Source, image_collection: ImageCollection, count: int, *, stopping: Callable[[], bool]
) -> Iterator[Taken | Waiting]:
    """Yield images as they are written, until there are `count` of them.

    Args:
        source: the station's.
        image_collection: where they are written.
        count: how many to take.
        stopping: whether to end earlier.

    Raises:
        DataError: an image's names cannot name a file.
        OSError: the disk is full, read-only or gone.
    """
    events: Generator[SourceEvent] = source.events(lambda: image_collection.count < count)
    with closing(events):
        for event in events:
            if stopping():
                return
            match event:
                case Accepted(arrival=Frame(identity=identity, image=image)):
                    try:
                        yield image_collection.add(identity, image)
                    except UnreadableImageError as error:
                        yield Waiting(f"{_called(identity)}: {error.reason.meaning} ({error.detail})")
                    if image_collection.count >= count:
                        return
                case Accepted(arrival=Unreadable(identity=identity, detail=detail)):
                    yield Waiting(f"{_called(identity)}: {detail}")
                case Trouble(detail=detail) | PassedOver(detail=detail):
                    yield Waiting(detail)
                case Accepted() | Idle() | Opened() | NotPutAway():
                    yield Waiting("")
                case _:
                    assert_never(event)


def _called(identity: Identity) -> str:
    return identity.serial or identity.id
