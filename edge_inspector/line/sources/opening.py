"""From settings to a source: a folder, or a camera."""

import queue
from collections.abc import Callable
from typing import assert_never

from edge_inspector.line.environment import Environment
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.sources.capture import CameraNews, CaptureSource
from edge_inspector.line.sources.folder import FolderSource, Joins
from edge_inspector.line.sources.source import Source
from edge_inspector.settings import CaptureSettings, FolderSettings, OwnSettings


def open_source(
    settings: OwnSettings,
    station: str,
    part: Callable[[], str],
    *,
    environment: Environment,
    open_ledger: Callable[[], Ledger],
    wait: Callable[[float], None],
    joins: Joins = lambda _ledger, _names: "",
    news: "queue.SimpleQueue[CameraNews] | None" = None,
) -> Source:
    """Return a PC's own folder or camera; nothing is opened before its events are asked for.

    Args:
        settings: the source's.
        station: its name.
        part: says which part is inspected.
        environment: time and randomness.
        open_ledger: knows which images were answered.
        wait: sleeps, unless the process ends.
        joins: says which images are of one part.
        news: where triggers come in.
    """
    match settings:
        case FolderSettings():
            return FolderSource(
                settings,
                station,
                part,
                new_id=environment.new_id,
                open_ledger=open_ledger,
                monotonic_ns=environment.monotonic_ns,
                joins=joins,
            )
        case CaptureSettings():
            return CaptureSource(
                settings,
                station,
                part,
                new_id=environment.new_id,
                now_ns=environment.now_ns,
                monotonic_ns=environment.monotonic_ns,
                wait=wait,
                rng=environment.rng,
                triggers=queue.SimpleQueue() if news is None else news,
            )
        case _:
            assert_never(settings)
