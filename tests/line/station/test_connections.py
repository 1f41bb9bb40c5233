"""How a station is wired to the broker."""

import queue
import threading
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge_inspector.errors import DiskError
from edge_inspector.line.broker.plc import Plc
from edge_inspector.line.broker.publisher import Publisher
from edge_inspector.line.broker.state import State
from edge_inspector.line.environment import Environment
from edge_inspector.line.ledger.ledger import Ledger
from edge_inspector.line.station.changeover import ActivePart
from edge_inspector.line.station.connections import Connections
from edge_inspector.line.station.queues import StationQueues
from edge_inspector.settings import Settings

FOLDER = {"kind": "folder", "path": "/inbox"}
CAMERA = {"kind": "capture", "device": "/dev/video0", "trigger": "mqtt"}
POOL = {"kind": "mqtt", "pool": "hall-3"}


def no_ledger() -> Ledger:
    """Stand for a ledger that nobody opens before its thread runs."""
    raise DiskError("not opened here")


def wired(folder: Path, source: dict[str, Any]) -> tuple[Publisher, State, Plc]:
    """Return what the three threads of station st1 run."""
    part = {"name": "washer", "bundle": folder}
    settings = Settings(station=({"name": "st1", "source": source, "part": [part]},), state_dir=folder)
    connections = Connections(
        settings=settings,
        station=settings.station[0],
        queues=StationQueues(queue.Queue(1)),
        environment=Environment(lambda: 0, lambda: 0, lambda: "id", Random(1)),  # noqa: S311 - jitter
        open_ledger=no_ledger,
        stop=threading.Event(),
        part_for_state=ActivePart("washer"),
        part_for_plc=ActivePart("washer"),
        legacy=None,
    )
    owners = [run.__self__ for run in connections.threads().values()]  # type: ignore[attr-defined]
    assert [type(owner) for owner in owners] == [Publisher, State, Plc]
    return owners[0], owners[1], owners[2]


def test_each_connection_has_an_inbox_and_a_name_of_its_own(tmp_path: Path) -> None:
    """A broker throws out who comes with the name of another; a value goes to the thread that it is meant for."""
    made = wired(tmp_path, FOLDER)

    assert len({one.options.client_id for one in made}) == 3
    assert len({id(one.options.inbox) for one in made}) == 3


def test_silence_means_reject(tmp_path: Path) -> None:
    """The broker says offline and not ready when we no longer can."""
    results, state, plc = wired(tmp_path, FOLDER)
    said = [(will.topic, will.payload) for one in (results, state, plc) if (will := one.options.will)]

    assert [(topic.removeprefix(state.base), payload) for topic, payload in said] == [
        ("/availability", "offline"),
        ("/plc/ready", "0"),
    ]


@pytest.mark.parametrize(("source", "takes"), [(FOLDER, False), (CAMERA, True), (POOL, False)])
def test_only_a_camera_that_waits_for_them_takes_triggers(
    tmp_path: Path, source: dict[str, Any], *, takes: bool
) -> None:
    """Where images come by themselves a trigger has nowhere to go."""
    _, state, plc = wired(tmp_path, source)

    assert [one.triggers is not None for one in (state, plc)] == [takes, takes]
    assert state.peers is not None if source is POOL else state.peers is None
