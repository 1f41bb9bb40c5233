"""Everything in the ledger reaches the broker, in order, and the cursor moves on an acknowledgement only."""

import gc
import json
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest
from brokers import Mosquitto, free_port, lasting, until
from daemons import BASE, Subscriber
from factories import a_result_builder

from edge_inspector.errors import DiskError
from edge_inspector.line.broker.link import MAX_PAYLOAD, ConnectionOptions, Link, connect, links
from edge_inspector.line.broker.publisher import NewResults, Publisher, Resend
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.line.ledger.outbox import Outbox
from edge_inspector.line.ticks import Fault, StageReported, Worker
from edge_inspector.settings import MqttSettings, TlsSettings


class Post:
    """A publisher at work, and the ledger that it follows."""

    def __init__(self, folder: Path, port: int, **mqtt: Any) -> None:  # noqa: ANN401 - a test factory
        self.file = folder / "ledger.db"
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.reports: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.settings = MqttSettings(port=port, **mqtt)
        self.open_ledger: Callable[[], Ledger] = self.opens
        self.thumb_bytes = 1_000_000
        self.most_waiting = 1_000_000
        self.told: list[Fault] = []
        self.worker = Worker("results", self.stop, self.reports, time.monotonic_ns)

    def opens(self) -> Ledger:
        """Open a connection to the ledger."""
        return open_ledger(self.file, lambda: "ledger-1", time.time_ns)

    def record(self, *names: str, thumb: bytes | None = None) -> None:
        """Commit results and say so."""
        with self.opens() as ledger:
            for name in names:
                ledger.results.record(a_result_builder(id=name, serial=name), thumb)
        self.inbox.put(NewResults())

    def cursor(self) -> int:
        """Return how far the broker has acknowledged."""
        with self.opens() as ledger:
            return ledger.outbox.cursor()

    def drain(self) -> list[Any]:
        """Return what was reported since the last look."""
        found = []
        while not self.reports.empty():
            found.append(self.reports.get())
        return found

    def active_faults(self) -> list[Fault]:
        """Return the faults that were not ended, of all that were told so far."""
        self.told += [report for report in self.drain() if isinstance(report, Fault)]
        return [fault for fault in {fault.code: fault for fault in self.told}.values() if fault.active]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Publish while the block runs."""
        self.opens().__exit__()
        publisher = Publisher(
            base=BASE,
            options=ConnectionOptions(self.settings, "st1-results", self.inbox),
            worker=self.worker,
            open_ledger=self.open_ledger,
            rng=Random(1),  # noqa: S311 - jitter
            thumb_bytes=self.thumb_bytes,
            most_waiting=self.most_waiting,
        )
        thread = threading.Thread(target=publisher.run)
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            self.inbox.put(None)
            thread.join()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker that takes messages of at most a megabyte."""
    with Mosquitto(tmp_path / "broker", "allow_anonymous true\nmessage_size_limit 1000000") as broker:
        yield broker


NAMES = [f"p{number:03}" for number in range(200)]


@pytest.mark.parametrize("version", [4, 5])
def test_the_ledger_is_published_in_order(tmp_path: Path, broker: Mosquitto, version: int) -> None:
    """Every result once, with its thumbnail, by MQTT 5 and by 3.1.1."""
    post = Post(tmp_path, broker.port, version=version)
    with Subscriber(broker.port) as heard:
        post.record(*NAMES[:100], thumb=b"jpeg")
        with post.at_work():
            post.record(*NAMES[100:])
            until(lambda: post.cursor() == 200, "everything is acknowledged")
            until(lambda: len(heard.results) == 200, "everything is heard")

    assert [result["id"] for result in heard.results] == NAMES
    assert [result["seq"] for result in heard.results] == list(range(1, 201))
    assert heard.payloads("image/thumb") == [b"jpeg"] * 100


