"""Before commissioning: how the images that lie in the folder are read, and what the camera gives."""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
from factories import a_part, png
from line.sources.test_snapshot import serving
from rtsp import h264_video

from edge_inspector.line.setup.check import Finding, _check_done, _check_names, _check_source, check
from edge_inspector.settings import Settings, StationSettings

VIEWS = [{"name": "top"}, {"name": "side"}]


def a_station(source: dict[str, Any], **part: Any) -> StationSettings:  # noqa: ANN401 - a test factory
    """Return the settings of a station that knows washers."""
    parts = [{"name": "washer", "bundle": "b", **part}]
    (station,) = Settings(station=({"name": "st1", "source": source, "part": parts},)).station
    return station


def found(folder: Path, images: dict[str, dict[str, Any] | None], part: dict[str, Any], **keys: Any) -> list[Finding]:  # noqa: ANN401
    """Return what is said of images, some with a JSON file beside them."""
    for name, sidecar in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(a_part(0)))
        if sidecar is not None:
            path.with_suffix(".json").write_text(json.dumps(sidecar))
    return list(_check_names(a_station({"kind": "folder", "path": folder, **keys}, **part), time.monotonic_ns))


def test_a_worker_needs_no_source_of_its_own() -> None:
    """Its images come over the broker, which is looked at by itself."""
    (finding,) = _check_source(a_station({"kind": "mqtt", "pool": "press"}), time.monotonic_ns)

    assert finding.good
    assert "pool press" in finding.detail


@pytest.mark.parametrize(
    ("keys", "name", "sidecar", "part", "good", "said"),
    [
        ({}, "S1.png", None, {}, True, "serial 'S1'"),
        ({"subfolders": ["part", "lot"]}, "washer/L7/S1.png", None, {}, True, "part 'washer', serial 'S1', lot 'L7'"),
        ({"name_pattern": r"(?P<serial>\d+)_(?P<view>\w+)"}, "17_top.png", None, {"view": VIEWS}, True, "view 'top'"),
        ({"sidecar_ms": 100}, "S1.png", {"part": "washer", "group": "g1"}, {}, True, "group 'g1'"),
        ({"subfolders": ["part"]}, "nut/S1.png", None, {}, False, "part 'nut', serial 'S1': no bundle for that part"),
        ({"subfolders": ["part"]}, "S1.png", None, {}, False, "expected part"),
        ({"sidecar_ms": 100}, "S1.png", None, {}, False, "no JSON object beside it"),
        ({}, "S1.png", None, {"view": VIEWS}, False, "expected a serial and a view out of top, side"),
    ],
)
def test_a_test_image_shows_how_names_are_read(
    tmp_path: Path,
    keys: dict[str, Any],
    name: str,
    sidecar: dict[str, Any] | None,
    part: dict[str, Any],
    *,
    good: bool,
    said: str,
) -> None:
    """One image put into the folder is worth more than a page on regular expressions."""
    (finding,) = found(tmp_path / "inbox", {name: sidecar}, part, **keys)

    assert (finding.good, finding.what) == (good, f"station st1, image {name}")
    assert said in finding.detail


def test_three_images_are_enough(tmp_path: Path) -> None:
    """A folder may hold a million; an empty one says what to do."""
    assert len(found(tmp_path / "many", {f"S{number}.png": None for number in range(9)}, {})) == 3
    (finding,) = found(tmp_path / "none", {}, {})

    assert finding.good
    assert "put one there" in finding.detail


@pytest.mark.parametrize(
    ("keys", "good", "said"),
    [
        ({}, True, "160x120 MJPG, frames of (120, 160, 3)"),
        ({"exposure": 80}, True, "exposure 80 was asked for and is not kept"),
        ({"pixel_format": "YUYV"}, False, "its pixel format is MJPG, expected YUYV"),
        ({"region": [100, 100, 100, 100]}, False, "lies outside its images"),
        ({"device": "/nonexistent/video7"}, False, "/nonexistent/video7 gives no image"),
    ],
)
def test_a_camera_says_what_it_does_not_do(tmp_path: Path, keys: dict[str, Any], *, good: bool, said: str) -> None:
    """Found at the bench, not by a shift of false rejects."""
    path = tmp_path / "camera.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    for _ in range(5):
        writer.write(np.zeros((120, 160, 3), np.uint8))
    writer.release()
    (finding,) = _check_source(a_station({"kind": "capture", "device": str(path), **keys}), time.monotonic_ns)

    assert finding.good == good
    assert said in finding.detail


