"""The daemon end to end: the real process, a real broker, a real systemd's socket."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from brokers import Mosquitto, free_port, lasting, until
from daemons import STATION, Daemon, Subscriber, drop, write_settings
from factories import a_part, png

from edge_inspector.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon at work with somebody who listens."""

    folder: Path
    broker: Mosquitto
    daemon: Daemon
    heard: Subscriber

    @property
    def inbox(self) -> Path:
        """Where its camera writes."""
        return self.folder / "inbox"


@pytest.fixture(scope="module")
def running(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run one daemon for the tests that leave it running; it believes that systemd watches it."""
    folder = tmp_path_factory.mktemp("running")
    with Mosquitto(folder / "broker") as broker:
        config = write_settings(folder, bundle=bundle.path, port=broker.port)
        with Subscriber(broker.port) as heard, Daemon(config, {"WATCHDOG_USEC": "4000000"}) as daemon:
            daemon.start()
            until(lambda: heard.last("plc/ready") == "1", "the station is ready")
            yield Running(folder, broker, daemon, heard)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker of one's own: stations with the same name push each other off a shared one."""
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


def test_every_part_gets_its_verdict(running: Running) -> None:
    """Good parts are OK, scratched ones NG, and what everybody hears says the same."""
    images = {f"e2e-{n}": png(a_part(n, scratched=n % 2 == 1)) for n in range(10)}
    for serial, content in images.items():
        drop(running.inbox, f"{serial}.png", content)

    found = running.heard.wait_for_results(images)

    assert [found[serial]["verdict"] for serial in images] == ["OK", "NG"] * 5
    assert all(result["accept"] == (result["verdict"] == "OK") for result in found.values())
    assert all(result["bundle"]["id"] for result in found.values())
    assert not [result for result in found.values() if result["replayed"]]


def test_a_scratched_part_is_shown_with_its_blob(running: Running) -> None:
    """The operator sees where the defect is, and the image carries the part's id."""
    drop(running.inbox, "shown.png", png(a_part(2100, scratched=True)))

    result = running.heard.wait_for_results(["shown"])["shown"]
    thumb = until(
        lambda: [jpeg for jpeg in running.heard.payloads("image/thumb") if result["id"].encode() in jpeg[:200]],
        "the part's thumbnail",
    )

    assert result["blobs"]
    assert result["score"] >= 1
    assert thumb[0][:2] == b"\xff\xd8"


def test_the_counters_agree_with_the_results(running: Running) -> None:
    """Every part is counted once, under its verdict."""
    drop(running.inbox, "counted.png", png(a_part(2200)))
    running.heard.wait_for_results(["counted"])

    def agree() -> bool:
        counters = running.heard.last("counters")
        results = running.heard.results
        return bool(
            counters["total"] == len(results) and counters["ok"] == len([r for r in results if r["verdict"] == "OK"])
        )

    assert until(agree, "counters as the results")


def test_systemd_is_told_ready_and_fed(running: Running) -> None:
    """A service of Type=notify with a watchdog is started once and not killed."""
    before = running.daemon.told.count("WATCHDOG=1")

    until(lambda: running.daemon.told.count("WATCHDOG=1") >= before + 2, "the watchdog is fed")

    assert running.daemon.told.count("READY=1") == 1
    assert any(word.startswith(f"STATUS={STATION} R") for word in running.daemon.told)


def test_no_torch_on_the_line(running: Running) -> None:
    """A line PC needs no training libraries, and has no memory for them."""
    maps = Path(f"/proc/{running.daemon.pid}/maps").read_text()

    assert "openvino" in maps
    assert "torch" not in maps


def test_a_station_without_parts_costs_nothing(running: Running) -> None:
    """Waiting is not work: two threads once woke each other for ever and took a whole processor."""
    waiting = _processor_s(running.daemon.pid)
    before = running.daemon.told.count("WATCHDOG=1")

    until(lambda: running.daemon.told.count("WATCHDOG=1") >= before + 3, "three beats, one a second")

    used, beats = _processor_s(running.daemon.pid) - waiting, running.daemon.told.count("WATCHDOG=1") - before
    assert used / beats < 1 / 3, "processor seconds for each beat of the watchdog"


def test_a_second_daemon_on_the_same_state_folder_is_refused(running: Running, bundle: Bundle) -> None:
    """Two daemons would answer every part twice."""
    config = write_settings(running.folder / "second", bundle=bundle.path, port=running.broker.port)
    config.write_text(config.read_text().replace('"state"', f'"{running.folder / "state"}"'))
    with Daemon(config) as second:
        status = second.launch().wait()

    assert status == 78
    assert "another daemon uses state_dir" in second.words()


def test_sigterm_ends_it_cleanly(bundle: Bundle, broker: Mosquitto, tmp_path: Path) -> None:
    """After a stop nobody is told that the station is there, ready or alive, and no part hangs between."""
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
    with Subscriber(broker.port) as heard, Daemon(config) as daemon:
        daemon.start()
        until(lambda: heard.last("plc/ready") == "1", "the station is ready")
        drop(tmp_path / "inbox", "one.png", png(a_part(1)))
        heard.wait_for_results(["one"])

        assert daemon.stop() == 0

        until(lambda: heard.last("availability") == "offline", "offline")
        until(lambda: heard.last("plc/ready") == "0", "not ready")
        until(lambda: heard.last("plc/word").split(";")[2] == "0", "the word says so too")
        until(lambda: heard.last("health")["state"] == "STOPPING", "and the health report")
        assert "STOPPING=1" in daemon.told


def test_a_stop_in_the_middle_of_a_burst_is_as_clean(bundle: Bundle, broker: Mosquitto, tmp_path: Path) -> None:
    """However much was still to be said, the last words are that we are gone; the rest is judged at the next start."""
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
    names = [f"burst-{n:03d}" for n in range(120)]
    with Subscriber(broker.port) as heard, Daemon(config) as daemon:
        daemon.start()
        until(lambda: heard.last("plc/ready") == "1", "the station is ready")
        for number, name in enumerate(names):
            drop(tmp_path / "inbox", f"{name}.png", png(a_part(number)))
        heard.wait_for_results(names[:20])

        assert daemon.stop() == 0

        until(lambda: heard.last("availability") == "offline", "offline")
        until(lambda: heard.last("plc/ready") == "0", "not ready")
        daemon.start()
        heard.wait_for_results(names)

    assert len({result["id"] for result in heard.results}) == len(names)


def test_killed_it_is_offline_and_not_ready(bundle: Bundle, broker: Mosquitto, tmp_path: Path) -> None:
    """The broker says for a dead daemon what it cannot say itself."""
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
    with Subscriber(broker.port) as heard, Daemon(config) as daemon:
        daemon.start()
        until(lambda: heard.last("plc/ready") == "1", "the station is ready")

        daemon.kill()

        until(lambda: heard.last("availability") == "offline", "the last will of the state connection")
        until(lambda: heard.last("plc/ready") == "0", "the last will of the PLC connection")


def test_without_a_broker_parts_are_judged_and_delivered_later(bundle: Bundle, tmp_path: Path) -> None:
    """Inspection never stops for the broker."""
    broker = lasting(tmp_path / "broker")
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
    serials = [f"alone-{n}" for n in range(5)]
    with broker, Subscriber(broker.port, session="scada") as heard:
        broker.save()
        broker.kill()
        with Daemon(config) as daemon:
            daemon.start()
            for number, serial in enumerate(serials):
                drop(tmp_path / "inbox", f"{serial}.png", png(a_part(number)))
            until(lambda: _judged(tmp_path) == len(serials), "all parts are judged")
            broker.start()
            found = heard.wait_for_results(serials)

    assert sorted(found) == serials
    assert [result["seq"] for result in heard.results] == [1, 2, 3, 4, 5]
    assert not [word for word in heard.payloads("plc/word") if word.split(b";")[2] != b"0"]


def test_a_bundle_with_one_flipped_byte_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """What was accepted is what runs, or nothing."""
    shutil.copytree(bundle.path, tmp_path / "washer")
    graph = tmp_path / "washer" / "network.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with Daemon(write_settings(tmp_path, bundle=tmp_path / "washer", port=free_port())) as daemon:
        status = daemon.launch().wait()

    assert status == 65
    assert "network.onnx is not what was accepted" in daemon.words()
    assert "READY=1" not in daemon.told


def test_an_unknown_key_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """A misspelt setting must not be silently without effect."""
    config = write_settings(tmp_path, bundle=bundle.path, port=free_port(), station_keys="deadline = 100")
    with Daemon(config) as daemon:
        status = daemon.launch().wait()

    assert status == 78
    assert "station 1: unknown setting `deadline`, did you mean `deadline_ms`?" in daemon.words()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system that is mounted read-only; root may write anywhere else."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode and os.geteuid() == 0:
        pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
    folder.chmod(0o555) if mounted.returncode else None
    yield folder
    if not mounted.returncode:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_state_folder_that_cannot_be_written_is_refused(bundle: Bundle, read_only: Path, tmp_path: Path) -> None:
    """Without a ledger there is no promise, so the service does not pretend to work."""
    config = write_settings(tmp_path, bundle=bundle.path, port=free_port())
    config.write_text(config.read_text().replace('"state"', f'"{read_only / "state"}"'))
    with Daemon(config) as daemon:
        status = daemon.launch().wait()

    assert status == 74
    assert "read-only" in daemon.words()


def test_a_damaged_ledger_is_set_aside(bundle: Bundle, broker: Mosquitto, tmp_path: Path) -> None:
    """Numbers that cannot be trusted are not gone on with: a new ledger begins, the alarm says so, parts are judged."""
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
    state = tmp_path / "state" / STATION
    state.mkdir(parents=True)
    (state / "ledger.db").write_bytes(b"no database at all" * 1000)
    with Subscriber(broker.port) as heard, Daemon(config) as daemon:
        daemon.start()
        until(lambda: "ledger_new" in heard.last("alarms")["active"], "the alarm")
        drop(tmp_path / "inbox", "good.png", png(a_part(2)))
        heard.wait_for_results(["good"])
        assert daemon.stop() == 0

    assert [result["verdict"] for result in heard.results] == ["OK"]
    assert [path.read_bytes()[:8] for path in state.glob("ledger.db.damaged-*")] == [b"no datab"]


def test_a_folder_that_is_not_there_at_boot_is_waited_for(bundle: Bundle, broker: Mosquitto, tmp_path: Path) -> None:
    """A share that is mounted late is no failed service: not ready, an alarm, and then the parts."""
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
    (tmp_path / "inbox").rmdir()
    with Subscriber(broker.port) as heard, Daemon(config) as daemon:
        daemon.start()
        until(lambda: heard.last("health")["state"] == "DEGRADED", "DEGRADED")
        until(lambda: heard.last("alarms")["active"] == ["source"], "the alarm")
        until(lambda: heard.last("plc/ready") == "0", "not ready")

        (tmp_path / "inbox").mkdir()
        drop(tmp_path / "inbox", "late.png", png(a_part(1)))

        assert heard.wait_for_results(["late"])["late"]["verdict"] == "OK"
        until(lambda: heard.last("alarms")["active"] == [], "the alarm is cleared")


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _judged(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "state" / STATION / "ledger.db")) as ledger:
        return int(ledger.execute("SELECT count(*) FROM entry WHERE topic = 'result'").fetchone()[0])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system of 8 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_waited_out(bundle: Bundle, broker: Mosquitto, small_disk: Path, tmp_path: Path) -> None:
    """Nothing is judged, the PLC sends no parts, the program lives; with room again no part is missing."""
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
    state, archive = f'"{small_disk / "state"}"', f'[archive]\npath = "{tmp_path / "archive"}"\n'
    config.write_text(config.read_text().replace('"state"', state).replace("[mqtt]", archive + "[mqtt]"))
    names = [f"full-{n}" for n in range(30)]
    with Subscriber(broker.port) as heard, Daemon(config) as daemon:
        daemon.start()
        until(lambda: heard.last("plc/ready") == "1", "the station is ready")
        _fill(small_disk / "filler")
        for number, name in enumerate(names):
            drop(tmp_path / "inbox", f"{name}.png", png(a_part(number)))
        until(lambda: heard.last("health")["state"] == "ERROR", "ERROR")
        until(lambda: heard.last("plc/ready") == "0", "not ready")
        until(lambda: "ledger" in heard.last("alarms")["active"], "the alarm")
        heard.send("cmd/pause", '{"correlation_id": "c1", "by": "operator"}')
        until(lambda: heard.payloads("ack"), "an answer to a command")

        (small_disk / "filler").unlink()

        heard.send("cmd/resume", '{"correlation_id": "c2", "by": "operator"}')
        heard.wait_for_results(names)
        until(lambda: heard.last("alarms")["active"] == [], "the alarms are over")
        assert daemon.stop() == 0

    results = {result["id"]: result["seq"] for result in heard.results}
    assert sorted(results.values()) == list(range(1, len(names) + 1))


def _fill(path: Path) -> None:
    """Write until the disk is full to the last byte."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))
