"""Faults of the daemon, of the broker and of the way between them, on the real process."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from brokers import Mosquitto, until
from faults.rig import Rig, Wire, pass_time, running

from edge_inspector.bundle import Bundle

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def line(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run one line for the faults from which it comes back."""
    with running(tmp_path_factory.mktemp("line"), bundle) as rig:
        yield rig


@pytest.mark.slow
@pytest.mark.fault("SIGKILL of the daemon, three times")
def test_the_daemon_is_killed(line: Rig, record_property: Record) -> None:
    """The picture that it was judging is ERROR, all others are judged after the start."""
    rng = Random(1)  # noqa: S311 - when
    line.begin("kill")
    for _ in range(3):
        line.send(5)
        pass_time(rng.uniform(0, 0.1))
        line.daemon.kill()
        line.send(2)
        line.daemon.start()

    results = line.account(record_property, line.recovered(time.monotonic()))
    assert {result["reason_code"] for result in results if result["verdict"] == "ERROR"} <= {208}


@pytest.mark.slow
@pytest.mark.fault("SIGTERM in the middle of parts")
def test_the_daemon_is_stopped(line: Rig, record_property: Record) -> None:
    """It ends by itself with status 0, and the rest is judged after the start."""
    line.begin("stop")
    line.send(12, every_s=0.01)

    assert line.daemon.stop() == 0

    line.daemon.start()
    line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.slow
@pytest.mark.fault("SIGKILL of the broker")
def test_the_broker_is_killed(line: Rig, record_property: Record) -> None:
    """Parts are judged all the same, and delivered when it is back."""
    line.begin("broker")
    line.send(4)
    until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
    line.broker.save()
    line.broker.kill()
    line.send(8)
    until(lambda: line.in_ledger() >= 0, "judged")
    line.broker.start()
    begun = time.monotonic()

    line.account(record_property, line.recovered(begun))


@pytest.mark.slow
@pytest.mark.fault("SIGKILL of daemon and broker together")
def test_both_are_killed(line: Rig, record_property: Record) -> None:
    """As after a power cut of the whole cabinet."""
    line.begin("both")
    line.send(4)
    until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
    line.broker.save()
    line.send(4, every_s=0.02)
    line.broker.signal(signal.SIGSTOP)
    line.daemon.kill()
    line.broker.kill()
    line.broker.start()
    line.daemon.start()

    line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.slow
@pytest.mark.fault("the bundle is changed on disk while running")
def test_the_bundle_is_changed(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """What was accepted goes on running; at the next start it is refused, and once restored it runs again."""
    copy = tmp_path / "washer"
    subprocess.run(["cp", "-r", str(bundle.path), str(copy)], check=True)
    graph = copy / "network.onnx"
    whole = graph.read_bytes()
    with running(tmp_path, copy) as line:
        line.begin("bundle")
        line.send(4)
        graph.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "judged all the same")
        line.daemon.stop()

        assert line.daemon.launch().wait() == 65

        line.send(2)
        graph.write_bytes(whole)
        line.daemon.start()
        line.account(record_property, line.recovered(time.monotonic()))


