"""How the threads of a station that judge are wired."""

import queue
import threading
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge_inspector.errors import DiskError
from edge_inspector.line.collect.collector import Collector
from edge_inspector.line.environment import Environment
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.pool.pool import PoolSource
from edge_inspector.line.sources.capture import CaptureSource
from edge_inspector.line.sources.folder import FolderSource
from edge_inspector.line.station.changeover import ActivePart
from edge_inspector.line.station.judging import Judging
from edge_inspector.line.station.queues import StationQueues
from edge_inspector.line.station.stage import Answering, Intake
from edge_inspector.settings import Settings


def no_ledger() -> Ledger:
    """Stand for a ledger that nobody opens before its thread runs."""
    raise DiskError("not opened here")


def wired(folder: Path, source: dict[str, Any], **station: Any) -> tuple[Intake, Answering]:  # noqa: ANN401 - settings
    """Return what takes images in, and what answers them."""
    part = {"name": "washer", "bundle": folder}
    settings = Settings(station=({"name": "st1", "source": source, "part": [part], **station},), state_dir=folder)
    queues, stop = StationQueues(queue.Queue(3)), threading.Event()
    judging = Judging(
        settings=settings,
        station=settings.station[0],
        lines={},
        queues=queues,
        environment=Environment(lambda: 0, lambda: 0, lambda: "id", Random(1)),  # noqa: S311 - jitter
        folder=folder,
        archive_folder=folder / "archive",
        open_ledger=no_ledger,
        stop=stop,
        announce=lambda _answered: None,
        part=ActivePart("washer"),
        show=lambda _evidence, _judgement: (),
        collector=Collector(
            folder, 0, queues.worker("collect", stop, lambda: 0), lambda _payload: None, queue.Queue(1)
        ),
        looked_over=True,
    )
    threads = judging.threads()
    owners = {name: run.__self__ for name, run in threads.items()}  # type: ignore[attr-defined]
    return owners["intake"], owners["inspect"]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ({"kind": "folder", "path": "/inbox"}, FolderSource),
        ({"kind": "capture", "device": "/dev/video0"}, CaptureSource),
        ({"kind": "mqtt", "pool": "hall-3"}, PoolSource),
    ],
)
def test_the_settings_name_the_source(tmp_path: Path, source: dict[str, Any], kind: type) -> None:
    """What is taken in is let go by the same source, once it is answered."""
    intake, answering = wired(tmp_path, source)

    assert isinstance(intake.source, kind)
    assert answering.done == intake.source.done
    assert answering.arrivals is intake.arrivals


def test_a_whole_serial_marks_a_challenge_part(tmp_path: Path) -> None:
    """CH-1 is one, SN-CH-1 is not."""
    intake, _ = wired(tmp_path, {"kind": "folder", "path": tmp_path}, challenge_serial="CH-[0-9]+")

    assert [intake.is_marked(serial) for serial in ("CH-1", "SN-CH-1", "")] == [True, False, False]
