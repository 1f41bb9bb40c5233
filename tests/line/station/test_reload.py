"""SIGHUP: other parts and bundles under load, all of them or none; the real process, broker and systemd's socket."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from brokers import Mosquitto, until
from daemons import STATION, Daemon, Subscriber, drop, write_settings
from factories import a_part, a_twin, png

from edge_inspector.bundle import Bundle
from edge_inspector.errors import SettingsError
from edge_inspector.line.ledger.ledger import open_ledger
from edge_inspector.line.station.reload import changed_stations, check_changeable
from edge_inspector.settings import Settings


def point(link: Path, target: Path) -> None:
    """Let `link` be another bundle, at once."""
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


class Camera:
    """Drops a part so often, every third one scratched, until the block ends."""

    def __init__(self, inbox: Path, every_s: float = 0.05) -> None:
        self.sent: list[str] = []
        self._inbox = inbox
        self._every_s = every_s
        self._images = [png(a_part(n, scratched=n % 3 == 2)) for n in range(3)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            serial = f"S{len(self.sent):04d}"
            drop(self._inbox, f"{serial}.png", self._images[len(self.sent) % 3])
            self.sent.append(serial)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@dataclass(frozen=True, slots=True)
class Line:
    """A daemon whose part's bundle is a link."""

    folder: Path
    config: Path
    link: Path
    daemon: Daemon
    heard: Subscriber
    bundle: Bundle

    def reload(self) -> str:
        """Send SIGHUP and return the status that comes with the new READY."""
        before = self.daemon.told.count("READY=1")
        os.kill(self.daemon.pid, signal.SIGHUP)
        until(lambda: self.daemon.told.count("READY=1") > before, "READY after the reload")
        said = self.daemon.told
        ready = max(n for n, word in enumerate(said) if word == "READY=1")
        return until(lambda: said[ready + 1] if len(said) > ready + 1 else "", "its status")

    def judge(self, serial: str) -> dict[str, Any]:
        """Have one good part judged."""
        drop(self.folder / "inbox", f"{serial}.png", png(a_part(1)))
        return self.heard.wait_for_results([serial])[serial]

    def audit(self) -> list[tuple[str, str, str, str]]:
        """Return command, name, status and payload of the audit trail's rows."""
        with open_ledger(self.folder / "state" / STATION / "ledger.db", lambda: "", lambda: 0) as ledger:
            return ledger._db.execute("SELECT command, by, status, payload FROM audit ORDER BY rowid").fetchall()


@pytest.fixture
def line(bundle: Bundle, tmp_path: Path) -> Iterator[Line]:
    """Run a daemon."""
    folder = tmp_path / "station"
    folder.mkdir()
    link = folder / "current"
    link.symlink_to(bundle.path)
    with Mosquitto(tmp_path / "broker") as broker:
        keys = "deadline_ms = 10000\nqueue = 1000"  # a full queue is not ready, and a busy machine is slow
        config = write_settings(folder, bundle=link, port=broker.port, station_keys=keys)
        with Subscriber(broker.port) as heard, Daemon(config) as daemon:
            daemon.start()
            until(lambda: heard.last("plc/ready") == "1", "the station is ready")
            yield Line(folder, config, link, daemon, heard, bundle)


