"""A station or a part whose bundle fails is not ready, says why, and holds up nothing else; the real process."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto, free_port, until
from daemons import Daemon, Subscriber, drop, write_settings
from factories import a_part, a_twin, png

from edge_inspector.bundle import NETWORK, Bundle

OTHER = "edge-inspector/v1/st2"


def write_two(folder: Path, bundle: Path, other: Path, port: int) -> Path:
    """Write settings for st1, judged by `bundle`, and st2, judged by `other`, and return the file."""
    config = write_settings(folder, bundle=bundle, port=port)
    (folder / "other").mkdir()
    config.write_text(
        config.read_text() + f'[[station]]\nname = "st2"\nthreads = 1\ndeadline_ms = 10000\n'
        f'[station.source]\nkind = "folder"\npath = "other"\n'
        f'[[station.part]]\nname = "disc"\nbundle = "{other}"\n'
    )
    return config


def damaged(bundle: Bundle, path: Path) -> None:
    """Write a bundle in which one bit of a graph is another."""
    shutil.copytree(bundle.path, path)
    graph = path / NETWORK
    content = graph.read_bytes()
    graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def other_answers(bundle: Bundle, path: Path) -> None:
    """Write a bundle whose golden images come out otherwise."""
    first, *rest = bundle.manifest.golden
    a_twin(bundle, path, 3, golden=(first.model_copy(update={"score": first.score + 0.5}), *rest))


def other_precision(bundle: Bundle, path: Path) -> None:
    """Write a bundle for int8 without such a network: as good as a processor without the units."""
    detector = bundle.manifest.detector.model_copy(update={"precision": "int8"})
    path.mkdir()
    whole = a_twin(bundle, path / "twin", 3)
    for file in whole.path.iterdir():
        file.rename(path / file.name)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["detector"] = json.loads(detector.model_dump_json())
    (path / "manifest.json").write_text(json.dumps(manifest))


def missing(_bundle: Bundle, _path: Path) -> None:
    """Write nothing."""


def a_loop(_bundle: Bundle, path: Path) -> None:
    """Make a link to itself."""
    path.symlink_to(path)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker."""
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


FAULTS = {
    missing: "is not a bundle",
    damaged: "is not what was accepted",
    other_answers: "gives other answers here",
    other_precision: "is not what was accepted",
    a_loop: "disc-bundle",
}


@pytest.mark.parametrize(("spoil", "why"), FAULTS.items())
def test_one_station_runs_while_the_other_has_no_bundle(
    bundle: Bundle, broker: Mosquitto, tmp_path: Path, spoil: Callable[[Bundle, Path], None], why: str
) -> None:
    """READY for the one; the other is ERROR with its reason, not ready, answers what comes, and a reload heals it."""
    place = tmp_path / "disc-bundle"
    spoil(bundle, place)
    config = write_two(tmp_path, bundle.path, place, broker.port)
    with (
        Subscriber(broker.port) as heard,
        Subscriber(broker.port, base=OTHER) as other,
        Daemon(config) as daemon,
    ):
        daemon.start()
        until(lambda: heard.last("plc/ready") == "1", "the healthy station is ready")
        until(lambda: other.last("health")["state"] == "ERROR", "the other is ERROR")
        until(lambda: other.last("alarms")["active"] == ["bundle"], "its alarm")
        drop(tmp_path / "inbox", "well.png", png(a_part(1)))
        drop(tmp_path / "other", "ill.png", png(a_part(1)))
        well, ill = heard.wait_for_results(["well"])["well"], other.wait_for_results(["ill"])["ill"]
        ready, health, log = other.last("plc/ready"), other.last("health"), daemon.words()
        event = other.last("event")
        if place.is_symlink() or not place.exists():
            place.unlink(missing_ok=True)
        else:
            shutil.rmtree(place)
        shutil.copytree(bundle.path, place)
        os.kill(daemon.pid, signal.SIGHUP)
        until(lambda: other.last("plc/ready") == "1", "the other is ready after the reload")
        drop(tmp_path / "other", "healed.png", png(a_part(1)))
        healed = other.wait_for_results(["healed"])["healed"]
        until(lambda: other.last("alarms")["active"] == [], "its alarm is over")

        assert daemon.stop() == 0

    assert (well["verdict"], ill["verdict"], healed["verdict"]) == ("OK", "ERROR", "OK")
    assert why in ill["reason"]
    assert (ready, event["code"]) == ("0", "bundle")
    assert why in health["last_error"]
    assert why in event["message"]
    assert "station st2, part disc cannot be judged: " in log
    assert "READY: st1\n" in log