def test_acknowledged_is_not_sent_again(tmp_path: Path, broker: Mosquitto) -> None:
    """After a restart the ledger goes on behind the cursor."""
    first, again = Post(tmp_path, broker.port), Post(tmp_path, broker.port)
    with Subscriber(broker.port) as heard:
        with first.at_work():
            first.record("a", "b")
            until(lambda: first.cursor() == 2, "acknowledged")
        with again.at_work():
            again.record("c")
            until(lambda: again.cursor() == 3, "acknowledged")
            until(lambda: heard.last("result")["id"] == "c", "heard")

    assert [result["id"] for result in heard.results] == ["a", "b", "c"]


def test_a_broker_that_is_down_at_the_start_gets_everything(tmp_path: Path) -> None:
    """The ledger is the store: nothing is in memory alone."""
    with lasting(tmp_path / "broker") as broker, Subscriber(broker.port, session="scada") as heard:
        broker.save()
        broker.kill()
        post = Post(tmp_path, broker.port)
        with post.at_work():
            post.record(*NAMES)
            before = post.cursor()
            broker.start()
            until(lambda: post.cursor() == 200, "everything is acknowledged")
            until(lambda: len(heard.results) >= 200, "everything is heard")

    assert before == 0
    assert list(dict.fromkeys(result["id"] for result in heard.results)) == NAMES


def test_a_broker_that_is_killed_and_comes_back_gets_the_rest(tmp_path: Path) -> None:
    """Every outage begins and ends by itself, and what was recorded meanwhile comes in order."""
    with lasting(tmp_path / "broker") as broker, Subscriber(broker.port, session="scada") as heard:
        broker.save()
        post = Post(tmp_path, broker.port)
        with post.at_work():
            for end in (50, 100, 150, 200):
                broker.kill()
                post.record(*NAMES[end - 50 : end])
                broker.start()
                until(lambda end=end: len({result["id"] for result in heard.results}) >= end, f"{end} results")

    assert list(dict.fromkeys(result["id"] for result in heard.results)) == NAMES


def test_the_cursor_waits_for_the_acknowledgement(tmp_path: Path, broker: Mosquitto) -> None:
    """A broker that takes messages and says nothing has promised nothing."""
    post = Post(tmp_path, broker.port)
    silent = _Silent()
    post.settings = MqttSettings(port=silent.port)
    with silent, post.at_work():
        post.record("a")
        until(lambda: b'"id":"a"' in silent.received, "the result is sent")
        for name in ("b", "c"):  # each turns the publisher's loop once, in which it settles what was sent before
            post.record(name)
            until(lambda name=name: f'"id":"{name}"'.encode() in silent.received, "the next one is sent")

        assert post.cursor() == 0


def test_an_oversize_message_is_buried_and_does_not_block(tmp_path: Path, broker: Mosquitto) -> None:
    """A broker drops a client that sends it, and what comes behind would never get out."""
    post = Post(tmp_path, broker.port)
    post.record("a")
    with post.opens() as ledger:
        ledger.results.record_event(json.dumps({"message": "x" * MAX_PAYLOAD}).encode())
    post.record("b", thumb=bytes(MAX_PAYLOAD + 1))
    with Subscriber(broker.port) as heard, post.at_work():
        until(lambda: post.cursor() == 3, "the cursor is behind it")
        until(lambda: len(heard.results) == 2, "the results")

    assert [result["id"] for result in heard.results] == ["a", "b"]
    with post.opens() as ledger:
        ((n, topic, reason),) = ledger._db.execute("SELECT n, topic, reason FROM dead").fetchall()
    assert (n, topic) == (2, "event")
    assert "too many" in reason


def test_what_is_too_large_for_this_broker_is_not_sent(tmp_path: Path) -> None:
    """It said at CONNACK what it takes, and disconnects whoever sends more; results without images still come."""
    with Mosquitto(tmp_path / "broker", "allow_anonymous true\nmax_packet_size 3000") as broker:
        post = Post(tmp_path, broker.port)
        with Subscriber(broker.port) as heard, post.at_work():
            post.record("a", thumb=bytes(3000))
            with post.opens() as ledger:
                ledger.results.record_event(json.dumps({"message": "x" * 3000}).encode())
            post.record("b")
            until(lambda: post.cursor() == 3, "the cursor is behind it")
            until(lambda: len(heard.results) == 2, "the results")
            (fault,) = post.active_faults()

    assert [result["id"] for result in heard.results] == ["a", "b"]
    assert fault.code == "refused"
    assert "at most: raise its packet size" in fault.message


