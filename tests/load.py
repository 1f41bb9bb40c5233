"""`make load`: how many stations one broker, one dashboard and one subscriber carry, measured on this machine.

Simulated stations are the real results, state and PLC connections with real ledgers; camera and judge are missing.
Each row is a number of stations and parts a second; a row where something falls behind is the last. Then the broker is
killed, and all comes back. `--light` has two clients say what stations would say, at a tenth of the cost, to find where
the others fall behind. `--workers` measures what pools of 1, 2 and 4 workers judge instead.
"""

import argparse
import json
import math
import multiprocessing
import os
import queue
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import paho.mqtt.client as mqtt
from brokers import Mosquitto, until
from daemons import let_go
from factories import a_part, a_result_builder
from fleets import fleet
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_inspector.inspection.overlays import thumbnail
from edge_inspector.line.broker.link import ConnectionOptions, Inbox, Will
from edge_inspector.line.broker.plc import Plc
from edge_inspector.line.broker.publisher import NewResults, Publisher
from edge_inspector.line.broker.state import State, StateValue
from edge_inspector.line.health.readiness import Ready
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.line.ticks import Answered, Worker
from edge_inspector.settings import SHIFTS, MqttSettings
from edge_inspector.wire.messages import AvailablePart, Info, RecipeMessage, utc
from edge_inspector.wire.topics import DEFAULT_ROOT, topic_of

_IN_ONE_PROCESS = 40
"""Stations; each has about twenty descriptors, and paho's select() takes none above 1024."""
_BEHIND_S = 2.0
"""A result that comes so late at the 95th of a hundred means that something has fallen behind."""
_DRAIN_S = 15.0
_BROKER = (
    "allow_anonymous true\nmax_queued_messages 20000\nmax_queued_bytes 100000000\nmax_inflight_messages 100\n"
    "sys_interval 1\nmax_connections -1"
)
"""As configs/mosquitto has it, without logins and encryption."""


@dataclass(frozen=True, slots=True)
class Talkers:
    """One simulated station: its ledger and its three connections."""

    name: str
    ledger: Path
    inboxes: dict[str, Inbox]
    threads: tuple[threading.Thread, ...]

    def opens(self) -> Ledger:
        """Open the ledger."""
        return open_ledger(self.ledger, lambda: self.name, time.time_ns)

    def judge(self, ledger: Ledger, number: int, thumb: bytes) -> None:
        """Commit and announce the answer to a part, as a daemon does."""
        build = a_result_builder(id=f"{self.name}-{number}", station=self.name, captured_ns=time.time_ns())
        result = ledger.results.record(build, thumb)
        assert result is not None
        answered = Answered(result, thumb, live=True)
        self.inboxes["plc"].put(answered)
        self.inboxes["results"].put(NewResults())
        self.inboxes["state"].put(answered)


def talk(name: str, folder: Path, port: int, stop: threading.Event) -> Talkers:
    """Begin a station."""
    base = f"{DEFAULT_ROOT}/{name}"
    settings = MqttSettings(port=port)
    inboxes: dict[str, Inbox] = {kind: queue.SimpleQueue() for kind in ("results", "state", "plc")}
    path = folder / name / "ledger.db"
    path.parent.mkdir(parents=True)
    rng = Random(name)  # noqa: S311 - jitter

    def opens() -> Ledger:
        return open_ledger(path, lambda: name, time.time_ns)

    def worker(kind: str) -> Worker:
        return Worker(kind, stop, _Unread(), time.monotonic_ns)

    will, ready = Will(f"{base}/availability", "offline"), Will(f"{base}/plc/ready", "0")
    options = {
        "results": ConnectionOptions(settings, f"{name}-results", inboxes["results"]),
        "state": ConnectionOptions(settings, f"{name}-state", inboxes["state"], will, f"{base}/cmd/#"),
        "plc": ConnectionOptions(settings, f"{name}-plc", inboxes["plc"], ready, f"{base}/plc/cmd/#", 5),
    }
    commands: queue.SimpleQueue[object] = queue.SimpleQueue()
    runs = (
        Publisher(base, options["results"], worker("results"), opens, rng, 200_000_000).run,
        State(
            *(base, options["state"], worker("state"), opens, rng, time.time_ns, commands, inboxes["results"]),
            *(None, SHIFTS, None),
        ).run,
        Plc(base, options["plc"], worker("plc"), opens, rng, commands, None).run,
    )
    opens().__exit__()
    info = Info(version="0", host="load", station=name, source="folder", parts=("washer",))
    recipe = RecipeMessage(active="washer", available=(AvailablePart(part="washer", bundle="b", threshold=1.0),))
    for topic, message in (("info", info), ("recipe", recipe)):
        inboxes["state"].put(StateValue(topic, message.encode()))
    inboxes["plc"].put(Ready(ready=True, packml=6))
    threads = tuple(threading.Thread(target=run, daemon=True) for run in runs)
    for thread in threads:
        thread.start()
    return Talkers(name, path, inboxes, threads)


