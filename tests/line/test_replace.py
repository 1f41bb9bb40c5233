"""A reload replaces the one station whose wiring changed, the others go on; the real process, images all the while."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from brokers import Mosquitto, until
from daemons import Daemon, Subscriber, write_settings
from factories import a_twin
from test_reload import Camera

from edge_inspector.bundle import Bundle

OTHER = "edge-inspector/v1/st2"
SECOND = """
[[station]]
name = "st2"
threads = 1
queue = 1000
deadline_ms = 10000
[station.source]
kind = "folder"
path = "other/in"
[[station.part]]
name = "disc"
bundle = "{bundle}"
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A daemon with two stations, and who hears them."""

    folder: Path
    config: Path
    daemon: Daemon
    first: Subscriber
    second: Subscriber
    bundle: Bundle

    def reload(self, text: str) -> str:
        """Write these settings, send SIGHUP, and return the status that comes with the new READY."""
        self.config.write_text(text)
        before = self.daemon.told.count("READY=1")
        os.kill(self.daemon.pid, signal.SIGHUP)
        until(lambda: self.daemon.told.count("READY=1") > before, "READY after the reload")
        said = self.daemon.told
        ready = max(n for n, word in enumerate(said) if word == "READY=1")
        return until(lambda: said[ready + 1] if len(said) > ready + 1 else "", "its status")


@pytest.fixture
def pair(bundle: Bundle, tmp_path: Path) -> Iterator[Pair]:
    """Run two stations."""
    folder = tmp_path / "stations"
    (folder / "other" / "in").mkdir(parents=True)  # cameras write beside their folder
    with Mosquitto(tmp_path / "broker") as broker:
        keys = "deadline_ms = 10000\nqueue = 1000"  # a full queue is not ready, and a busy machine is slow
        config = write_settings(folder, bundle=bundle.path, port=broker.port, station_keys=keys)
        config.write_text(config.read_text() + SECOND.format(bundle=bundle.path))
        with (
            Subscriber(broker.port) as first,
            Subscriber(broker.port, base=OTHER) as second,
            Daemon(config, {"WATCHDOG_USEC": "8000000"}) as daemon,
        ):
            daemon.start()
            for heard in (first, second):
                until(lambda heard=heard: heard.last("plc/ready") == "1", "the station is ready")
            yield Pair(folder, config, daemon, first, second, bundle)


def one_each(heard: Subscriber, sent: list[str]) -> dict[str, dict[str, Any]]:
    """Return the results when each part that was sent has one, and see that none has two."""
    found = heard.wait_for_results(sent, 60)
    ids = [result["id"] for result in heard.results]

    assert sorted(result["serial"] for result in heard.results) == sorted(sent)
    assert len(set(ids)) == len(ids)
    return found


def test_another_deadline_replaces_one_station_and_stops_no_other(pair: Pair) -> None:
    """Every part is answered once in both; the other is never unready, and none of its parts is replayed or late."""
    good = pair.config.read_text()
    with Camera(pair.folder / "inbox", 0.2) as changing, Camera(pair.folder / "other" / "in", 0.2) as steady:
        until(lambda: len(pair.first.results) >= 10 and len(pair.second.results) >= 10, "ten parts in each")
        status = pair.reload(good.replace("deadline_ms = 10000", "deadline_ms = 9000", 1))
        sent = len(steady.sent)
        until(lambda: len(steady.sent) >= sent + 10, "ten more parts")
        until(lambda: pair.first.last("plc/ready") == "1", "the new station is ready")
        fed = pair.daemon.told.count("WATCHDOG=1")
        until(lambda: pair.daemon.told.count("WATCHDOG=1") >= fed + 2, "the watchdog is fed")
    first, second = one_each(pair.first, changing.sent), one_each(pair.second, steady.sent)

    assert status.startswith("STATUS=reloaded: ")
    for found, camera in ((first, changing), (second, steady)):
        verdicts = [found[serial]["verdict"] for serial in camera.sent]
        assert verdicts == ["NG" if n % 3 == 2 else "OK" for n in range(len(verdicts))]
    assert not [result for result in second.values() if result["replayed"]]
    assert b"0" not in pair.second.payloads("plc/ready")[1:]
    assert pair.second.payloads("availability")[-1:] == [b"online"]
    assert b"0" in pair.first.payloads("plc/ready")[1:]
    assert pair.daemon.stop() == 0


def test_another_folder_is_watched_and_what_was_claimed_in_the_old_one_is_answered(pair: Pair) -> None:
    """Nothing stays between the two folders."""
    good = pair.config.read_text()
    (pair.folder / "elsewhere" / "in").mkdir(parents=True)
    with Camera(pair.folder / "inbox", 0.2) as old:
        until(lambda: len(pair.first.results) >= 5, "five parts")
    with Camera(pair.folder / "elsewhere" / "in", 0.2) as new:
        pair.reload(good.replace('path = "inbox"', 'path = "elsewhere/in"'))
        until(lambda: len(pair.first.results) >= len(old.sent) + 5, "five more")
    left = [path.name for path in (pair.folder / "inbox").glob("*.png")]
    found = pair.first.wait_for_results(new.sent[1:] if left else new.sent, 60)

    assert list((pair.folder / "inbox" / ".claimed").rglob("*.png")) == []
    assert len(pair.first.results) == len({result["id"] for result in pair.first.results})
    assert found


def test_two_stations_may_change_their_folders(pair: Pair) -> None:
    """Both have let go before either begins."""
    good = pair.config.read_text()
    swapped = good.replace('path = "inbox"', 'path = "x"').replace('path = "other/in"', 'path = "inbox"')
    pair.reload(swapped.replace('path = "x"', 'path = "other/in"'))
    with Camera(pair.folder / "inbox", 0.2) as seconds, Camera(pair.folder / "other" / "in", 0.2) as firsts:
        until(lambda: len(firsts.sent) > 5, "some parts")

    one_each(pair.first, firsts.sent)
    one_each(pair.second, seconds.sent)


def test_a_station_comes_and_another_goes(pair: Pair) -> None:
    """The one that is gone says so; the third begins; the first never stops."""
    good = pair.config.read_text()
    (pair.folder / "third" / "in").mkdir(parents=True)
    third = SECOND.format(bundle=pair.bundle.path).replace("st2", "st3").replace("other", "third")
    with Camera(pair.folder / "inbox", 0.2) as steady, Subscriber(pair.first._port, base=OTHER[:-1] + "3") as heard:
        until(lambda: len(pair.first.results) >= 5, "five parts")
        status = pair.reload(good.partition('[[station]]\nname = "st2"')[0] + third)
        until(lambda: heard.last("plc/ready") == "1", "the third is ready")
        until(lambda: pair.second.last("availability") == "offline", "the second is gone")
        until(lambda: pair.second.last("plc/ready") == "0", "and not ready")
        with Camera(pair.folder / "third" / "in", 0.2) as coming:
            until(lambda: len(coming.sent) >= 5, "some parts")
        one_each(heard, coming.sent)
    one_each(pair.first, steady.sent)

    assert "st3 disc" in status
    assert "st2" not in status
    assert b"0" not in pair.first.payloads("plc/ready")[1:]
    assert pair.daemon.stop() == 0


def test_what_is_wrong_replaces_nothing(pair: Pair) -> None:
    """A new deadline here and a missing bundle there: all or nothing."""
    good = pair.config.read_text()
    wrong = good.replace("deadline_ms = 10000", "deadline_ms = 9000", 1) + (
        '[[station.part]]\nname = "bracket"\nbundle = "nowhere"\n'
    )
    refused = pair.reload(wrong)

    assert "station st2, part bracket: " in refused
    assert b"0" not in pair.first.payloads("plc/ready")[1:]
    assert pair.reload(good).startswith("STATUS=reloaded")


def test_a_paused_station_stays_paused(pair: Pair) -> None:
    """Whoever paused it did not mean until somebody changes a deadline."""
    pair.first.send("cmd/pause", '{"correlation_id": "p1", "by": "Maria"}')
    until(lambda: pair.first.last("health")["state"] == "PAUSED", "paused")
    good = pair.config.read_text()
    pair.reload(good.replace("deadline_ms = 10000", "deadline_ms = 9000", 1))
    until(lambda: pair.first.payloads("availability")[-2:] == [b"offline", b"online"], "the new station")
    until(lambda: pair.first.last("health")["state"] == "PAUSED", "still paused")

    assert pair.first.last("plc/ready") == "0"


def test_a_new_bundle_and_a_new_deadline_at_once(pair: Pair) -> None:
    """One station is replaced, the other takes up its bundle between two images."""
    twin = a_twin(pair.bundle, pair.folder / "twin", 7)
    good = pair.config.read_text()
    head, _, tail = good.replace("deadline_ms = 10000", "deadline_ms = 9000", 1).partition('name = "disc"')
    with Camera(pair.folder / "inbox", 0.2) as changing, Camera(pair.folder / "other" / "in", 0.2) as steady:
        until(lambda: len(pair.second.results) >= 5, "five parts")
        pair.reload(f'{head}name = "disc"{tail.replace(str(pair.bundle.path), str(twin.path))}')
        sent = len(steady.sent)
        until(lambda: len(steady.sent) >= sent + 5, "five more")
    one_each(pair.first, changing.sent)
    found = one_each(pair.second, steady.sent)

    assert {found[serial]["bundle"]["id"] for serial in steady.sent[sent:]} == {twin.id}
    assert b"0" not in pair.second.payloads("plc/ready")[1:]


def test_the_end_comes_in_the_middle_of_a_replacement(pair: Pair) -> None:
    """SIGTERM while a station is replaced: a clean end, and the next start answers what waits."""
    good = pair.config.read_text()
    with Camera(pair.folder / "inbox", 0.2) as camera:
        until(lambda: len(pair.first.results) >= 5, "five parts")
        pair.config.write_text(good.replace("deadline_ms = 10000", "deadline_ms = 9000", 1))
        os.kill(pair.daemon.pid, signal.SIGHUP)
        until(lambda: "RELOADING=1" in pair.daemon.told, "the reload begins")

        assert pair.daemon.stop() == 0
    until(lambda: pair.first.last("availability") == "offline", "offline")
    pair.daemon.start()
    one_each(pair.first, camera.sent)
