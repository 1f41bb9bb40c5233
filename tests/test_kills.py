"""The promise: kill the daemon and the broker whenever you like, and every part still has exactly one answer."""

import fcntl
import json
import signal
import sqlite3
import struct
import termios
import threading
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from brokers import Mosquitto, lasting, until
from daemons import STATION, Daemon, Heard, Subscriber, drop, write_settings
from factories import a_part, png
from plc import Plc

from edge_inspector.bundle import Bundle

PARTS = 300
DAEMON_KILLS = 10
BROKER_KILLS = 3
EVERY_S = 0.15
"""A picture comes so often; daemon restarts take about ten times as long, so that pictures pile up too."""
SCRATCHED_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Line:
    """Everything that stands at the line: broker, daemon, SCADA, PLC."""

    folder: Path
    broker: Mosquitto
    daemon: Daemon
    scada: Subscriber
    watcher: Subscriber
    """The PLC's own connection."""
    plc: Plc
    rng: Random
    scratched: set[str] = field(default_factory=set)
    kills: list[float] = field(default_factory=list)
    """When, monotonic."""
    news: threading.Lock = field(default_factory=threading.Lock)
    """The PLC is fed from the network and from the line."""

    def send_part(self, number: int) -> None:
        """Draw a part, let the PLC expect it, and put its picture into the inbox as a camera would."""
        serial = f"part-{number:04d}"
        bad = self.rng.random() < SCRATCHED_SHARE
        if bad:
            self.scratched.add(serial)
        content = png(a_part(1000 + number, scratched=bad))
        with self.news:
            self.plc.expect(time.monotonic(), serial=serial)
        drop(self.folder / "inbox", f"{serial}.png", content)

    def kill_broker(self) -> None:
        """Freeze the broker at this moment, whatever it is doing, kill it a little later and start it later still.

        PUBACK means "the broker has it", not "SCADA has it". A frozen broker has written to SCADA's socket all that
        it acknowledged (mosquitto delivers before it acknowledges), so SCADA reads that socket empty, and then the
        broker dies: what is lost now was lost by us. What we sent to the frozen broker it never read.
        """
        self.broker.signal(signal.SIGSTOP)
        _pass(self.rng.uniform(0, 0.6))
        until(lambda: _unread(self.scada) == 0, "SCADA has read what the broker had sent")
        losses = self.scada.losses
        self.broker.kill()
        until(lambda: self.scada.losses > losses, "SCADA has lost the broker")
        _pass(self.rng.uniform(0, 1))
        self.broker.start()


@pytest.fixture
def line(bundle: Bundle, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Line]:
    """Set up a line with drawn parts; SCADA has a session that the broker saved once, the PLC begins anew each time."""
    rng = Random(request.param)  # noqa: S311 - a test's chance
    plc = Plc()
    news = threading.Lock()

    def hear(heard: Heard) -> None:
        with news:
            plc.hear(heard.topic, heard.payload, heard.at)

    broker = lasting(tmp_path / "broker")
    with broker:
        config = write_settings(tmp_path, bundle=bundle.path, port=broker.port)
        with (
            Daemon(config) as daemon,
            Subscriber(broker.port, session="scada") as scada,
            Subscriber(broker.port, only="plc/#", hear=hear) as watcher,
        ):
            watcher.client.on_disconnect = lambda *_: plc.lose()
            broker.save()
            yield Line(tmp_path, broker, daemon, scada, watcher, plc, rng, news=news)


@pytest.mark.fault("SIGKILL of the daemon (10) and the broker (3) at random points")
@pytest.mark.parametrize("line", [20_261_121], indirect=True, ids=lambda seed: f"seed{seed}")
def test_every_part_has_one_answer_whatever_is_killed(
    line: Line, record_property: Callable[[str, object], None]
) -> None:
    """The daemon is killed ten times and the broker three times while 300 pictures come; not one is lost or doubled."""
    line.daemon.start()
    until(lambda: line.scada.last("plc/ready") == "1", "the line is ready")
    _run_the_line(line)
    serials = [f"part-{number:04d}" for number in range(PARTS)]
    until(lambda: len({result["id"] for result in line.scada.results}) >= PARTS, "300 results")
    until(lambda: line.scada.last("counters")["total"] >= PARTS, "the last counters")
    results = line.scada.results

    assert sorted({(result["serial"], result["id"]) for result in results}) == sorted(
        (result["serial"], result["id"]) for result in _in_ledger(line.folder)
    )
    assert sorted(result["serial"] for result in _in_ledger(line.folder)) == serials
    assert [result["seq"] for result in _in_ledger(line.folder)] == list(range(1, PARTS + 1))
    assert len({result["ledger"] for result in results}) == 1
    _check_copies(results)
    _check_counters(line)
    _check_verdicts(line)
    _check_accepts(line)
    _check_folders(line.folder)
    passed = {serial for serial, result in line.scada.by_serial().items() if result["accept"]}
    record_property("parts in", PARTS)
    record_property("results out", len({result["id"] for result in results}))
    record_property("duplicates", len(results) - len({result["id"] for result in results}))
    record_property("wrong verdicts", len(passed & line.scratched))
    record_property("errors", sum(result["verdict"] == "ERROR" for result in _in_ledger(line.folder)))
    record_property("wrong accepts", len(set(line.plc.accepted) & line.scratched))
    record_property("recovery s", f"{max(_recoveries(line)):.1f}")


