"""What a PLC waits for: from its trigger to the busy word and to the verdict, and from a change of part to ready."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

import cv2
import numpy as np

from edge_inspector.bundle import Bundle
from edge_inspector.errors import DataError
from edge_inspector.inspection.model import Reason
from edge_inspector.inspection.preprocess import as_image
from edge_inspector.line.broker.link import Incoming, Link
from edge_inspector.private_line import (
    PrivateStation,
    Source,
    listening,
    private_broker,
    private_daemon,
    write_settings,
)
from edge_inspector.wire.topics import DEFAULT_ROOT

_STATION = "bench-plc"
_COMMANDS = f"{DEFAULT_ROOT}/{_STATION}/plc/cmd"
_PARTS = ("here", "there")
"""Two parts of the same bundle."""
_FRAMES_PER_S = 30
_FILM_S = 30
_TRIGGERS, _WARM_UP, _CHANGES = 60, 5, 5
_NO_IMAGE = (Reason.NO_IMAGE.number, Reason.REFUSED.number)
_PATIENCE_S = 30.0

Line: TypeAlias = tuple[Link, "queue.SimpleQueue[Incoming]"]


@dataclass(frozen=True, slots=True)
class PlcFigures:
    """What a PLC would measure; milliseconds, one value a trigger or change."""

    busy_ms: tuple[float, ...]
    """From the trigger to the busy word with its number."""
    verdict_ms: tuple[float, ...]
    """From the trigger to its verdict; the first frame exposed after it is waited for, and one takes 33 ms."""
    change_ms: tuple[float, ...]
    """From the name of another part to ready, its golden images judged."""

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return the figures by name."""
        times = {"busy_ms": self.busy_ms, "verdict_ms": self.verdict_ms, "change_ms": self.change_ms}
        return {
            name: {f"p{percent}": float(np.percentile(values, percent)) for percent in (50, 95, 99)}
            for name, values in times.items()
        }


def measure_plc(
    bundle: Bundle, encoded: Sequence[bytes], folder: Path, report: Callable[[str, float], None]
) -> PlcFigures:
    """Measure a station that waits for a PLC's triggers in front of a film of the images.

    Args:
        bundle: what judges.
        encoded: images of one size.
        folder: for files that are gone afterwards.
        report: shows progress.
    """
    report("PLC", 0.95)
    with _line(bundle, encoded, folder) as line:
        changes = tuple(_change(line, _PARTS[1 - number % 2]) for number in range(_CHANGES))
        answers = tuple(_triggered(line, Random(0)))  # noqa: S311 - when a trigger comes
    return PlcFigures(tuple(busy for busy, _ in answers), tuple(verdict for _, verdict in answers), changes)


@contextmanager
def _line(bundle: Bundle, encoded: Sequence[bytes], home: Path) -> Iterator[Line]:
    film = home / "film.avi"
    _write_film(film, encoded)
    source: Source = {"kind": "capture", "device": str(film), "trigger": "mqtt", "frozen": 0}
    with ExitStack() as stack:
        mqtt = stack.enter_context(private_broker(home))
        config = write_settings(home, {_STATION: PrivateStation(source, dict.fromkeys(_PARTS, bundle))}, mqtt)
        link, heard = stack.enter_context(listening(mqtt, _STATION, "plc/#"))
        stack.enter_context(private_daemon(config, home / "daemon.log"))
        _wait_for(heard, "plc/ready", "1")
        yield link, heard


def _write_film(path: Path, encoded: Sequence[bytes]) -> None:
    frames = [as_image(one, 3) for one in encoded[:_FRAMES_PER_S]]
    frames = [frame for frame in frames if frame.shape == frames[0].shape]
    height, width = frames[0].shape[:2]
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), _FRAMES_PER_S, (width, height))
    if not film.isOpened():
        raise DataError(f"no film of {width}x{height} pixels can be written here")
    for number in range(_FRAMES_PER_S * _FILM_S):
        film.write(frames[number % len(frames)])
    film.release()


def _triggered(line: Line, rng: Random) -> Iterator[tuple[float, float]]:
    """Yield for each trigger the times to its busy word and to its verdict; the first ones warm up.

    A trigger that comes while the film begins again hears that there is no camera, and is no figure.
    """
    number = done = 0
    while done < _TRIGGERS + _WARM_UP:
        number += 1
        time.sleep(rng.uniform(0.05, 0.15))  # anywhere between two frames
        times = _trigger(line, number)
        done += times is not None
        if times is not None and done > _WARM_UP:
            yield times
        if number > 3 * (_TRIGGERS + _WARM_UP):
            raise DataError(f"{number - done} of {number} triggers were answered without an image")


def _trigger(line: Line, number: int) -> tuple[float, float] | None:
    """Return the milliseconds from a trigger to its busy word and to its verdict; None where there was no image."""
    link, heard = line
    begun = time.perf_counter()
    link.publish(f"{_COMMANDS}/trigger", str(number), 1, retain=False)
    busy = 0.0
    while True:
        _, trigger, code, error, *_ = _wait_for(heard, "plc/word", "").split(";")
        took = 1000 * (time.perf_counter() - begun)
        if trigger != str(number):
            continue
        if code == "0":
            busy = took
        elif int(error) in _NO_IMAGE:
            return None
        elif code == "5" or not busy:
            raise DataError(f"trigger {number} was answered with code {code}, error {error}, after {took:.0f} ms")
        else:
            return busy, took


def _change(line: Line, part: str) -> float:
    """Ask for another part and return the milliseconds until the station is ready for it."""
    link, heard = line
    begun = time.perf_counter()
    link.publish(f"{_COMMANDS}/part", part, 1, retain=False)
    _wait_for(heard, "plc/ready", "0")
    _wait_for(heard, "plc/ready", "1")
    return 1000 * (time.perf_counter() - begun)


def _wait_for(heard: "queue.SimpleQueue[Incoming]", topic: str, payload: str) -> str:
    """Return the next message of a topic that says so, or whatever it says."""
    end = time.monotonic() + _PATIENCE_S
    while (left := end - time.monotonic()) > 0:
        try:
            message = heard.get(timeout=left)
        except queue.Empty:
            break
        said = message.payload.decode() if isinstance(message, Incoming) and message.topic.endswith(topic) else None
        if said is not None and payload in ("", said):
            return said
    raise DataError(f"the daemon did not say {topic} {payload} within {_PATIENCE_S:.0f} s")