class _Unread(queue.SimpleQueue):  # type: ignore[type-arg]
    """What nobody reads is not kept."""

    def put(self, *_: object) -> None:  # type: ignore[override]
        """Forget it."""


def generate(pipe: Connection, folder: Path, port: int, names: list[str], rate: float) -> None:
    """Be some stations in a process of its own: `go` begins to judge parts, `stop` ends it and says how many."""
    stop = threading.Event()
    thumb = thumbnail(a_part(0, width=640, height=480), (), "x", 20_000)[0]
    stations = [talk(name, folder, port, stop) for name in names]
    ledgers = [station.opens() for station in stations]
    pipe.send(len(thumb))
    pipe.recv()
    count, begun = 0, time.monotonic()
    while not pipe.poll(max(0.0, begun + count / (rate * len(stations)) - time.monotonic())):
        number, which = divmod(count, len(stations))
        stations[which].judge(ledgers[which], number, thumb)
        count += 1
    pipe.recv()
    pipe.send(count)
    pipe.recv()
    stop.set()
    for station in stations:
        for inbox in station.inboxes.values():
            inbox.put(None)
    for station in stations:
        for thread in station.threads:
            thread.join(10)


def replay(pipe: Connection, _folder: Path, port: int, names: list[str], rate: float) -> None:
    """Say over one connection what so many stations say: cheap enough to find where the others fall behind."""
    thumb = thumbnail(a_part(0, width=640, height=480), (), "x", 20_000)[0]
    build = a_result_builder(serial="S1")("l", 1, time.time_ns())
    counters = b"c" * 300

    with _client(port, lambda *_: None, "nothing") as client:
        for name in names:
            for leaf, payload in (("availability", b"online"), ("plc/ready", b"1"), ("info", counters)):
                client.publish(f"{DEFAULT_ROOT}/{name}/{leaf}", payload, 1, retain=True)
        pipe.send(len(thumb))
        pipe.recv()
        count, begun = 0, time.monotonic()
        while not pipe.poll(max(0.0, begun + count / (rate * len(names)) - time.monotonic())):
            number, which = divmod(count, len(names))
            result = build.model_copy(
                update={"id": f"{names[which]}-{number}", "station": names[which], "decided_at": utc(time.time_ns())}
            ).encode()
            said = {"result": result, "image/thumb": thumb, "last/result": result, "last/thumb": thumb}
            said |= {"counters": counters, "plc/word": b"1;;1;0;0;0.500;S1"}
            said |= {f"plc/{leaf}": b"1" for leaf in ("verdict", "score", "defects", "total", "ng_total")}
            for leaf, payload in said.items():
                topic = topic_of(leaf)
                sent = client.publish(f"{DEFAULT_ROOT}/{names[which]}/{leaf}", payload, topic.qos, retain=topic.retain)
            count += 1
            if count % 50 == 0:
                sent.wait_for_publish(60)
        pipe.recv()
        sent.wait_for_publish(60)
        pipe.send(count)
        pipe.recv()