def test_a_trigger_to_the_station_without_a_bundle_is_rejected(
    bundle: Bundle, broker: Mosquitto, tmp_path: Path
) -> None:
    """A PLC that asks all the same gets an answer, and no image is taken."""
    config = write_two(tmp_path, bundle.path, tmp_path / "nothing", broker.port)
    text = config.read_text()
    folder = 'kind = "folder"\npath = "other"'
    config.write_text(text.replace(folder, 'kind = "capture"\ndevice = "/dev/no-camera"\ntrigger = "mqtt"'))
    with Subscriber(broker.port, base=OTHER) as other, Daemon(config) as daemon:
        daemon.start()
        until(lambda: other.last("health")["state"] == "ERROR", "ERROR")
        other.send("plc/cmd/trigger", "7")
        other.send("cmd/trigger", json.dumps({"correlation_id": "t1", "by": "Maria", "args": {}}))
        words = until(lambda: [w for w in other.payloads("plc/word") if w.split(b";")[1] == b"7"], "the word")
        ack = until(lambda: other.payloads("ack"), "the ack")[0]

    assert words[0].split(b";")[2] != b"1"
    assert json.loads(ack)["status"] == "rejected"


def test_without_any_station_that_can_judge_the_program_ends(tmp_path: Path) -> None:
    """There is nothing to be ready for; the status is that of bad data, and each reason is told."""
    config = write_two(tmp_path, tmp_path / "gone-1", tmp_path / "gone-2", free_port())
    with Daemon(config) as daemon:
        status = daemon.launch().wait()

    assert status == 65
    assert "gone-1 is not a bundle" in daemon.words()
    assert "gone-2 is not a bundle" in daemon.words()
    assert "READY=1" not in daemon.told


def test_a_part_whose_bundle_fails_is_alone_not_ready(bundle: Bundle, broker: Mosquitto, tmp_path: Path) -> None:
    """The other part goes on; a change to the broken one is refused, which is an alarm, until a reload heals it."""
    config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
    place = tmp_path / "bracket-bundle"
    config.write_text(config.read_text() + f'[[station.part]]\nname = "bracket"\nbundle = "{place}"\n')
    with Subscriber(broker.port) as heard, Daemon(config) as daemon:
        daemon.start()
        until(lambda: heard.last("plc/ready") == "1", "ready with the healthy part")
        until(lambda: heard.last("alarms")["active"] == ["part_not_ready"], "the warning")
        heard.send("plc/cmd/part", "bracket")
        until(lambda: heard.last("alarms")["active"] == ["changeover", "part_not_ready"], "the alarm")
        drop(tmp_path / "inbox", "one.png", png(a_part(1)))
        judged = heard.wait_for_results(["one"])["one"]
        until(lambda: heard.last("plc/ready") == "1", "still ready")
        place.symlink_to(bundle.path)
        os.kill(daemon.pid, signal.SIGHUP)
        until(lambda: "part_not_ready" not in heard.last("alarms")["active"], "the warning is over")
        heard.send("plc/cmd/part", "bracket")
        until(lambda: heard.last("recipe")["active"] == "bracket", "the change")
        until(lambda: heard.last("alarms")["active"] == [], "all is well")

    assert (judged["part"], judged["verdict"]) == ("washer", "OK")


def test_a_reload_that_would_take_a_bundle_away_is_refused(bundle: Bundle, broker: Mosquitto, tmp_path: Path) -> None:
    """A part that can be judged stays so; only one that could not before may go on without."""
    place = tmp_path / "disc-bundle"
    shutil.copytree(bundle.path, place)
    config = write_two(tmp_path, bundle.path, place, broker.port)
    with Subscriber(broker.port, base=OTHER) as other, Daemon(config) as daemon:
        daemon.start()
        until(lambda: other.last("plc/ready") == "1", "ready")
        shutil.rmtree(place)
        os.kill(daemon.pid, signal.SIGHUP)
        until(lambda: "reload" in other.last("alarms")["active"], "refused")

        assert other.last("plc/ready") == "1"
        assert "station st2, part disc: " in " ".join(daemon.told)


def test_check_names_every_bundle_that_fails(
    bundle: Bundle, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    """Before commissioning all of them are wanted; litter in a good one is worth a note."""
    good = tmp_path / "good"
    shutil.copytree(bundle.path, good)
    (good / "Thumbs.db").write_bytes(b"x")
    config = write_two(tmp_path, good, tmp_path / "gone", free_port())
    status, said, _ = run("check", "--config", config, "--json")
    found = [(one["good"], one["needed"], one["detail"]) for one in json.loads(said) if ", part " in one["what"]]

    assert status == 1
    assert [(good, needed) for good, needed, _ in found] == [(True, True), (False, False), (False, True)]
    assert "Thumbs.db" in found[1][2]
    assert "gone is not a bundle" in found[2][2]


def test_litter_is_logged_once_at_the_start(bundle: Bundle, broker: Mosquitto, tmp_path: Path) -> None:
    """And the line runs."""
    place = tmp_path / "littered"
    shutil.copytree(bundle.path, place)
    (place / ".DS_Store").write_bytes(b"x")
    with Subscriber(broker.port) as heard, Daemon(write_settings(tmp_path, bundle=place, port=broker.port)) as daemon:
        daemon.start()
        until(lambda: heard.last("plc/ready") == "1", "ready")

        assert daemon.words().count(".DS_Store: left there by a file manager") == 1