def test_what_nobody_would_answer_is_counted(tmp_path: Path) -> None:
    """A camera that makes a folder a day is found before commissioning."""
    folder = tmp_path / "inbox"
    (passed,) = found(folder, {"2026-01-31/a.png": None, "2026-01-31/b.png": None}, {})

    assert (passed.good, passed.needed) == (False, False)
    assert passed.detail.startswith(f"2 image(s) or odd file(s) in {folder}")
    assert "2026-01-31/a.png: lies in a sub-folder" in passed.detail


def test_a_done_is_tried_as_a_station_uses_it(tmp_path: Path) -> None:
    """On another file system it is copied to, and `check` says so; what cannot be is found at the bench."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (tmp_path / "file").write_bytes(b"no folder")
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        places = (tmp_path / "done", Path(elsewhere) / "done", tmp_path / "file" / "done")
        same, other, none = (
            next(_check_done(a_station({"kind": "folder", "path": inbox, "done": place}))) for place in places
        )

        assert list((Path(elsewhere) / "done").iterdir()) == []
    assert (same.good, other.good, none.good) == (True, True, False)
    assert "is another file system" in other.detail
    assert "would stay claimed" in none.detail


def test_secrets_and_the_environment_have_rows_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only inside the broker's row, which a daemon at work leaves out; no value is shown."""
    password = tmp_path / "password"
    password.write_text("sesame")
    monkeypatch.setenv("EDGE_INSPECTOR_MQTT__USERNAME", "sesame")
    station = a_station({"kind": "mqtt", "pool": "press"})
    mqtt = {"port": 1, "password_file": password, "tls": {"ca": tmp_path / "none.pem"}}
    settings = Settings(station=(station,), state_dir=tmp_path, mqtt=mqtt)  # type: ignore[arg-type]
    rows = {finding.what: finding for finding in check(settings, time.monotonic_ns)}

    assert rows["environment"].detail == "wins over the settings file: EDGE_INSPECTOR_MQTT__USERNAME"
    assert rows["mqtt.password_file"].good
    assert not rows["mqtt.tls.ca"].good
    assert f"{tmp_path}/none.pem: No such file" in rows["mqtt.tls.ca"].detail
    assert not any("sesame" in finding.detail for finding in rows.values())


def test_a_stream_whose_damage_cannot_be_told_is_a_finding(tmp_path: Path) -> None:
    """`run` goes on with it; who commissions must know."""
    path = h264_video(tmp_path / "camera.ts", lost=0.0)
    station = a_station({"kind": "capture", "device": str(path)})
    frames, damage = _check_source(station, time.monotonic_ns)

    assert frames.good
    assert (damage.good, damage.needed) == (False, False)
    assert "accept_unchecked" in damage.detail
    (accepted,) = _check_source(
        a_station({"kind": "capture", "device": str(path), "accept_unchecked": True}), time.monotonic_ns
    )
    assert accepted.good


@pytest.mark.parametrize(
    ("path", "good", "said"),
    [("image", True, "a snapshot of 160x120"), ("missing", False, "HTTP status 404"), ("cut", False, "damaged image")],
)
def test_a_snapshot_is_fetched(path: str, *, good: bool, said: str) -> None:
    """One, as `run` would at each trigger."""
    with serving() as host:
        device = f"http://{host}/{path}?pwd=5ecret"
        source = {"kind": "capture", "device": device, "mode": "snapshot", "timeout_ms": 20_000}
        (finding,) = _check_source(a_station(source), time.monotonic_ns)

    assert finding.good == good
    assert said in finding.detail
    assert "5ecret" not in finding.detail