def listen(pipe: Connection, port: int) -> None:
    """Be a plant's database: hear all results, and say at each wish how many there were and how late they came."""
    late: list[float] = []
    seen: set[str] = set()

    def hear(_client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        result = json.loads(message.payload)
        if result["id"] not in seen:
            seen.add(result["id"])
            late.append(time.time() - datetime.fromisoformat(result["decided_at"]).timestamp())

    with _client(port, hear, f"{DEFAULT_ROOT}/+/result"):
        pipe.send(0)
        while pipe.recv() == "say":
            pipe.send((len(seen), late.copy()))


@contextmanager
def _client(port: int, hear: Callable[..., None], topic: str) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(100)
    subscribed = threading.Event()
    client.on_message = hear
    client.on_connect = lambda *_: client.subscribe(topic, 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert subscribed.wait(30)
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()
        let_go(client)


@contextmanager
def child(run: Callable[..., None], *values: object) -> Iterator[tuple[Connection, int]]:
    """Run a function in a process of its own; yield what talks to it, and its id."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=run, args=(there, *values), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield here, process.pid
    finally:
        process.kill()
        process.join()


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True)
class Retained:
    """What a broker tells a new listener of everything."""

    messages: int
    megabytes: float
    seconds: float


def read_retained(port: int, most_s: float = 60.0) -> Retained:
    """Hear all that is retained, as a dashboard does that begins; it is over when nothing came for a second."""
    sizes: list[int] = []
    last = begun = time.monotonic()

    def hear(_client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        nonlocal last
        if message.retain:
            last = time.monotonic()
            sizes.append(len(message.payload) + len(message.topic))

    with _client(port, hear, f"{DEFAULT_ROOT}/#"):
        until(lambda: time.monotonic() - last > 1, "silence", most_s)
    return Retained(len(sizes), sum(sizes) / 1e6, last - begun)


@dataclass(frozen=True, slots=True)
class Row:
    """What was seen with so many stations."""

    stations: int
    rate: float
    judged: float
    """Parts a second that the stations judged; less than asked for means that the stations' own processes are full."""
    heard: float
    """Share of them that the subscriber heard in the end."""
    p50_ms: float
    p95_ms: float
    packets: float
    """A second, received by the broker: publishes, and acknowledgements of those that it delivered."""
    broker: float
    """Share of a processor."""
    broker_mb: float
    subscriber: float
    dashboard: float
    makers: float
    """The stations' own processes."""
    dropped: int
    """Messages that the broker gave up, for whoever was too slow."""
    retained: Retained
    back_s: float
    """From the broker's death to the last station's state standing again at the new one."""

    @property
    def is_behind(self) -> bool:
        """Whether something could not keep up."""
        return self.p95_ms > 1000 * _BEHIND_S or self.heard < 1 or self.dropped > 0 or self.judged < 0.95 * self.rate


def measure(folder: Path, stations: int, rate: float, seconds: float, *, dashboard: bool, light: bool) -> Row:
    """Have so many stations judge `rate` parts a second together, and see who keeps up."""
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder / "broker", _BROKER))
        assert broker._process is not None
        server = stack.enter_context(_dashboard(folder, broker.port)) if dashboard else 0
        scada, scada_pid = stack.enter_context(child(listen, broker.port))
        scada.recv()
        names = [f"station-{number:05d}" for number in range(stations)]
        processes = 2 if light else math.ceil(stations / _IN_ONE_PROCESS)
        be = replay if light else generate
        made = [
            stack.enter_context(child(be, folder, broker.port, names[first::processes], rate / stations))
            for first in range(processes)
        ]
        makers = [maker for maker, _ in made]
        for maker in makers:
            maker.recv()
        _wait_for(broker.port, stations)
        dropped, received = _Count(broker.port, "publish/messages/dropped"), _Count(broker.port, "messages/received")
        with dropped.following(), received.following():
            pids = {"broker": broker._process.pid, "subscriber": scada_pid, "dashboard": server}
            pids |= {f"maker {number}": pid for number, (_, pid) in enumerate(made)}
            until(lambda: received.value, "the broker's own figures")
            before, first_packet = {name: cpu_s(pid) if pid else 0.0 for name, pid in pids.items()}, received.value
            begun = time.monotonic()
            for maker in makers:
                maker.send("go")
            threading.Event().wait(seconds)
            used = {name: (cpu_s(pid) if pid else 0.0) - before[name] for name, pid in pids.items()}
            elapsed, packets = time.monotonic() - begun, received.value - first_packet
            for maker in makers:
                maker.send("stop")
            count = sum(maker.recv() for maker in makers)
            heard, late = _drained(scada, count)
            lost = dropped.value
        retained = read_retained(broker.port)
        memory = rss_mb(pids["broker"])
        back_s = 0.0 if light else _restart(broker, retained.messages)
        for maker in makers:
            maker.send("end")
    cuts = statistics.quantiles(late, n=20) if len(late) > 1 else [0.0] * 19
    return Row(
        stations=stations,
        rate=rate,
        judged=count / elapsed,
        heard=heard / max(1, count),
        p50_ms=1000 * cuts[9],
        p95_ms=1000 * cuts[18],
        packets=packets / elapsed,
        broker=used["broker"] / elapsed,
        broker_mb=memory,
        subscriber=used["subscriber"] / elapsed,
        dashboard=used["dashboard"] / elapsed,
        makers=sum(share for name, share in used.items() if name.startswith("maker")) / elapsed,
        dropped=lost,
        retained=retained,
        back_s=back_s,
    )