def test_a_new_bundle_is_taken_up_while_parts_come(line: Line) -> None:
    """Each part is answered once, with the verdict that it has by either bundle; first by the old one, then the new."""
    twin = a_twin(line.bundle, line.folder / "twin", 7)
    with Camera(line.folder / "inbox") as camera:
        until(lambda: len(line.heard.results) >= 10, "ten parts")
        point(line.link, twin.path)
        status = line.reload()
        sent = len(camera.sent)
        until(lambda: len(camera.sent) >= sent + 10, "ten more parts")
    results = line.heard.wait_for_results(camera.sent)
    ids = [result["bundle"]["id"] for result in sorted(line.heard.results, key=lambda result: result["seq"])]
    switch = ids.index(twin.id)
    told = line.daemon.told

    assert len(line.heard.results) == len(camera.sent)
    assert ids == [line.bundle.id] * switch + [twin.id] * (len(ids) - switch)
    assert switch >= 10
    assert {results[serial]["bundle"]["id"] for serial in camera.sent[sent:]} == {twin.id}
    assert [results[serial]["verdict"] for serial in camera.sent] == [
        "NG" if n % 3 == 2 else "OK" for n in range(len(camera.sent))
    ]
    assert status == f"STATUS=reloaded: {STATION} washer {twin.id}"
    assert told[told.index("RELOADING=1") + 1].startswith("MONOTONIC_USEC=")
    assert line.heard.last("recipe")["available"][0]["bundle"] == twin.id
    assert "0" not in [heard.payload.decode() for heard in line.heard.heard if heard.topic == "plc/ready"][1:]


def test_a_reload_stands_in_the_audit_trail(line: Line) -> None:
    """Who: `reload`; what: settings, bundles and thresholds that count from then on."""
    twin = a_twin(line.bundle, line.folder / "twin", 7)
    point(line.link, twin.path)
    line.reload()
    command, by, status, payload = until(lambda: line.audit()[1:], "the second row")[0]

    assert (command, by, status) == ("settings", "reload", "changed")
    assert json.loads(payload)["parts"]["washer"]["bundle"] == twin.id


def test_what_fails_its_checks_changes_nothing(line: Line) -> None:
    """A broken bundle, then broken settings: alarm, status, audit row, and the old ones go on; until all is well."""
    good = line.config.read_text()
    twin = a_twin(line.bundle, line.folder / "twin", 7)
    graph = twin.path / "network.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    point(line.link, twin.path)
    faults = {
        "is not what was accepted": good,
        "is not TOML": good + "[",
        "unknown setting `colour`": good + 'colour = "red"\n',
        "station 1, deadline_ms: expected 10 or more": good.replace("deadline_ms = 10000", "deadline_ms = 9"),
        "state_dir cannot be changed": good.replace('state_dir = "state"', 'state_dir = "elsewhere"'),
        "mqtt.port cannot be changed": good.replace("[mqtt]\nport", "[mqtt]\nport = 1\n#"),
        "is active, it cannot be removed": good.replace('name = "washer"', 'name = "bracket"'),
    }
    for n, (why, text) in enumerate(faults.items()):
        line.config.write_text(text)

        assert why in line.reload()
        assert line.judge(f"after-{n}")["bundle"]["id"] == line.bundle.id
    until(lambda: "reload" in line.heard.last("alarms")["active"], "the alarm")
    refused = until(lambda: [row for row in line.audit() if row[0] == "reload"][6:], "the last refusal")
    until(lambda: any(", reload refused: " in word for word in line.daemon.told[-4:]), "the status goes on saying it")
    graph.write_bytes(whole)
    line.config.write_text(good)

    assert refused[0][1:3] == ("reload", "rejected")
    assert "is active" in refused[0][3]
    assert line.reload() == f"STATUS=reloaded: {STATION} washer {twin.id}"
    assert line.judge("well")["bundle"]["id"] == twin.id
    until(lambda: "reload" not in line.heard.last("alarms")["active"], "the alarm is over")


def test_approve_and_reload_is_a_change_and_rollback_and_reload_takes_it_back(
    line: Line, run: Callable[..., tuple[int, str, str]]
) -> None:
    """The whole change process, with names: nobody edits settings, nothing stops."""
    twin = a_twin(line.bundle, line.folder / "taught" / "twin", 7)
    judged = [line.judge("before")["bundle"]["id"]]
    line.link.unlink()
    for n, words in enumerate(
        [
            ("approve", line.bundle.path, line.link, "--by", "J. Smith"),
            ("approve", twin.path, line.link, "--by", "J. Smith"),
            ("rollback", line.link, "--by", "M. Rossi"),
        ]
    ):
        assert run("bundle", *words)[0] == 0
        assert line.reload().startswith("STATUS=reloaded")
        judged.append(line.judge(f"after-{n}")["bundle"]["id"])

    assert judged == [line.bundle.id, line.bundle.id, twin.id, line.bundle.id]