def test_what_the_broker_refuses_is_buried(tmp_path: Path) -> None:
    """Without the right to publish the results are not sent for ever; the reason is kept for whoever looks."""
    rules = tmp_path / "acl"
    rules.write_text(f"topic write {BASE}/event\n")
    with Mosquitto(tmp_path / "broker", f"allow_anonymous true\nacl_file {rules}") as broker:
        post = Post(tmp_path, broker.port)
        with post.at_work():
            post.record("a")
            with post.opens() as ledger:
                ledger.results.record_event(b"{}")
            until(lambda: post.cursor() == 2, "the cursor is behind it")

    with post.opens() as ledger:
        ((n, reason),) = ledger._db.execute("SELECT n, reason FROM dead").fetchall()
    assert n == 1
    assert "Not authorized" in reason


def test_thumbnails_that_wait_too_long_make_room(tmp_path: Path, broker: Mosquitto) -> None:
    """After a long outage every result comes, and the newest images."""
    post = Post(tmp_path, broker.port)
    post.record(*NAMES, thumb=bytes(1000))
    post.thumb_bytes = 100_000
    with post.opens() as ledger:
        ledger.outbox.trim_thumbs(post.thumb_bytes)
    with Subscriber(broker.port) as heard, post.at_work():
        until(lambda: post.cursor() == 200, "everything is acknowledged")
        until(lambda: len(heard.results) == 200, "the results")

    assert len(heard.payloads("image/thumb")) <= 100


def test_a_full_disk_does_not_stop_delivery(tmp_path: Path, broker: Mosquitto) -> None:
    """The cursor cannot move while the disk is full: what is delivered is delivered, and the program goes on."""
    post = Post(tmp_path, broker.port)
    full = threading.Event()
    full.set()

    class FullDisk(Outbox):
        """An outbox that cannot move its cursor."""

        def move_cursor(self, n: int) -> None:
            """Refuse while the disk is full."""
            if full.is_set():
                raise DiskError("database or disk is full")
            super().move_cursor(n)

    def open_full() -> Ledger:
        ledger = post.opens()
        ledger.outbox.__class__ = FullDisk
        return ledger

    post.open_ledger = open_full
    with Subscriber(broker.port) as heard, post.at_work():
        post.record("a")
        until(lambda: len(heard.results) == 1, "the first result")
        fault = until(lambda: _first_fault(post.reports), "the fault is reported")
        post.record("b")
        until(lambda: len(heard.results) == 2, "the second result")
        full.clear()
        until(lambda: post.cursor() == 2, "the cursor has moved")

    assert fault.code == "delivery"
    assert [result["id"] for result in heard.results] == ["a", "b"]


def test_a_connection_is_told_of_and_its_loss_too(tmp_path: Path, broker: Mosquitto) -> None:
    """Health says whether the broker is there."""
    post = Post(tmp_path, broker.port)
    with post.at_work():
        until(lambda: _said(post.reports, "results connected"), "connected")
        broker.kill()
        until(lambda: _said(post.reports, "results disconnected"), "disconnected")
        broker.start()
        until(lambda: _said(post.reports, "results connected"), "connected again")


@pytest.mark.parametrize(
    "mqtt",
    [
        {"username": "me", "password_file": "/nonexistent/password"},
        {"tls": TlsSettings(ca="/nonexistent/ca.pem")},
        {"host": "127.0.0.1", "port": 9},
        {"host": "no-such-host.invalid"},
    ],
    ids=["no-password", "no-ca", "nobody-there", "no-name"],
)
def test_what_keeps_it_from_connecting_is_retried_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mqtt: dict[str, Any]
) -> None:
    """A missing password file or a wrong name must not end the program, and the log says what is wrong, once."""
    post = Post(tmp_path, free_port())
    post.settings = MqttSettings(**mqtt)
    tries: list[float] = []
    options = ConnectionOptions(post.settings, "st1-results", post.inbox)
    rng = Random(1)  # noqa: S311 - jitter
    link = links(options, post.worker, rng, lambda: tries.append(time.monotonic()))
    thread = threading.Thread(target=lambda: list(link))
    thread.start()
    try:
        until(lambda: len(tries) >= 3, "three tries")
    finally:
        post.stop.set()
        thread.join()

    said = [record for record in caplog.records if "no connection to the broker" in record.message]
    assert len(said) == 1