class _Count:
    """A figure of the broker's own, by `$SYS`."""

    def __init__(self, port: int, name: str) -> None:
        self.value = 0
        self._port = port
        self._topic = f"$SYS/broker/{name}"

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow it while the block runs."""

        def hear(_client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
            self.value = int(message.payload)

        with _client(self._port, hear, self._topic):
            yield


def _wait_for(port: int, stations: int) -> None:
    """Return when all connections of all stations stand."""
    online: set[str] = set()

    def hear(_client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        if message.payload in (b"online", b"1"):
            online.add(message.topic)

    with _client(port, hear, f"{DEFAULT_ROOT}/+/availability") as client:
        client.subscribe(f"{DEFAULT_ROOT}/+/plc/ready", 1)
        until(lambda: len(online) >= 2 * stations, f"{stations} stations are online", 240)


def _drained(scada: Connection, count: int) -> tuple[int, list[float]]:
    """Return what the subscriber has heard when it is all, or when it has had its time."""
    end = time.monotonic() + _DRAIN_S
    while True:
        scada.send("say")
        heard, late = scada.recv()
        if heard >= count or time.monotonic() > end:
            return heard, late
        threading.Event().wait(0.2)


def _restart(broker: Mosquitto, messages: int) -> float:
    """Kill the broker and start an empty one; return how long it takes until it knows as much as before."""
    begun = time.monotonic()
    broker.kill()
    broker.start()
    topics: set[str] = set()
    last = begun

    def hear(_client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        nonlocal last
        if message.topic not in topics:
            topics.add(message.topic)
            last = time.monotonic()

    with _client(broker.port, hear, f"{DEFAULT_ROOT}/#"):
        until(lambda: len(topics) >= messages or time.monotonic() - last > 20, "all states again")
    return last - begun


@contextmanager
def _dashboard(folder: Path, port: int) -> Iterator[int]:
    """Run the dashboard, seen by nobody, and yield its process."""
    sys.path.append(str(Path(__file__).parent / "nodered"))
    from dashboards import NodeRed  # noqa: PLC0415 - needs Node

    server = NodeRed(folder / "node-red", port).start()
    assert server._process is not None
    try:
        yield server._process.pid
    finally:
        server.stop()


def show(row: Row) -> str:
    """Return a line of the table."""
    kept = row.retained
    return (
        f"| {row.stations} | {row.rate:g} | {row.judged:.0f} | {row.heard:.1%} | {row.p50_ms:.0f} / {row.p95_ms:.0f} "
        f"| {row.packets:.0f} | {row.broker:.1%} | {row.broker_mb:.0f} | {row.subscriber:.0%} | {row.dashboard:.0%} "
        f"| {row.makers:.0%} | {row.dropped} | {kept.messages} / {kept.megabytes:.1f} / {kept.seconds:.1f} "
        f"| {row.back_s:.1f} |"
    )


COLUMNS = (
    *("stations", "parts/s asked", "judged", "heard", "p50 / p95 ms", "packets/s in"),
    *("broker CPU", "broker MB", "subscriber CPU", "dashboard CPU", "stations' CPU", "dropped"),
    *("retained: messages / MB / s to read", "back after kill, s"),
)


def measure_stations(
    folder: Path, steps: list[tuple[int, float]], seconds: float, *, dashboard: bool, light: bool
) -> bool:
    """Print a row for each step until something falls behind; say whether the first one was carried."""
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)  # noqa: T201
    for number, (stations, rate) in enumerate(steps):
        row = measure(folder / str(number), stations, rate, seconds, dashboard=dashboard, light=light)
        shutil.rmtree(folder / str(number), ignore_errors=True)
        print(show(row), flush=True)  # noqa: T201
        if row.is_behind:
            return number > 0
    return True


def measure_workers(folder: Path, bundle: Path, image: Path, count: int) -> None:
    """Print how many images a second pools of 1, 2 and 4 workers judge, from the first result to the last."""
    print("| workers | pictures/s |\n|---|---|", flush=True)  # noqa: T201
    for workers in (1, 2, 4):
        place = folder / str(workers)
        with (
            Mosquitto(folder / f"broker-{workers}") as broker,
            fleet(
                place, bundle=bundle, port=broker.port, workers=workers, keys="resend_s = 60\nin_flight = 16"
            ) as line,
        ):
            line.send(20, image=image.read_bytes(), ending=image.suffix)
            line.scada.wait_for(20, 120)
            begun = time.monotonic()
            line.send(count, first=20, image=image.read_bytes(), ending=image.suffix)
            line.scada.wait_for(20 + count, 600)
            print(f"| {workers} | {count / (time.monotonic() - begun):.1f} |", flush=True)  # noqa: T201


def main() -> int:
    """Measure what was asked for."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seconds", type=float, default=20)
    words.add_argument("--steps", default="10x10,50x50,100x100,100x200,200x200", help="STATIONSxPARTS_A_SECOND,...")
    words.add_argument("--no-dashboard", action="store_true")
    words.add_argument("--light", action="store_true", help="stations without ledgers and connections of their own")
    words.add_argument("--workers", nargs=2, type=Path, metavar=("BUNDLE", "PICTURE"))
    words.add_argument("--pictures", type=int, default=300)
    told = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-inspector-load-") as temporary:
        if told.workers:
            measure_workers(Path(temporary), *told.workers, told.images)
            return 0
        steps = [(int(step.split("x")[0]), float(step.split("x")[1])) for step in told.steps.split(",")]
        seen = not told.no_dashboard
        return int(not measure_stations(Path(temporary), steps, told.seconds, dashboard=seen, light=told.light))


if __name__ == "__main__":
    sys.exit(main())
