"""A changeover: the PLC is told to wait, the new part's bundle proves itself, and only then is it the one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from brokers import Mosquitto, until
from daemons import Daemon, Subscriber, drop, write_settings
from factories import a_part, png
from stations import Bench, wait_until_ready

from edge_inspector.bundle import Bundle

PARTS = ("washer", "bracket")


@pytest.fixture
def bench(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> Iterator[Bench]:
    """Run a station that knows two parts."""
    with a_bench(tmp_path, broker) as bench:
        wait_until_ready(heard)
        yield bench


def a_bench(folder: Path, broker: Mosquitto) -> Bench:
    """Return a station that knows two parts."""
    return Bench(folder, broker.port, part=[{"name": name, "bundle": folder / name} for name in PARTS])


def change(heard: Subscriber, part: Any, correlation_id: str = "c1") -> list[tuple[str, str]]:  # noqa: ANN401 - any JSON
    """Ask for a part and return the answers' status and reason, the last one being final."""
    command = {"correlation_id": correlation_id, "by": "Maria", "args": {"part": part}}
    heard.send("cmd/part", json.dumps(command))

    def found() -> list[tuple[str, str]]:
        acks = [json.loads(payload) for payload in heard.payloads("ack")]
        mine = [(ack["status"], ack["reason"]) for ack in acks if ack["correlation_id"] == correlation_id]
        return mine if mine and mine[-1][0] != "accepted" else []

    return until(found, "the final answer")


def test_the_plc_waits_while_the_part_changes(bench: Bench, heard: Subscriber) -> None:
    """Code 0 first, then ready 0, then the new part, then ready 1: no word of the old part counts for the new one."""
    bench.send("S1")
    heard.wait_for_results(["S1"])
    until(lambda: heard.last("plc/word").endswith("S1"), "its word")
    wait_until_ready(heard)
    begin = len(heard.heard)
    answers = change(heard, "bracket")
    until(lambda: heard.last("recipe")["active"] == "bracket", "the new part is active")
    wait_until_ready(heard)
    until(lambda: [h for h in heard.heard[begin:] if h.topic == "plc/ready"][1:], "ready falls and rises")
    said = [(h.topic, h.payload) for h in heard.heard[begin:] if h.topic in ("plc/word", "plc/ready")]

    assert [status for status, _ in answers] == ["accepted", "done"]
    assert [topic for topic, _ in said] == ["plc/word", "plc/ready", "plc/ready"]
    assert said[0][1].split(b";")[1:3] == [b"", b"0"]
    assert [payload for _, payload in said[1:]] == [b"0", b"1"]


def test_the_part_is_bound_when_its_image_is_accepted(bench: Bench, heard: Subscriber) -> None:
    """What waits in the queue while the part changes is judged as what it was."""
    bench.hold.clear()
    for serial in ("old-1", "old-2"):
        bench.send(serial)
        until(lambda: not list(bench.inbox.glob("*.png")), "the image is claimed")
    command = {"correlation_id": "c1", "by": "Maria", "args": {"part": "bracket"}}
    heard.send("cmd/part", json.dumps(command))
    until(lambda: heard.last("plc/ready") == "0", "the changeover has begun")
    bench.hold.set()
    until(lambda: heard.last("recipe")["active"] == "bracket", "the new part is active")
    bench.send("new")
    results = heard.wait_for_results(["old-1", "old-2", "new"])

    assert {serial: result["part"] for serial, result in results.items()} == {
        "old-1": "washer",
        "old-2": "washer",
        "new": "bracket",
    }


