"""The broker configuration that we ship, run as it is: every rule of the ACL, TLS, certificates, passwords."""

import getpass
import json
import queue
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
import pytest
from brokers import PATIENCE_S, answers, find_mosquitto, free_port, until
from daemons import STATION, Daemon, Subscriber, drop, write_settings
from factories import a_part, png
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_inspector.bundle import Bundle
from edge_inspector.line.check import Finding, check
from edge_inspector.line.link import MAX_PAYLOAD
from edge_inspector.settings import read_settings
from edge_inspector.wire.topics import COMMANDS, DEFAULT_ROOT, PLC_COMMANDS, TOPICS

SHIPPED = Path(__file__).parents[1] / "configs" / "mosquitto"
BASE = f"{DEFAULT_ROOT}/{STATION}"
PLC = f"plc-{STATION}"
STRANGER = "stranger"
CAMERA = "cam-1"
SENT = f"{DEFAULT_ROOT}-pictures/press/{CAMERA}"
WORKERS = "edge-inspector/v1-workers/press"
USERS = (STATION, "dashboard", PLC, CAMERA, STRANGER)
SAID = tuple(f"{BASE}/{topic.name.replace('{name}', '06')}" for topic in TOPICS)
COMMANDED = tuple(f"{BASE}/cmd/{name}" for name in COMMANDS)
WISHED = tuple(f"{BASE}/plc/cmd/{name}" for name in PLC_COMMANDS)
OTHERS = (f"{DEFAULT_ROOT}/other/result", f"{DEFAULT_ROOT}/other/cmd/trigger", f"{BASE}/cmd", "anything", "$SYS/x")


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def make_certificates(folder: Path, *names: str) -> None:
    """Make an authority and a certificate for the server and each name, as a plant would."""
    key = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    authority = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    _run("openssl", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.crt", "-subj", "/CN=plant", *authority)
    signed = (*key, "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-addext", "basicConstraints=CA:FALSE")
    place = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name in ("server", *names):
        _run("openssl", *signed, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt",
             "-subj", f"/CN={name}", *place)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Broker:
    """The shipped configuration at work, with its paths, its port and its station's name replaced."""

    folder: Path
    port: int = field(default_factory=free_port)

    @contextmanager
    def running(self, *changes: tuple[str, str], acl: tuple[str, str] = ("", "")) -> Iterator[Self]:
        """Run mosquitto on the shipped files while the block runs."""
        replaced = (
            ("listener 8883", f"listener {self.port} 127.0.0.1"),
            ("/etc/mosquitto/edge-inspector", str(self.folder)),
            ("/var/lib/mosquitto/", f"{self.folder}/"),
            ("log_dest syslog", "log_dest stderr" + ("\nuser root" if getpass.getuser() == "root" else "")),
        )
        rules = (SHIPPED / "acl").read_text().replace("press-1", STATION)
        assert acl[0] in rules
        (self.folder / "acl").write_text(rules.replace(*acl) if acl[0] else rules)
        text = (SHIPPED / "mosquitto.conf").read_text()
        for before, after in (*replaced, *changes):
            assert before in text
            text = text.replace(before, after)
        (self.folder / "mosquitto.conf").write_text(text)
        (self.folder / "mosquitto.db").unlink(missing_ok=True)
        program = find_mosquitto()
        assert program is not None
        with (self.folder / "mosquitto.log").open("ab") as log:
            process = subprocess.Popen([program, "-c", self.folder / "mosquitto.conf"], stdout=log, stderr=log)
        try:
            until(lambda: answers(self.port), "mosquitto accepts connections")
            yield self
        finally:
            process.terminate()
            process.wait(PATIENCE_S)

    def secret(self, client: mqtt.Client, user: str, *, certificate: bool = False) -> None:
        """Give a client its encryption and its name."""
        own = (str(self.folder / f"{user}.crt"), str(self.folder / f"{user}.key")) if certificate else (None, None)
        client.tls_set(str(self.folder / "ca.crt"), *own)
        if not certificate:
            client.username_pw_set(user, f"of {user}")


class Client:
    """One user's connection; `say` tells what the broker made of a message."""

    def __init__(self, broker: Broker, user: str, *, certificate: bool = False) -> None:
        self.heard: list[str] = []
        self._acks: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._connected: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._subscribed: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._port = broker.port
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        broker.secret(self.client, user, certificate=certificate)
        self.client.on_connect = lambda _c, _u, _f, code, _p: self._connected.put(str(code))
        self.client.on_publish = lambda _c, _u, _m, code, _p: self._acks.put(str(code))
        self.client.on_message = lambda _c, _u, message: self.heard.append(message.topic)
        self.client.on_subscribe = lambda *_: self._subscribed.put(None)

    def __enter__(self) -> Self:
        self.client.connect("127.0.0.1", self._port)
        self.client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client.on_connect = self.client.on_publish = None  # a circle of open sockets
        self.client.on_message = self.client.on_subscribe = None

    def welcome(self) -> str:
        """Return the broker's answer to the login."""
        return self._connected.get(timeout=PATIENCE_S)

    def listen(self, *topics: str) -> None:
        """Subscribe, and return when the broker has taken it; it says yes to all of them."""
        self.client.subscribe([(topic, 1) for topic in topics])
        self._subscribed.get(timeout=PATIENCE_S)

    def may_say(self, topic: str) -> bool:
        """Publish and return whether the broker took it."""
        self.client.publish(topic, b"0", 1)
        return self._acks.get(timeout=PATIENCE_S) != "Not authorized"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Broker:
    """Prepare certificates and passwords once."""
    broker = Broker(tmp_path_factory.mktemp("broker"))
    make_certificates(broker.folder, STATION)
    passwords = broker.folder / "passwords"
    passwords.touch()
    for user in USERS:
        _run("mosquitto_passwd", "-b", passwords, user, f"of {user}")
    (broker.folder / "password").write_text(f"of {STATION}\n")
    return broker


@pytest.fixture(scope="module")
def allowed(broker: Broker) -> dict[str, tuple[set[str], set[str]]]:
    """Let every user publish on every topic, and say for each topic who might write it and who read it."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    with broker.running():
        clients = {user: Client(broker, user).__enter__() for user in USERS}
        for client in clients.values():
            assert client.welcome() == "Success"
            client.listen("edge-inspector/#", "reply/#", "anything")
        sent = (SENT, f"{SENT}/availability", f"{SENT}/result", f"{SENT[:-1]}2")
        for topic in (*SAID, *COMMANDED, *WISHED, *OTHERS, *sent, "reply/dashboard/1"):
            writers = {user for user, client in clients.items() if client.may_say(topic)}
            found[topic] = (writers, set())
        for user, client in clients.items():
            assert clients[STATION].may_say(f"reply/{user}/end")
            until(lambda client=client, user=user: f"reply/{user}/end" in client.heard, "the end of all")
            for topic in found:
                found[topic][1].update({user} if topic in client.heard else set())
        for client in clients.values():
            client.__exit__()
    return found


@pytest.mark.parametrize("topic", SAID)
def test_only_the_daemon_may_say_what_a_station_says(topic: str, allowed: dict[str, Any]) -> None:
    """Nobody can forge a verdict; operators may see everything, the PLC its own topics, others nothing."""
    writers, readers = allowed[topic]

    assert writers == {STATION}
    assert readers == {STATION, "dashboard"} | ({PLC} if topic.startswith(f"{BASE}/plc/") else set())


@pytest.mark.parametrize("topic", COMMANDED)
def test_only_the_dashboard_may_command(topic: str, allowed: dict[str, Any]) -> None:
    """The PLC has no business there, and cannot even listen."""
    assert allowed[topic] == ({"dashboard"}, {STATION, "dashboard"})


@pytest.mark.parametrize("topic", WISHED)
def test_only_the_plc_may_trigger(topic: str, allowed: dict[str, Any]) -> None:
    """A dashboard that spoke with the PLC's voice could pass a part."""
    assert allowed[topic] == ({PLC}, {STATION, "dashboard"})


@pytest.mark.parametrize("topic", OTHERS)
def test_nobody_may_anything_else(topic: str, allowed: dict[str, Any]) -> None:
    """Not another station, not outside the tree."""
    assert allowed[topic] == (set(), set())


def test_a_camera_sends_as_itself_alone(allowed: dict[str, Any]) -> None:
    """It cannot send as another camera, nor say of itself that its part is good; no station may read along."""
    assert allowed[SENT] == ({CAMERA}, set())
    assert allowed[f"{SENT}/availability"] == ({CAMERA}, {CAMERA})
    assert allowed[f"{SENT}/result"] == (set(), set())
    assert allowed[f"{SENT[:-1]}2"] == (set(), set())


def test_a_worker_reads_its_pool_and_tells_the_camera(broker: Broker) -> None:
    """With the lines of the example: pictures of every camera in, results out, nothing else."""
    lines = (SHIPPED / "acl").read_text().splitlines()
    rules = "\n".join(line.removeprefix("#") for line in lines if line.startswith("#topic") and "v1-" in line)
    user = f"user {STRANGER}\n{rules}\n\n"
    with (
        broker.running(acl=("# A plant system that only", f"{user}# A plant system that only")),
        Client(broker, STRANGER) as worker,
        Client(broker, CAMERA) as camera,
    ):
        assert worker.welcome() == camera.welcome() == "Success"
        worker.listen("$share/press/edge-inspector/v1-pictures/press/+", f"{SENT}/result", f"{WORKERS}/+")
        camera.listen(f"{SENT}/result")
        said = worker.may_say(SENT), worker.may_say(f"{SENT}/result"), camera.may_say(SENT)
        bundles = worker.may_say(f"{WORKERS}/press-worker-1"), worker.may_say(f"{WORKERS}/press-worker-2")
        until(lambda: camera.heard and len(worker.heard) == 2, "both hear")

        assert (said, bundles) == ((False, True, True), (True, False))
        assert set(worker.heard) == {SENT, f"{WORKERS}/press-worker-1"}
        assert camera.heard == [f"{SENT}/result"]


def test_an_answer_is_for_who_asked(allowed: dict[str, Any]) -> None:
    """Under reply/ and its own name; the others' answers are not delivered."""
    assert allowed["reply/dashboard/1"] == ({STATION}, {"dashboard"})


@pytest.mark.parametrize(("user", "password"), [(STATION, "wrong"), ("nobody", "of nobody"), ("", "")])
def test_a_wrong_login_is_refused(broker: Broker, user: str, password: str) -> None:
    """A wrong password, an unknown name, no name at all."""
    with broker.running(), Client(broker, STATION) as first:
        assert first.welcome() == "Success"
        wrong = Client(broker, STATION)
        wrong.client.username_pw_set(user or None, password or None)
        with wrong as refused:
            assert refused.welcome() == "Not authorized"


def test_without_encryption_there_is_no_connection(broker: Broker) -> None:
    """The only listener speaks TLS; a password never crosses the plant in the clear."""
    lost: queue.SimpleQueue[str] = queue.SimpleQueue()
    with broker.running():
        client = mqtt.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        client.on_disconnect = lambda _c, _u, _f, code, _p: lost.put(str(code))
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        try:
            assert lost.get(timeout=PATIENCE_S)
        finally:
            client.loop_stop()

    assert not client.is_connected()


def test_certificates_instead_of_passwords(broker: Broker) -> None:
    """With the two lines that the file offers, a certificate's name is the user's; without one nobody gets in."""
    changes = (
        ("#require_certificate", "require_certificate"),
        ("#use_identity", "use_identity"),
        (f"password_file {broker.folder}/passwords\n", ""),
    )
    with broker.running(*changes):
        with Client(broker, STATION, certificate=True) as station:
            assert station.welcome() == "Success"
            assert station.may_say(f"{BASE}/result")
            assert not station.may_say(f"{BASE}/cmd/pause")
        nobody = Client(broker, STATION)
        with nobody:
            log = broker.folder / "mosquitto.log"
            until(lambda: b"peer did not return a certificate" in log.read_bytes(), "the broker refuses it")
            assert nobody._connected.empty()

    assert not nobody.client.is_connected()


def test_the_broker_takes_the_largest_message_of_the_daemon() -> None:
    """One that it refused would make an MQTT 5 client reconnect for ever."""
    lines = (SHIPPED / "mosquitto.conf").read_text().splitlines()
    limit = next(int(line.split()[1]) for line in lines if line.startswith("message_size_limit"))

    assert limit >= MAX_PAYLOAD + 10_000


def _settings(broker: Broker, folder: Path, bundle: Bundle, **changes: str) -> Path:
    keys = {"username": f'"{STATION}"', "password_file": f'"{broker.folder}/password"', **changes}
    lines = "\n".join(f"{key} = {value}" for key, value in keys.items())
    tls = f'[mqtt.tls]\nca = "{broker.folder}/ca.crt"'
    folder.mkdir(exist_ok=True)
    return write_settings(folder, bundle=bundle.path, port=broker.port, mqtt_keys=f"{lines}\n{tls}")


def _broker_finding(config: Path) -> Finding:
    return next(f for f in check(read_settings(config), time.monotonic_ns) if "broker" in f.what)


def test_the_daemon_works_on_it(broker: Broker, bundle: Bundle, tmp_path: Path) -> None:
    """TLS, a password in a file, the ACL: parts are judged, the dashboard is obeyed, nothing is refused."""
    config = _settings(broker, tmp_path / "station", bundle)
    with (
        broker.running(),
        Subscriber(broker.port, prepare=partial(broker.secret, user="dashboard")) as heard,
        Daemon(config) as daemon,
    ):
        daemon.start()
        until(lambda: heard.last("plc/ready") == "1", "the station is ready")
        drop(tmp_path / "station" / "inbox", "one.png", png(a_part(1)))
        assert heard.wait_for_results(["one"])["one"]["verdict"] == "OK"
        heard.send("cmd/pause", json.dumps({"correlation_id": "1", "by": "operator"}))
        until(lambda: heard.last("ack")["status"] == "done", "the station is paused")
        during = _broker_finding(config)

        assert heard.last("alarms")["active"] == []
        assert "refused" not in daemon.words()
        assert daemon.stop() == 0
    assert during.good
    assert "not tried" in during.detail


@pytest.mark.parametrize("version", ["4", "5"])
def test_check_hears_every_topic_come_back(broker: Broker, bundle: Bundle, tmp_path: Path, version: str) -> None:
    """Before commissioning, with the station's own login; nothing that it says stays on the broker."""
    config = _settings(broker, tmp_path / "station", bundle, version=version)
    with broker.running():
        finding = _broker_finding(config)
        with Subscriber(broker.port, prepare=partial(broker.secret, user="dashboard")) as late:
            late.send("cmd/pause", "x")
            until(lambda: late.heard, "the subscriber's own message")

    assert finding.good, finding
    assert f"{len(TOPICS)} topics came back" in finding.detail
    assert [heard.topic for heard in late.heard] == ["cmd/pause"]


@pytest.mark.parametrize("version", ["4", "5"])
def test_check_names_the_topic_that_the_acl_refuses(
    broker: Broker, bundle: Bundle, tmp_path: Path, version: str
) -> None:
    """Also with MQTT 3.1.1, where the broker says yes and drops it."""
    config = _settings(broker, tmp_path / "station", bundle, version=version)
    with broker.running(acl=(f"topic readwrite {BASE}/plc/word\n", "")):
        finding = _broker_finding(config)

    assert not finding.good
    assert f"{BASE}/plc/word: " in finding.detail
    assert finding.detail.count(BASE) == 1


def test_check_says_why_the_login_is_refused(broker: Broker, bundle: Bundle, tmp_path: Path) -> None:
    """And exits with 1, as the technician's script wants it."""
    (tmp_path / "password").write_text("wrong")
    config = _settings(broker, tmp_path / "station", bundle, password_file=f'"{tmp_path}/password"')
    with broker.running():
        finding = _broker_finding(config)

    assert not finding.good
    assert "Not authorized" in finding.detail