@pytest.mark.slow
@pytest.mark.fault("a broker that takes everything and acknowledges nothing, then is well")
def test_a_broker_that_acknowledges_nothing(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """The cursor stands; after the stall the connection is made anew, and what was taken comes twice with its id."""
    broker = _remembering(tmp_path)
    with broker, Wire(broker.port) as wire, running(
        tmp_path, bundle, broker=_Running(broker), host_port=("127.0.0.1", wire.port)
    ) as line:  # fmt: skip
        line.begin("mute")
        line.send(3)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        wire.mute = True
        line.send(6)
        pass_time(3)
        wire.mute = False
        begun = time.monotonic()
        until(lambda: line.scada.last("health")["undelivered"]["count"] == 0, "everything is acknowledged")
        recovery = time.monotonic() - begun

        results = line.account(record_property, recovery)
    assert len(results) == len(line.sent)


@pytest.mark.slow
@pytest.mark.fault("a broker that refuses results (ACL), then allows them")
def test_a_broker_that_refuses(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """An alarm; the results stay in the ledger, and `cmd/resend` brings them once the ACL is mended."""
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite #\ntopic deny edge-inspector/v1/st1/result\n")
    broker = _remembering(tmp_path, f"acl_file {acl}\n")
    with running(tmp_path, bundle, broker=broker) as line:
        line.begin("acl")
        line.send(6)
        until(lambda: line.in_ledger() == 6, "judged")
        until(lambda: "refused" in line.scada.last("alarms")["active"], "the alarm")
        acl.write_text("topic readwrite #\n")
        broker.signal(signal.SIGHUP)
        begun = time.monotonic()
        wish = {"correlation_id": "r1", "by": "me", "args": {"from_seq": 1, "to_seq": 6}}
        line.scada.send("cmd/resend", json.dumps(wish))

        line.account(record_property, line.recovered(begun))


@pytest.mark.slow
@pytest.mark.fault("oversize messages: a broker that takes 2,000 bytes and disconnects whoever sends more")
def test_a_broker_with_small_packets(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """It says so when we connect: pictures are left out with an alarm, results come, no connection is lost."""
    with running(tmp_path, bundle, broker=_remembering(tmp_path, "max_packet_size 2000\n")) as line:
        line.begin("packets")
        line.send(12)
        until(lambda: "refused" in line.scada.last("alarms")["active"], "the alarm")

        results = line.account(record_property, line.recovered(time.monotonic()))
        assert not any(result["replayed"] for result in results)
        assert line.scada.payloads("availability")[-1:] == [b"online"]
        assert line.scada.payloads("availability").count(b"online") == 1
        assert line.scada.payloads("image/thumb") == []


@pytest.mark.slow
@pytest.mark.fault("network cut (cable between daemon and broker dead for 8 s)")
def test_the_network_is_cut(bundle: Bundle, tmp_path: Path, record_property: Record) -> None:
    """A cable that is pulled says nothing: no reset, no goodbye. In a network namespace of its own."""
    with _namespace() as (name, address), _remembering(tmp_path) as broker, Wire(broker.port, address) as wire, running(
        tmp_path,
        bundle,
        broker=_Running(broker),
        host_port=(address, wire.port),
        prefix=("ip", "netns", "exec", name),
    ) as line:  # fmt: skip
        line.begin("cable")
        line.send(4)
        until(lambda: line.sent[-1] in line.scada.by_serial(), "the first parts are delivered")
        _ip("link", "set", f"{name}-h", "down")
        line.send(8)
        pass_time(8)
        _ip("link", "set", f"{name}-h", "up")

        line.account(record_property, line.recovered(time.monotonic()))


class _namespace:  # noqa: N801 - reads as what it gives
    """A network namespace with one cable to us; gives its name and our end's address."""

    def __init__(self) -> None:
        self.name = f"ei{os.getpid() % 100_000}"
        self._net = f"10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}"

    def __enter__(self) -> tuple[str, str]:
        made = subprocess.run(["ip", "netns", "add", self.name], capture_output=True, check=False)
        if made.returncode:
            pytest.skip(f"no network namespace: {made.stderr.decode().strip()}")
        _ip("link", "add", f"{self.name}-h", "type", "veth", "peer", "name", "cable", "netns", self.name)
        _ip("addr", "add", f"{self._net}.1/30", "dev", f"{self.name}-h")
        _ip("link", "set", f"{self.name}-h", "up")
        for words in (
            ("addr", "add", f"{self._net}.2/30", "dev", "cable"),
            ("link", "set", "cable", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("netns", "exec", self.name, "ip", *words)
        return self.name, f"{self._net}.1"

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "link", "del", f"{self.name}-h"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _remembering(folder: Path, extra: str = "") -> Mosquitto:
    """Return a broker like `lasting`, with more to its configuration."""
    return Mosquitto(
        folder / "broker",
        f"allow_anonymous true\npersistence true\npersistence_location {folder / 'broker'}/\n{extra}"
        "max_inflight_messages 0\nmax_queued_messages 0",
    )


class _Running(Mosquitto):
    """A broker that is started and stopped elsewhere."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self.port = broker.port
        self.folder = broker.folder

    def start(self) -> "_Running":
        return self

    def stop(self) -> None:
        pass

    def signal(self, number: signal.Signals) -> None:
        self._broker.signal(number)
