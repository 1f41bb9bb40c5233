"""Run with a broker's password and a camera's login, then look for both everywhere that anybody can look."""

import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from brokers import Mosquitto, free_port, until
from daemons import Daemon, Subscriber, drop, write_settings
from factories import a_part, png

from edge_inspector.bundle import Bundle

USER, PASSWORD = "station-seven", "correct-horse/battery"
CAMERA_USER, CAMERA_PASSWORD = "camera-admin", "hunter2-hunter2"
IN_QUERY, ODD, IN_PATH, OF_SNAPSHOTS = "hunter3-hunter3", "hunter4-hunter4", "hunter5-hunter5", "hunter6-hunter6"
SECRETS = (PASSWORD, CAMERA_USER, CAMERA_PASSWORD, IN_QUERY, ODD, IN_PATH, OF_SNAPSHOTS)
DEVICES = (
    f"http://127.0.0.1:1/video.cgi?user={CAMERA_USER}&pwd={IN_QUERY}",
    f"rtsp://{CAMERA_USER}:it's my@{ODD}@127.0.0.1:1/stream",
    f"rtsp://127.0.0.1:1/user={CAMERA_USER}&password={IN_PATH}&channel=1/stream",
    f"http://{CAMERA_USER}:{OF_SNAPSHOTS}@127.0.0.1:1/image?pwd={OF_SNAPSHOTS}",
)
"""Further cameras: where a login can stand, and what it can hold."""
Run = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class Station:
    """A daemon that logs in at a real broker and has a camera that wants a login."""

    folder: Path
    config: Path
    daemon: Daemon
    heard: Subscriber


@pytest.fixture(scope="module")
def station(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Run it until it has judged a part, failed at the camera, and refused a reload."""
    folder = tmp_path_factory.mktemp("secrets")
    passwords = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), USER, PASSWORD], check=True)
    passwords.chmod(0o644)
    secret = folder / "secret"
    secret.write_text(PASSWORD + "\n")
    with Mosquitto(folder / "broker", f"allow_anonymous false\npassword_file {passwords}") as broker:
        login = f'username = "{USER}"\npassword_file = "{secret}"'
        home = folder / "station"
        config = write_settings(home, bundle=bundle.path, port=broker.port, mqtt_keys=login)
        device = f"rtsp://{CAMERA_USER}:{CAMERA_PASSWORD}@127.0.0.1:{free_port()}/stream"
        config.write_text(
            f'{config.read_text()}[[station]]\nname = "st2"\n[station.source]\nkind = "capture"\ndevice = "{device}"\n'
            f'[[station.part]]\nname = "washer"\nbundle = "{bundle.path}"\n'
        )
        with config.open("a") as more:
            for number, address in enumerate(DEVICES, 3):
                mode = "snapshot" if "image" in address else "stream"
                more.write(
                    f'[[station]]\nname = "st{number}"\n[station.source]\nkind = "capture"\nmode = "{mode}"\n'
                    f'device = "{address}"\n[[station.part]]\nname = "washer"\nbundle = "{bundle.path}"\n'
                )
        with (
            Subscriber(
                broker.port,
                base="edge-inspector",
                prepare=lambda client: client.username_pw_set(USER, PASSWORD),
            ) as heard,
            Daemon(config) as daemon,
        ):
            daemon.start()
            drop(home / "inbox", "S1.png", png(a_part(1)))
            until(lambda: heard.payloads("v1/st1/result"), "a verdict")
            until(lambda: b'"source"' in b"".join(heard.payloads("v1/st2/alarms")), "the camera's alarm")
            for number in range(3, 3 + len(DEVICES)):
                topic = f"v1/st{number}/alarms"
                until(lambda topic=topic: b'"source"' in b"".join(heard.payloads(topic)), "its camera's alarm")
            good = config.read_text()
            config.write_text(
                good.replace(CAMERA_PASSWORD, f"{CAMERA_PASSWORD}-new").replace(f"port = {broker.port}", "port = 1")
            )
            ready = daemon.told.count("READY=1")
            subprocess.run(["kill", "-HUP", str(daemon.pid)], check=True)
            until(lambda: daemon.told.count("READY=1") > ready, "the reload is refused")
            until(lambda: any("reload refused" in word for word in daemon.told), "and says so")
            config.write_text(good)
            yield Station(home, config, daemon, heard)


def found_in(text: str) -> list[str]:
    """Return the secrets that stand in a text."""
    return [secret for secret in SECRETS if secret in text]


def test_no_secret_in_the_log_or_in_what_systemd_is_told(station: Station) -> None:
    """Neither on standard error nor in the file that is kept; not in a refused reload either."""
    words = station.daemon.log.read_text(errors="replace")

    assert "READY" in words
    assert found_in(words) == []
    assert found_in("\n".join(station.daemon.told)) == []


def test_no_secret_in_any_file_of_ours(station: Station) -> None:
    """Ledgers with their audit trail, health, logs, archive: all that the daemon wrote."""
    files = [file for file in (station.folder / "state").rglob("*") if file.is_file()]
    named = {str(file): [s for s in SECRETS if s.encode() in _content(file)] for file in files}

    assert any(file.name == "ledger.db" for file in files)
    assert {file: secrets for file, secrets in named.items() if secrets} == {}


def _content(file: Path) -> bytes:
    """Return what is in a file; a half-written one may have got its name meanwhile, and is found under that."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return file.with_suffix("").read_bytes()


def test_no_secret_is_published(station: Station) -> None:
    """On no topic."""
    everything = "\n".join(heard.topic + repr(heard.payload) for heard in station.heard.heard)

    assert "washer" in everything
    assert found_in(everything) == []


def test_no_secret_in_the_list_of_processes(station: Station) -> None:
    """Neither as an argument nor in the environment."""
    process = Path(f"/proc/{station.daemon.pid}")
    seen = (process / "cmdline").read_text() + (process / "environ").read_text()

    assert "edge_inspector" in seen
    assert found_in(seen) == []


def test_no_secret_in_what_commands_say(station: Station, run: Run, tmp_path: Path) -> None:
    """`check`, `diagnose`, `history --audit`, `station drop-in`, `station export`."""
    out, clone = tmp_path / "support.zip", tmp_path / "st.station"
    config = ("--config", station.config)
    said = [
        run("check", *config),
        run("diagnose", *config, "--out", out),
        run("history", *config, "--station", "st1", "--audit"),
        run("history", *config, "--station", "st2", "--audit", "--json"),
        run("station", "export", clone, *config),
    ]
    with zipfile.ZipFile(out) as archive:
        support = "\n".join(archive.read(name).decode(errors="replace") for name in archive.namelist())
    with zipfile.ZipFile(clone) as archive:
        cloned = archive.read("station.toml").decode()

    assert found_in(repr(said)) == []
    assert found_in(support) == []
    assert found_in(cloned) == []
    assert USER not in support
    assert "st2" in support
