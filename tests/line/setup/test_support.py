"""Years later: why this verdict, and what support needs to know. The real daemon's own ledger and archive."""

import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
from brokers import Mosquitto, until
from daemons import STATION, Daemon, Subscriber, drop, write_settings
from factories import a_part, png
from typer.testing import CliRunner

from edge_inspector.bundle import Bundle
from edge_inspector.cli import app

PASSWORD = "correct-horse/battery"  # noqa: S105 - of no broker


@dataclass(frozen=True, slots=True)
class Past:
    """A station that has judged a good part and a bad one and was stopped."""

    config: Path
    folder: Path
    results: dict[str, Any]

    def ask(self, *words: str) -> Any:  # noqa: ANN401 - the typer runner has no name for its result
        """Run a command on it."""
        return CliRunner().invoke(app, [words[0], *words[1:], "--config", str(self.config)])


@pytest.fixture(scope="module")
def past(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Past:
    """Run the daemon on two parts."""
    folder = tmp_path_factory.mktemp("past")
    (folder / "password").write_text(PASSWORD + "\n")
    login = 'username = "station-7"\npassword_file = "password"'
    with Mosquitto(folder / "broker") as broker:
        config = write_settings(folder, bundle=bundle.path, port=broker.port, mqtt_keys=login)
        with Subscriber(broker.port) as heard, Daemon(config) as daemon:
            daemon.start()
            drop(folder / "inbox", "good.png", png(a_part(2)))
            drop(folder / "inbox", "bad.png", png(a_part(3, scratched=True)))
            results = heard.wait_for_results(["good", "bad"])
            station = folder / "state" / STATION
            until(lambda: len(list((station / "archive").rglob("*.png"))) == 2, "both are archived")
            until((station / "health.json").is_file, "health is left there")
            daemon.stop()
    return Past(config, folder, results)


def test_a_result_carries_what_it_was_made_with(past: Past) -> None:
    """Two parts of one run differ in their image only."""
    good, bad = past.results["good"]["trace"], past.results["bad"]["trace"]

    assert {key: value for key, value in good.items() if key != "frame"} == {
        key: value for key, value in bad.items() if key != "frame"
    }
    assert all(good.values())
    assert len(good["frame"]) == 64
    assert good["frame"] != bad["frame"]


def test_explain_draws_the_overlay_again(past: Past, tmp_path: Path) -> None:
    """From the archived image and the bundle; the same verdict comes out."""
    out = tmp_path / "overlay.png"
    done = past.ask("explain", past.results["bad"]["id"], "--out", str(out), "--json")
    said = json.loads(done.stdout)

    assert done.exit_code == 0, done.output
    assert said["again"].startswith("NG")
    assert said["published_at"]
    assert cv2.imread(str(out)).shape == (120, 160, 3)


def test_explain_says_when_the_image_or_the_bundle_is_gone(past: Past, tmp_path: Path, bundle: Bundle) -> None:
    """And when the image is another one; exit 1."""
    copy = tmp_path / "copy"
    shutil.copytree(past.folder / "state", copy / "state")
    arrival = past.results["good"]["id"]
    text = past.config.read_text()
    (copy / "other.toml").write_text(text.replace(str(bundle.path), str(tmp_path / "none")))
    (copy / "same.toml").write_text(text)

    def problems(config: str) -> str:
        command = ["explain", arrival, "--config", str(copy / config), "--json", "--out", str(tmp_path / "o.png")]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1, done.output
        return "; ".join(json.loads(done.stdout)["problems"])

    (image,) = (copy / "state").rglob(f"*{arrival}.png")
    no_bundle = problems("other.toml")
    image.write_bytes(png(a_part(4)))
    another = problems("same.toml")
    image.unlink()
    gone = problems("same.toml")

    assert "is not among the station's" in no_bundle
    assert "is not the image that was judged" in another
    assert "the image is not in the archive" in gone


def test_a_pinned_image_is_kept_longest(past: Past, tmp_path: Path) -> None:
    """It is found there again."""
    words = ("explain", past.results["good"]["id"], "--out", str(tmp_path / "o.png"))
    first, again = past.ask(*words, "--pin"), past.ask(*words)

    assert first.exit_code == again.exit_code == 0
    assert "/PINNED/" in again.stdout


def test_the_start_is_in_the_audit_trail(past: Past) -> None:
    """Settings, bundles and thresholds that the run began with, once as long as they stay the same."""
    found = json.loads(past.ask("history", "--audit", "--json").stdout)
    (start,) = [row for row in found if row["command"] == "settings"]

    assert json.loads(start["payload"])["parts"]["washer"]["threshold"] > 0
    assert past.ask("history", "--verify").exit_code == 0


def test_support_gets_all_and_no_secret(past: Past, tmp_path: Path) -> None:
    """Neither the password nor the user's name, wherever something may have repeated it."""
    with (past.folder / "state" / "edge-inspector.log").open("a") as log:
        log.write(f"a careless line with {PASSWORD} in rtsp://admin:hunter2@10.0.0.9/stream\n")
    out = tmp_path / "support.zip"
    done = past.ask("diagnose", "--out", str(out))
    with zipfile.ZipFile(out) as archive:
        said = {name: archive.read(name).decode() for name in archive.namelist()}
    everything = "\n".join(said.values())

    assert done.exit_code == 0, done.output
    assert not [secret for secret in (PASSWORD, "station-7", "hunter2", "admin") if secret in everything]
    assert "a careless line" in said["log.txt"]
    assert "READY" in said["log.txt"]
    assert json.loads(said["versions.json"])["packages"]["numpy"]
    assert json.loads(said[f"{STATION}/health.json"])["state"] == "STOPPING"
    assert json.loads(said[f"{STATION}/ledger.json"])["meta"]["seq"] == "2"
    assert json.loads(said[f"{STATION}/timings.json"])["milliseconds"]["total"]["p95"] > 0
    assert json.loads(said[f"{STATION}/audit.json"])


def test_support_gets_what_there_is_of_a_station_that_never_ran(past: Past, tmp_path: Path) -> None:
    """Whatever is broken, the file is written and says so."""
    config = tmp_path / "settings.toml"
    config.write_text(past.config.read_text())
    (tmp_path / "state" / STATION).mkdir(parents=True)
    (tmp_path / "state" / STATION / "ledger.db").write_bytes(b"no database" * 1000)
    out = tmp_path / "support.zip"

    done = CliRunner().invoke(app, ["diagnose", "--config", str(config), "--out", str(out)])

    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(out) as archive:
        assert "not a database" in archive.read(f"{STATION}/ledger.json").decode()