def test_a_part_may_be_added_and_taken_away(line: Line) -> None:
    """The new one can be changed over to; what was there keeps its bundle and is not opened again."""
    good = line.config.read_text()
    twin = a_twin(line.bundle, line.folder / "twin", 7)
    line.config.write_text(f'{good}[[station.part]]\nname = "bracket"\nbundle = "{twin.path}"\n')
    added = line.reload()
    line.heard.send("plc/cmd/part", "bracket")
    until(lambda: line.heard.last("recipe")["active"] == "bracket", "the new part is active")
    until(lambda: line.heard.last("plc/ready") == "1", "the station is ready")
    judged = line.judge("B1")
    active = line.reload()
    line.config.write_text(good)
    kept = line.reload()

    assert added == f"STATUS=reloaded: {STATION} washer {line.bundle.id}, {STATION} bracket {twin.id}"
    assert (judged["part"], judged["bundle"]["id"], judged["verdict"]) == ("bracket", twin.id, "OK")
    assert active == added
    assert "part bracket is active" in kept
    assert line.judge("B2")["part"] == "bracket"


BASE: dict[str, Any] = {
    "station": [
        {"name": "st1", "source": {"kind": "folder", "path": "/in"}, "part": [{"name": "washer", "bundle": "/b"}]}
    ]
}


def changed(**change: Any) -> Settings:  # noqa: ANN401 - a test factory
    """Return settings whose station or top level differs."""
    values = json.loads(json.dumps(BASE))
    for key, value in change.items():
        (values["station"][0] if key in ("part", "source", "queue", "deadline_ms", "name") else values)[key] = value
    return Settings(**values)


@pytest.mark.parametrize(
    "change",
    [
        {"part": [{"name": "washer", "bundle": "/other"}]},
        {"part": [{"name": "washer", "bundle": "/b", "quality_off": ["moved"]}]},
        {"part": [{"name": "washer", "bundle": "/b"}, {"name": "bracket", "bundle": "/c"}]},
    ],
)
def test_parts_and_bundles_change_between_two_images(change: dict[str, Any]) -> None:
    """Nothing is stopped for them."""
    check_changeable(changed(), changed(**change))

    assert changed_stations(changed(), changed(**change)) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"source": {"kind": "folder", "path": "/other"}},
        {"source": {"kind": "capture", "device": "0"}},
        {"queue": 3},
        {"deadline_ms": 500},
        {"name": "st2"},
        {"part": [{"name": "washer", "bundle": "/b", "view": [{"name": "top"}, {"name": "side"}]}]},
    ],
)
def test_a_station_that_is_wired_otherwise_is_replaced(change: dict[str, Any]) -> None:
    """That one alone; the program goes on."""
    check_changeable(changed(), changed(**change))

    assert changed_stations(changed(), changed(**change)) == ("st1",)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"state_dir": "/elsewhere"}, "state_dir"),
        ({"mqtt": {"port": 1884}}, "mqtt.port"),
        ({"mqtt": {"password_file": "/hunter2"}}, "mqtt.password_file"),
        ({"ledger": {"keep_days": 3}}, "ledger.keep_days"),
        ({"mqtt": {"legacy": True}}, "mqtt.legacy"),
        ({"metrics": {"port": 9465}}, "metrics"),
    ],
)
def test_everything_else_needs_a_new_start(change: dict[str, Any], key: str) -> None:
    """The message names the key and what to do, never the value."""
    with pytest.raises(SettingsError, match="systemctl restart") as refused:
        check_changeable(changed(), changed(**change))

    assert str(refused.value).startswith(key)
    assert "hunter2" not in str(refused.value)