def test_a_payload_that_no_broker_takes_is_not_handed_over() -> None:
    """An oversize message makes an MQTT 5 client reconnect for ever."""
    link = Link(None, 5)  # type: ignore[arg-type]

    assert link.publish("a", bytes(MAX_PAYLOAD + 1), 1, retain=False) is None


def _said(reports: "queue.SimpleQueue[Any]", what: str) -> bool:
    while not reports.empty():
        report = reports.get()
        if isinstance(report, StageReported) and report.what == what:
            return True
    return False


def _first_fault(reports: "queue.SimpleQueue[Any]") -> Fault | None:
    while not reports.empty():
        report = reports.get()
        if isinstance(report, Fault) and report.active:
            return report
    return None


class _Silent:
    """A broker that welcomes a client, takes its messages and never acknowledges one."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.received = b""
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK, success, no properties
            while more := connection.recv(4096):
                self.received += more

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._socket.close()


def test_a_backlog_that_is_too_long_loses_its_oldest_and_says_so(tmp_path: Path) -> None:
    """The newest are sent, the others are counted, an alarm is raised, and they can be had again."""
    with lasting(tmp_path / "broker") as broker, Subscriber(broker.port, session="scada") as heard:
        broker.save()
        broker.kill()
        post = Post(tmp_path, broker.port)
        post.most_waiting = 50
        post.record(*NAMES)
        with post.at_work():
            until(lambda: post.cursor() == 150, "the oldest are passed over")
            broker.start()
            until(lambda: post.cursor() == 200, "the rest is acknowledged")
            until(lambda: len(heard.results) >= 50, "the rest is heard")
            until(lambda: not any(fault.code == "undelivered" for fault in post.active_faults()), "the alarm ends")
            with post.opens() as ledger:
                passed_over = ledger.outbox.backlog().passed_over
            post.inbox.put(Resend(1, 150))
            until(lambda: len({result["id"] for result in heard.results}) == 200, "all are heard in the end")

    first = [result["id"] for result in heard.results if not result["replayed"]]
    assert list(dict.fromkeys(first)) == NAMES[150:]
    assert passed_over == 150
    assert any(fault.code == "undelivered" and "cmd/resend" in fault.message for fault in post.told)


def test_a_long_resend_is_complete(tmp_path: Path, broker: Mosquitto) -> None:
    """More than the client library would queue; what is not in the ledger is skipped."""
    post = Post(tmp_path, broker.port)
    with post.opens() as ledger:
        ledger._db.execute("PRAGMA synchronous=OFF")  # the test's own haste
        for number in range(1500):
            ledger.results.record(a_result_builder(id=f"a{number}"), None)
        ledger.outbox.move_cursor(1500)
    with Subscriber(broker.port) as heard, post.at_work():
        until(lambda: any(isinstance(report, StageReported) for report in post.drain()), "connected")
        post.inbox.put(Resend(1, 3000))
        until(lambda: len(heard.payloads("result")) >= 1500, "all are heard")

    assert [result["seq"] for result in heard.results if result["replayed"]] == list(range(1, 1501))


def test_a_link_that_is_closed_leaves_nothing_open(broker: Mosquitto) -> None:
    """Two descriptors stayed open for each lost connection until Python's collector came by (the soak showed it)."""
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    gc.disable()
    try:
        for _ in range(5):
            found = connect(ConnectionOptions(MqttSettings(port=broker.port), "st1-results", queue.SimpleQueue()))
            assert isinstance(found, Link)
            found.close()
        del found
        left = len(os.listdir("/proc/self/fd")) - before  # noqa: PTH208
    finally:
        gc.enable()

    assert left == 0
