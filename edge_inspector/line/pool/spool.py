"""A camera's frames on disk, until they are judged elsewhere: a frame in memory would be gone with the process."""

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge_inspector.atomic import write_file
from edge_inspector.inspection.model import Frame, Unreadable
from edge_inspector.line.pool.stamps import NO_IMAGES
from edge_inspector.line.sources.source import Accepted, Idle, NotPutAway, Opened, PassedOver, Source, Trouble
from edge_inspector.line.ticks import Worker
from edge_inspector.settings import FolderSettings

logger = logging.getLogger(__name__)

_NOTICE = b"no image: "
_NO_NAME = "(?P<serial>)"
"""Frames have no names of their own: nothing is read from the file's."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What lies in the place of an image that there is not."""

    reason: str
    """One of `NO_IMAGES`."""
    detail: str


def spooled(folder: Path) -> FolderSettings:
    """Return the settings of the folder source that takes what was spooled."""
    return FolderSettings(
        kind="folder",
        path=folder,
        after="delete",
        settle_ms=0,
        closed_ms=0,
        unfinished_ms=0,
        name_pattern=_NO_NAME,
    )


def read_notice(content: bytes) -> Notice | None:
    """Return why there is no image; None where there may be one."""
    if not content.startswith(_NOTICE):
        return None
    reason, _, detail = content.removeprefix(_NOTICE).decode("utf-8", "replace").partition(" ")
    return Notice(reason, detail) if reason in NO_IMAGES else None


@dataclass(frozen=True, slots=True)
class Spool:
    """The thread that writes a camera's frames, lossless, into the folder from which they are sent."""

    source: Source
    folder: Path
    worker: Worker

    def run(self) -> None:
        """Write until stopped."""
        for name, content in self._files():
            try:
                write_file(self.folder / name, content)
            except OSError as error:
                # There is nowhere to keep it: this part gets no verdict, so nobody accepts it.
                logger.error("a frame is lost: %s: %s", self.folder, error)  # noqa: TRY400 - no traceback is needed

    def _files(self) -> Iterator[tuple[str, bytes]]:
        said = {""}  # a camera that comes and goes is not news each time
        with closing(self.source.events(lambda: not self.worker.stopping())) as events:
            for event in events:
                match event:
                    case Accepted(arrival=Frame(identity=identity, image=image)) if not isinstance(image, bytes):
                        yield f"{identity.id}.png", bytes(cv2.imencode(".png", image)[1])
                    case Accepted(arrival=Unreadable(identity=identity, reason=reason, detail=detail)):
                        yield f"{identity.id}.png", _NOTICE + f"{reason.name} {detail}".encode()
                    case Trouble(detail=detail):
                        logger.warning("no images: %s", detail)
                    case Opened(warning=warning) if warning not in said:
                        logger.warning("%s", warning)
                        said.add(warning)
                    case Accepted() | Idle() | Opened() | PassedOver() | NotPutAway():
                        pass
                if self.worker.stopping():
                    return
