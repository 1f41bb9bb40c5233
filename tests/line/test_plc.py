"""What a PLC sees: live answers only, in one line each, and silence or doubt never lets a part pass."""

import time
from itertools import pairwise
from pathlib import Path

import pytest
from brokers import PATIENCE_S, Mosquitto, until
from daemons import Heard, Subscriber
from plc import Plc, is_newer, parse_word
from stations import Bench, wait_until_ready


def codes(heard: Subscriber) -> list[int]:
    """Return the codes of all words, oldest first."""
    return [parse_word(payload).code for payload in heard.payloads("plc/word")]


def test_the_first_word_is_no_answer(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """Whatever stood there before, connecting takes it away: code 0, then ready."""
    heard.send("plc/word", "7;;1;0;0;0.100;old", retain=True)
    with Bench(tmp_path, broker.port):
        wait_until_ready(heard)
        with Subscriber(broker.port, only="plc/word") as late:
            until(lambda: late.payloads("plc/word"), "the retained word")

    assert codes(late)[0] == 0
    order = [message.topic for message in heard.heard if message.topic in ("plc/word", "plc/ready")]
    assert order.index("plc/word") < order.index("plc/ready")


@pytest.mark.parametrize(("level", "code", "defects"), [(0.5, 1, "0"), (2.0, 2, "1")])
def test_a_judged_part_is_a_word(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber, level: float, code: int, defects: str
) -> None:
    """Verdict, defects, score and serial in one message, because one message is atomic."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        bench.send("S;1", level)
        until(lambda: code in codes(heard), "the answer")
        word = next(p.decode() for p in heard.payloads("plc/word") if parse_word(p).code == code)
        until(lambda: heard.last("plc/total") == "1", "the display values")

    _seq, trigger_id, found, error, blobs, score, serial = word.split(";")
    assert (trigger_id, found, error, blobs, score, serial) == ("", str(code), "0", defects, f"{level:.3f}", "S_1")
    assert heard.last("plc/verdict") == {1: "OK", 2: "NG"}[code]
    assert heard.last("plc/ng_total") == str(int(code == 2))


def test_a_picture_that_is_none_has_its_reason_in_the_word(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber
) -> None:
    """The PLC's display shows the number that README explains."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        (tmp_path / "empty").write_bytes(b"")
        (tmp_path / "empty").rename(bench.inbox / "S1.png")
        until(lambda: 4 in codes(heard), "INVALID")

    assert any(payload.split(b";")[2:4] == [b"4", b"101"] for payload in heard.payloads("plc/word"))


def test_words_are_numbered_upwards_over_restarts(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """A number that repeats would be taken for old, one that goes back for a word from before."""
    for run in range(3):
        with Bench(tmp_path, broker.port) as bench:
            wait_until_ready(heard)
            bench.send(f"S{run}")
            heard.wait_for_results([f"S{run}"])
        until(lambda: heard.last("plc/ready") == "0", "stopped")

    numbers = [parse_word(payload).seq for payload in heard.payloads("plc/word")]
    assert len(numbers) >= 9
    assert all(is_newer(new, last) for last, new in pairwise(numbers))


def test_a_stop_takes_answer_and_readiness_back(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """After a clean stop nothing retained says that a part may pass."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        bench.send("S1")
        until(lambda: 1 in codes(heard), "the answer")

    until(lambda: heard.last("plc/state") == "2", "Stopped")
    assert heard.last("plc/ready") == "0"
    assert codes(heard)[-1] == 0


def test_what_waited_before_the_start_is_not_for_the_plc(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """An old picture's OK must not let pass the part that stands there now."""
    (tmp_path / "inbox").mkdir()
    bench = Bench(tmp_path, broker.port)
    bench.send("old")
    with bench:
        wait_until_ready(heard)
        heard.wait_for_results(["old"])
        bench.send("new")
        until(lambda: 1 in codes(heard), "the new part's answer")

    words = [parse_word(payload) for payload in heard.payloads("plc/word")]
    assert [word.serial for word in words if word.code] == ["new"]
    assert heard.by_serial()["old"]["replayed"]


def test_what_was_judged_while_the_broker_was_away_is_not_for_the_plc(
    tmp_path: Path, broker: Mosquitto, heard: Subscriber
) -> None:
    """The part has long gone by when the connection comes back."""
    with Bench(tmp_path, broker.port) as bench:
        wait_until_ready(heard)
        broker.kill()
        bench.send("away")
        with bench.opens() as ledger:
            until(lambda: ledger.counters(0).total == 1, "it is judged")
        broker.start()
        with Subscriber(broker.port) as late:
            until(lambda: late.last("plc/ready") == "1", "ready again")
            bench.send("here")
            until(lambda: 1 in codes(late), "the answer")

    words = [parse_word(payload) for payload in late.payloads("plc/word")]
    assert [word.serial for word in words if word.code] == ["here"]


def test_the_heartbeat_counts_and_is_never_retained(tmp_path: Path, broker: Mosquitto, heard: Subscriber) -> None:
    """Three missing beats are a dead station; an old one is no sign of life. How often it beats is the simulation's."""
    with Bench(tmp_path, broker.port):
        until(lambda: len(heard.payloads("plc/heartbeat")) >= 4, "four beats")

    beats = [message for message in heard.heard if message.topic == "plc/heartbeat"]
    numbers = [int(beat.payload) for beat in beats]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert not any(beat.retained for beat in beats)


def test_the_tests_plc_accepts_what_it_should(tmp_path: Path, broker: Mosquitto) -> None:
    """State machine and station agree: good parts pass, a bad one and a silent station do not."""
    plc = Plc(timer_s=PATIENCE_S)

    def hear(heard: Heard) -> None:
        plc.hear(heard.topic, heard.payload, heard.at)

    with Subscriber(broker.port, only="plc/#", hear=hear) as heard:
        with Bench(tmp_path, broker.port) as bench:
            wait_until_ready(heard)
            until(lambda: len(heard.payloads("plc/heartbeat")) >= 3, "heartbeats")
            for serial, level in (("good", 0.5), ("bad", 2.0), ("fine", 0.9)):
                plc.expect(time.monotonic(), serial=serial)
                bench.send(serial, level)
                until(
                    lambda serial=serial: serial in [parse_word(p).serial for p in heard.payloads("plc/word")], "word"
                )
        until(lambda: heard.last("plc/ready") == "0", "stopped")

    assert plc.accepted == ["good", "fine"]