def test_the_active_part_is_kept_over_a_restart(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """After a power cut the station does not judge brackets as washers."""
    with a_bench(tmp_path, broker):
        wait_until_ready(heard)
        change(heard, "bracket")
    with a_bench(tmp_path, broker) as bench:
        until(lambda: heard.payloads("info")[1:], "the second run")
        wait_until_ready(heard)
        bench.send("S1")
        result = heard.wait_for_results(["S1"])["S1"]

    assert result["part"] == "bracket"
    assert heard.last("recipe")["active"] == "bracket"


@pytest.mark.parametrize("part", ["no-such-part", "", "Washer", 5, True])
def test_an_unknown_part_is_refused(bench: Bench, heard: Subscriber, part: object) -> None:
    """Nothing changes, and the answer names the parts that are known."""
    ready = len(heard.payloads("plc/ready"))
    answers = change(heard, part)

    assert answers[0][0] == "rejected"
    assert "washer, bracket" in answers[0][1]
    assert heard.last("recipe")["active"] == "washer"
    assert len(heard.payloads("plc/ready")) == ready
    assert bench.inbox.exists()


def test_a_part_whose_golden_check_fails_is_not_changed_over_to(bench: Bench, heard: Subscriber) -> None:
    """The old part stays active and goes on being judged; the answer says why."""
    bench.golden["bracket"] = ("good-1.png: expected OK, got NG",)
    answers = change(heard, "bracket")
    wait_until_ready(heard)
    bench.send("S1")
    result = heard.wait_for_results(["S1"])["S1"]

    assert [status for status, _ in answers] == ["accepted", "rejected"]
    assert "good-1.png" in answers[-1][1]
    assert result["part"] == "washer"
    with bench.opens() as ledger:
        assert ledger.state.active_part() in ("", "washer")


def test_one_changeover_at_a_time(bench: Bench, heard: Subscriber) -> None:
    """The second one is told to wait, not mixed with the first."""
    bench.hold.clear()
    bench.send("S1")
    until(lambda: not list(bench.inbox.glob("*.png")), "the judging thread is at work")
    first = {"correlation_id": "first", "by": "Maria", "args": {"part": "bracket"}}
    heard.send("cmd/part", json.dumps(first))
    until(lambda: heard.last("ack"), "the first is accepted")
    second = change(heard, "washer", "second")
    bench.hold.set()
    until(lambda: heard.last("recipe")["active"] == "bracket", "the first is carried out")

    assert second == [("rejected", "part is still going on")]


def test_the_plc_may_change_the_part(bench: Bench, heard: Subscriber) -> None:
    """The line's own recipe management: a name on plc/cmd/part, ready is the answer."""
    heard.send("plc/cmd/part", "bracket")
    until(lambda: heard.last("recipe")["active"] == "bracket", "the new part is active")
    wait_until_ready(heard)
    with bench.opens() as ledger:
        trail = ledger._db.execute("SELECT command, by, payload FROM audit WHERE by <> 'start'").fetchall()

    assert trail == [
        ("plc/part", "plc", "bracket"),
        ("changeover", "plc", '{"from": "washer", "to": "bracket", "problem": ""}'),
    ]


def test_a_bundle_that_changed_since_the_start_fails_its_self_check(
    bundle: Bundle, broker: Mosquitto, tmp_path: Path
) -> None:
    """The real daemon and a real bundle: a golden image that is another one, then one that is gone."""
    copy = tmp_path / "washer"
    shutil.copytree(bundle.path, copy)
    golden = copy / bundle.manifest.golden[0].image
    accepted = golden.read_bytes()
    config = write_settings(tmp_path / "station", bundle=copy, port=broker.port)
    with Subscriber(broker.port) as heard, Daemon(config) as daemon:
        daemon.start()
        wait_until_ready(heard)
        assert _self_check(heard, "1") == "done"
        golden.write_bytes(bytes(cv2.imencode(".png", a_part(3, scratched=True)[::-1])[1]))
        assert _self_check(heard, "2") == "rejected"
        until(lambda: heard.last("plc/ready") == "0", "not ready")
        golden.unlink()
        assert _self_check(heard, "3") == "rejected"
        golden.write_bytes(accepted)
        assert _self_check(heard, "4") == "done"
        wait_until_ready(heard)
        drop(tmp_path / "station" / "inbox", "S1.png", png(a_part(1)))

        assert heard.wait_for_results(["S1"])["S1"]["verdict"] == "OK"


def _self_check(heard: Subscriber, correlation_id: str) -> str:
    heard.send("cmd/self_check", json.dumps({"correlation_id": correlation_id, "by": "Maria"}))

    def final() -> str:
        acks = [json.loads(payload) for payload in heard.payloads("ack")]
        mine = [ack["status"] for ack in acks if ack["correlation_id"] == correlation_id]
        return str(mine[1]) if len(mine) > 1 else ""

    return until(final, "the answer to the self check")
