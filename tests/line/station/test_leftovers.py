"""What a kill, a full disk or somebody's copy left in the state folder: healed, or refused in words."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from brokers import Mosquitto, until
from daemons import STATION, Daemon, Subscriber, write_settings
from stations import Bench

from edge_inspector.bundle import Bundle
from edge_inspector.errors import DiskError
from edge_inspector.line.ledger.high_water import HighWater, HighWaterMarks
from edge_inspector.line.ledger.ledger_file import prepare_ledger

GARBAGE = b"\x00\xff no JSON, no database {" * 40


def empty(path: Path) -> None:
    """Leave a file of no bytes."""
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    """Leave a file of other bytes."""
    path.write_bytes(GARBAGE)


def folder(path: Path) -> None:
    """Leave a folder with something in it."""
    path.mkdir()
    (path / "x").touch()


HEALED = [
    (name, leave)
    for names, ways in (
        (
            ("ledger.db-wal", "ledger.db-shm", "ledger.db-journal", "ledger-is-damaged", "high-water.json"),
            (empty, garbage),
        ),
        (("ledger.db",), (empty,)),
        (("reserve", "reserve.part", "health.json", "health.json.part", "collected", "archive"), (garbage, folder)),
    )
    for name in names
    for leave in ways
]


@pytest.mark.parametrize(("name", "leave"), HEALED)
def test_a_station_judges_whatever_lies_there(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber, name: str, leave: Callable[[Path], None]
) -> None:
    """No thread ends, and a part that comes has its verdict."""
    state = tmp_path / "state" / STATION
    state.mkdir(parents=True)
    leave(state / name)
    prepare_ledger(state / "ledger.db", lambda: "ledger-1", lambda: 1)
    with Bench(tmp_path, broker.port) as bench:
        until(lambda: heard.last("health")["state"] == "READY", "the station is there, in monitor mode perhaps")
        bench.send("one")

        assert heard.wait_for_results(["one"], 60)["one"]["reason_code"] < 200


REFUSED = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal", "ledger-is-damaged", "high-water.json")


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_where_a_file_belongs_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """Nothing of the ledger is moved or begun anew before somebody has looked."""
    folder(tmp_path / name)

    with pytest.raises(DiskError, match=f"{name} is a folder, expected a file or nothing: move it away"):
        prepare_ledger(tmp_path / "ledger.db", lambda: "ledger-1", lambda: 1)


NO_MARKS = (
    b"",
    GARBAGE,
    b"[1, 2]",
    b"[" * 100_000,
    b"null",
    b'{"seq": 1e400, "plc_seq": 1, "active_part": "washer"}',
    b'{"seq": NaN, "plc_seq": 1, "active_part": "washer"}',
    b'{"seq": -5, "plc_seq": 1, "active_part": "washer"}',
    b'{"seq": 1, "plc_seq": 99999999999999999999999, "active_part": "washer"}',
    b'{"seq": ' + b"9" * 5000 + b', "plc_seq": 1, "active_part": "washer"}',
    b'{"seq": 1, "plc_seq": 1, "active_part": "\\ud800"}',
)


@pytest.mark.parametrize("content", NO_MARKS)
def test_marks_that_are_none_begin_in_monitor_mode(tmp_path: Path, content: bytes) -> None:
    """A new ledger begins at its beginning, and nobody acts on its verdicts before a person has looked."""
    (tmp_path / "high-water.json").write_bytes(content)
    prepare_ledger(tmp_path / "ledger.db", lambda: "ledger-1", lambda: 1)

    assert HighWater(tmp_path / "high-water.json").read() == HighWaterMarks(monitor="?")


@pytest.mark.parametrize(
    ("name", "leave", "why"),
    [
        ("lock", folder, "lock: Is a directory"),
        ("edge-inspector.log", folder, "edge-inspector.log: Is a directory"),
        (STATION, empty, f"{STATION}: File exists; expected a folder"),
    ],
)
def test_what_stops_the_whole_program_is_named(
    bundle: Bundle, tmp_path: Path, name: str, leave: Callable[[Path], None], why: str
) -> None:
    """One line on standard error, the status of a disk's fault, no traceback."""
    (tmp_path / "state").mkdir()
    leave(tmp_path / "state" / name)
    with Daemon(write_settings(tmp_path, bundle=bundle.path, port=1)) as daemon:
        status = daemon.launch().wait()

    assert status == 74
    assert why in daemon.words()
    assert "Traceback" not in daemon.words()


def test_compiled_graphs_that_are_none_are_compiled_again(bundle: Bundle, broker: Mosquitto, tmp_path: Path) -> None:
    """A power cut may leave any of them empty."""
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
    with Subscriber(broker.port) as heard, Daemon(config) as daemon:
        daemon.start()
        until(lambda: heard.last("plc/ready") == "1", "ready")
        assert daemon.stop() == 0
        blobs = list((tmp_path / "state" / "engine-cache").iterdir())
        for blob in blobs:
            shutil.rmtree(blob) if blob.is_dir() else blob.write_bytes(b"")
        daemon.start()
        until(lambda: heard.payloads("plc/ready")[-1] == b"1", "ready again")

    assert blobs
