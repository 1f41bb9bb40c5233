"""A camera's frames on disk until they are judged elsewhere."""

import queue
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import a_part, an_identity

from edge_inspector.inspection.model import Frame, Reason, Unreadable
from edge_inspector.line.pool.spool import Notice, Spool, read_notice, spooled
from edge_inspector.line.sources.source import Accepted, Idle, Opened, SourceEvent
from edge_inspector.line.ticks import Worker


@dataclass(frozen=True, slots=True)
class _Camera:
    events_: tuple[SourceEvent, ...]
    stop: threading.Event
    can_wait: bool = False

    def events(self, wanted: Callable[[], bool]) -> Generator[SourceEvent]:
        yield from self.events_
        assert wanted()
        self.stop.set()
        yield Idle()

    def done(self, arrival_id: str) -> None:
        raise AssertionError(arrival_id)


def write(folder: Path, *events: SourceEvent) -> list[Path]:
    """Have a camera's events spooled, and return the files in the order in which they are sent."""
    stop = threading.Event()
    Spool(_Camera(events, stop), folder, Worker("camera", stop, queue.SimpleQueue(), time.monotonic_ns)).run()
    return sorted(folder.iterdir())


def test_a_frame_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """Nothing is lost on the way: no JPEG before the graph."""
    image = a_part(3)
    (path,) = write(tmp_path, Accepted(Frame(an_identity(id="a1"), image), 0))

    assert path.name == "a1.png"
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), image)
    assert read_notice(path.read_bytes()) is None


@pytest.mark.parametrize("reason", [Reason.FROZEN, Reason.OVERRUN])
def test_what_is_no_frame_keeps_its_place_and_its_reason(tmp_path: Path, reason: Reason) -> None:
    """A frozen camera's image is not judged elsewhere as if it were one."""
    (path,) = write(tmp_path, Accepted(Unreadable(an_identity(id="a1"), reason, "3 in a row"), 0))

    assert read_notice(path.read_bytes()) == Notice(reason.name, "3 in a row")


def test_a_notice_that_claims_a_good_part_is_none() -> None:
    """Then it is bytes that are not an image, and INVALID."""
    assert read_notice(b"no image: DEFECT x") is None


def test_a_full_disk_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The frame is lost, nobody accepts that part, and the next one is taken."""
    away = tmp_path / "away"
    stop = threading.Event()
    camera = _Camera((Accepted(Frame(an_identity(id="a1"), a_part(3)), 0),), stop)
    Spool(camera, away, Worker("camera", stop, queue.SimpleQueue(), time.monotonic_ns)).run()

    assert "a frame is lost" in caplog.text


def test_a_stream_whose_damage_cannot_be_told_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else will: the workers get sound PNG files of whatever the decoder made up."""
    write(tmp_path, Opened("sound"), *3 * (Opened("H264", "OpenCV hides the decoder's errors"),))

    assert [record.getMessage() for record in caplog.records] == ["OpenCV hides the decoder's errors"]


def test_what_is_spooled_is_deleted_when_it_is_judged(tmp_path: Path) -> None:
    """The disk of a camera's PC does not fill."""
    assert spooled(tmp_path).after == "delete"