def _run_the_line(line: Line) -> None:
    """Send all parts at their pace while another thread kills."""
    when = sorted(line.rng.sample(range(5, PARTS - 5), DAEMON_KILLS + BROKER_KILLS))
    whom = ["daemon"] * DAEMON_KILLS + ["broker"] * BROKER_KILLS
    line.rng.shuffle(whom)
    sent = threading.Semaphore(0)
    failures: list[BaseException] = []
    killer = threading.Thread(target=_kill, args=(line, list(zip(when, whom, strict=True)), sent, failures))
    killer.start()
    begun = time.monotonic()
    for number in range(PARTS):
        line.send_part(number)
        sent.release()
        until(lambda due=begun + (number + 1) * EVERY_S: time.monotonic() >= due, "the next part")
    killer.join()

    assert not failures, failures


def _kill(line: Line, plan: list[tuple[int, str]], sent: threading.Semaphore, failures: list[BaseException]) -> None:
    """Kill whom the plan says, so many parts after the start and some milliseconds."""
    count = 0
    try:
        for after, whom in plan:
            while count < after:
                sent.acquire()
                count += 1
            _pass(line.rng.uniform(0, EVERY_S))
            line.kills.append(time.monotonic())
            if whom == "daemon":
                line.daemon.kill()
                line.daemon.launch()
            else:
                line.kill_broker()
    except BaseException as error:  # noqa: BLE001 - a thread's failure belongs to the test
        failures.append(error)


def _recoveries(line: Line) -> Iterator[float]:
    """Yield the seconds from each kill to the first part that was answered in its own time; none after the last one."""
    live = [
        heard.at for heard in line.scada.heard if heard.topic == "result" and not json.loads(heard.payload)["replayed"]
    ]
    for kill in line.kills:
        yield from (at - kill for at in live[bisect(live, kill) :][:1])


def _check_copies(results: list[dict[str, object]]) -> None:
    """A result that came twice is the same result."""
    texts: dict[object, set[str]] = {}
    for result in results:
        texts.setdefault(result["id"], set()).add(json.dumps(result, sort_keys=True))

    assert {number: len(found) for number, found in texts.items() if len(found) > 1} == {}


def _check_counters(line: Line) -> None:
    verdicts = Counter(result["verdict"] for result in _in_ledger(line.folder))
    counters = line.scada.last("counters")

    assert counters["total"] == PARTS
    assert {verdict: counters[verdict.lower()] for verdict in verdicts} == dict(verdicts)
    assert counters["by_part"] == {"washer": dict(verdicts)}


def _check_verdicts(line: Line) -> None:
    """A part is ERROR only because the program died while it looked; no scratched part is OK, most good ones are."""
    results = line.scada.by_serial()
    crashed = [result for result in results.values() if result["verdict"] == "ERROR"]
    passed = {serial for serial, result in results.items() if result["accept"]}

    assert {result["reason_code"] for result in crashed} <= {208}
    assert len(crashed) <= DAEMON_KILLS
    assert not passed & line.scratched
    assert len(passed) >= 0.7 * (PARTS - len(line.scratched))


def _check_accepts(line: Line) -> None:
    """The PLC let no scratched part pass and none whose result is not OK, and it was not simply asleep."""
    ok = {serial for serial, result in line.scada.by_serial().items() if result["verdict"] == "OK"}

    assert not set(line.plc.accepted) & line.scratched
    assert set(line.plc.accepted) <= ok
    assert len(line.plc.accepted) == len(set(line.plc.accepted))
    assert len(line.plc.accepted) >= 10


def _check_folders(folder: Path) -> None:
    """Every picture was put away, once."""
    inbox = folder / "inbox"
    until(lambda: not list((inbox / ".claimed").iterdir()), "the last picture was put away")

    assert [path.name for path in inbox.iterdir() if not path.name.startswith(".")] == []
    assert len(list((inbox / ".done").rglob("*.png"))) == PARTS


def _in_ledger(folder: Path) -> list[dict[str, object]]:
    with closing(sqlite3.connect(folder / "state" / STATION / "ledger.db")) as ledger:
        rows = ledger.execute("SELECT payload FROM entry WHERE topic = 'result' ORDER BY n").fetchall()
    return [json.loads(row[0]) for row in rows]


def _unread(subscriber: Subscriber) -> int:
    """Return how many bytes wait in a subscriber's socket."""
    connection = subscriber.client.socket()
    if connection is None:
        return 0
    (count,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.FIONREAD, b"\0" * 4))
    return int(count)


def _pass(seconds: float) -> None:
    """Let some time pass: when the kill comes is chance, and the seed's."""
    moment = time.monotonic() + seconds
    until(lambda: time.monotonic() >= moment, "the moment", seconds + 10)
