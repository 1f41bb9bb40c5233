"""Real parts pass a camera on a belt: the daemon sees each of them once, and answers it once."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from brokers import Mosquitto, until
from daemons import Daemon, Subscriber, write_settings
from numpy.typing import NDArray
from rtsp import RtspCamera, needs_rtsp

from edge_inspector.bundle import Bundle
from edge_inspector.inspection.model import Reason

WIDTH, HEIGHT, PART = 160, 120, 100
RATE = 25
TAIL_S = 20
"""The belt runs on empty for so long: a film that is over would begin anew."""
STOPS = 12
"""Frames for which every third part lies still in the middle."""


def real_parts(real_data: Path, number: int) -> list[NDArray[np.uint8]]:
    """Return pictures of bottles, good and broken, each another one."""
    paths = sorted((real_data / "bottle" / "test").glob("*/*.jpg"))
    return [cv2.resize(cv2.imread(str(path)), (PART, PART)) for path in paths[:: len(paths) // number][:number]]


def on_the_belt(part: NDArray[np.uint8] | None, left: float, number: int) -> NDArray[np.uint8]:
    """Return one frame: a noisy belt, a part that may be half outside."""
    noise = np.random.default_rng(number % 16).normal(70, 2, (HEIGHT, WIDTH, 1))
    frame = np.repeat(noise, 3, 2).clip(0, 255).astype(np.uint8)
    first, last = max(0, round(left)), min(WIDTH, round(left) + PART)
    if part is not None and last > first:
        frame[10 : 10 + PART, first:last] = part[:, first - round(left) : last - round(left)]
    return frame


def film(folder: Path, parts: list[NDArray[np.uint8]], step: float) -> int:
    """Write the frames of all parts passing, one after the other, and return how many there are."""
    folder.mkdir()
    lefts: list[tuple[NDArray[np.uint8] | None, float]] = [(None, 0.0)] * RATE
    for number, part in enumerate(parts):
        way = list(np.arange(-PART, WIDTH + PART / 2, step * (1 + number % 2)))
        middle = (WIDTH - PART) / 2
        stop = [middle] * (STOPS if number % 3 == 0 else 0)
        lefts += [(part, left) for left in (*(x for x in way if x < middle), *stop, *(x for x in way if x >= middle))]
    for number, (part, left) in enumerate(lefts):
        cv2.imwrite(str(folder / f"{number:05}.png"), on_the_belt(part, left, number))
    for number in range(len(lefts), len(lefts) + TAIL_S * RATE):
        (folder / f"{number:05}.png").hardlink_to(folder / f"{number % RATE:05}.png")
    return len(lefts)


def shown_in(thumb: bytes, parts: list[NDArray[np.uint8]]) -> int:
    """Return which part a thumbnail shows, wherever it lies."""
    picture = cv2.imdecode(np.frombuffer(thumb, np.uint8), cv2.IMREAD_COLOR)
    inner = [cv2.matchTemplate(picture, part[10:-10, 20:-20], cv2.TM_CCOEFF_NORMED).max() for part in parts]
    return int(np.argmax(inner))


def watch_the_belt(folder: Path, device: str, bundle: Bundle, parts: list[NDArray[np.uint8]], seconds: float) -> None:
    """Run the daemon in front of the belt until all parts have passed, and look at its answers."""
    source = f'kind = "capture"\ndevice = "{device}"\ntrigger = "presence"'
    with Mosquitto(folder / "broker") as broker:
        config = write_settings(folder, bundle=bundle.path, port=broker.port, source=source)
        with Subscriber(broker.port) as heard, Daemon(config) as daemon:
            daemon.start()
            until(lambda: len(heard.results) >= len(parts), f"{len(parts)} answers", seconds)
            until(lambda: len(heard.payloads("image/thumb")) >= len(parts), "their pictures")
            beats = len(heard.payloads("plc/heartbeat"))
            until(lambda: len(heard.payloads("plc/heartbeat")) > beats + 3, "three more seconds of an empty belt")
            status = daemon.stop()
    shown = [shown_in(thumb, parts) for thumb in heard.payloads("image/thumb")]

    assert status == 0
    assert shown == list(range(len(parts)))
    assert len({result["id"] for result in heard.results}) == len(heard.results) == len(parts)
    assert not any(result["reason_code"] == Reason.LATE.number for result in heard.results)


def test_every_part_in_a_film_is_answered_once(real_data: Path, bundle: Bundle, tmp_path: Path) -> None:
    """Four bottles, two of them faster, two of them stopping."""
    parts = real_parts(real_data, 4)
    film(tmp_path / "film", parts, 6)
    device = tmp_path / "belt.avi"
    writer = cv2.VideoWriter(str(device), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (WIDTH, HEIGHT))
    for path in sorted((tmp_path / "film").glob("*.png")):
        writer.write(cv2.imread(str(path)))
    writer.release()

    watch_the_belt(tmp_path, "belt.avi", bundle, parts, 40)


@pytest.mark.slow
def test_every_part_on_a_network_camera_is_answered_once(real_data: Path, bundle: Bundle, tmp_path: Path) -> None:
    """Twenty bottles through a real RTSP server."""
    needs_rtsp()
    parts = real_parts(real_data, 20)
    frames = film(tmp_path / "film", parts, 4)
    with RtspCamera(tmp_path / "film", RATE) as camera:
        watch_the_belt(tmp_path, camera.url, bundle, parts, 60 + frames / RATE)
