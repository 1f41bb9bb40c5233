"""The real daemon in a process of its own, and a subscriber that remembers everything it heard."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jsonschema
import paho.mqtt.client as mqtt
from brokers import PATIENCE_S, until
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_inspector.wire.schema import documents, schema_of
from edge_inspector.wire.topics import topic_of

STATION = "st1"
BASE = f"edge-inspector/v1/{STATION}"


def write_settings(
    folder: Path, *, bundle: Path, port: int, source: str = 'kind = "folder"\npath = "inbox"', mqtt_keys: str = "",
    station_keys: str = "deadline_ms = 60000",
) -> Path:  # fmt: skip
    """Write settings for one station that watches `folder`/inbox, and return the file."""
    (folder / "inbox").mkdir(parents=True, exist_ok=True)
    config = folder / "settings.toml"
    config.write_text(
        f'state_dir = "state"\n'
        f"[ledger]\nreserve_mb = 1\nalarm_free_mb = 1\n"
        f"[mqtt]\nport = {port}\n{mqtt_keys}\n"
        f'[[station]]\nname = "{STATION}"\nthreads = 1\n{station_keys}\n'
        f"[station.source]\n{source}\n"
        f'[[station.part]]\nname = "washer"\nbundle = "{bundle}"\n'
    )
    return config


class NotifySocket:
    """What systemd is to a service: a datagram socket that is always read."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("")  # Linux picks an abstract address
        self._socket.settimeout(0.1)
        self.address = "@" + self._socket.getsockname()[1:].decode()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                self.said.extend(self._socket.recv(4096).decode().splitlines())

    def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        self._thread.join()
        self._socket.close()


class Daemon:
    """`edge-inspector run` as systemd would run it; `kill` and `launch` as often as you like."""

    def __init__(
        self,
        config: Path,
        environment: dict[str, str] | None = None,
        *,
        prefix: tuple[str, ...] = (),
        program: str = "run",
    ) -> None:
        self.config = config
        self._program = program
        self._prefix = prefix
        """A program that starts it, `ip netns exec` for one."""
        self.log = config.with_name("daemon.log")
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._notify: NotifySocket | None = None

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def told(self) -> list[str]:
        """What this run has told systemd."""
        return [] if self._notify is None else self._notify.said

    def launch(self) -> Self:
        """Start the process and do not wait."""
        assert self._process is None
        self._notify = NotifySocket()
        environment = {**os.environ, "NOTIFY_SOCKET": self._notify.address, **self._environment}
        command = [
            *self._prefix,
            sys.executable,
            "-m",
            "edge_inspector.cli",
            "--verbose",
            self._program,
            "--config",
            str(self.config),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        return self

    def start(self) -> Self:
        """Start the process and return when it says READY."""
        self.launch()
        until(self._is_ready, "the daemon says READY")
        return self

    def _is_ready(self) -> bool:
        assert self._process is not None
        status = self._process.poll()
        assert status is None, f"the daemon ended with {status}:\n{self.words()}"
        return "READY=1" in self.told

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as systemd would and return its exit status."""
        return self._end(signal.SIGTERM)

    def wait(self) -> int:
        """Return its exit status when it ends by itself."""
        return self._end(None)

    def _end(self, number: signal.Signals | None) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        try:
            if number is not None:
                process.send_signal(number)
            return process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()
            if self._notify is not None:
                self._notify.close()

    def words(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()


@dataclass(frozen=True, slots=True)
class Heard:
    """One message as it came."""

    topic: str
    """Below the base."""
    payload: bytes
    retained: bool
    at: float
    """Monotonic."""


_VALIDATORS = {
    name.removesuffix(".schema.json"): jsonschema.Draft202012Validator(schema)
    for name, schema in documents().items()
    if name.endswith(".schema.json")
}


def broken_promises(heard: Iterable[Heard]) -> list[str]:
    """Return what in these messages is not as its published JSON Schema says, the first fault of each topic."""
    found: dict[str, str] = {}
    for message in heard:
        commanded = message.topic.startswith(("cmd/", "plc/cmd/"))
        name = "" if commanded or message.topic in found else schema_of(topic_of(message.topic).name)
        if name and message.payload:
            error = next(_VALIDATORS[name].iter_errors(json.loads(message.payload)), None)
            found |= {message.topic: f"{message.topic}: {error.message}"} if error else {}
    return list(found.values())


def let_go(client: mqtt.Client) -> None:
    """Break the circle of a client and its callbacks: else its sockets close when Python's collector comes by."""
    client.on_connect = client.on_disconnect = client.on_subscribe = client.on_message = None


class Subscriber:
    """Hears one station; what was heard must be valid when the block ends well.

    With a `session` it is a SCADA system's: the broker keeps messages for it while it is away.
    """

    def __init__(
        self,
        port: int,
        *,
        session: str = "",
        only: str = "#",
        base: str = BASE,
        hear: Callable[[Heard], None] | None = None,
        prepare: Callable[[mqtt.Client], object] = lambda _client: None,
    ) -> None:
        self.heard: list[Heard] = []
        self.losses = 0
        self._port = port
        self._base = base
        self._only = only
        self._hear = hear or (lambda _heard: None)
        self._session = session
        self._subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=session, protocol=MQTTProtocolVersion.MQTTv5)
        prepare(self.client)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = self._on_message

    def __enter__(self) -> Self:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600 if self._session else 0
        self.client.connect("127.0.0.1", self._port, 5, clean_start=not self._session, properties=properties)
        self.client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        let_go(self.client)
        if kind is None and self._base == BASE:
            assert broken_promises(self.heard) == []

    def _on_connect(self, *_: object) -> None:
        self.client.subscribe(f"{self._base}/{self._only}", 1)

    def _on_disconnect(self, *_: object) -> None:
        self.losses += 1

    def _on_message(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        topic = message.topic.removeprefix(f"{self._base}/")
        heard = Heard(topic, bytes(message.payload), message.retain, time.monotonic())
        self.heard.append(heard)
        self._hear(heard)

    def payloads(self, topic: str) -> list[bytes]:
        """Return all that came on a topic, oldest first."""
        return [heard.payload for heard in self.heard.copy() if heard.topic == topic]

    def last(self, topic: str) -> Any:  # noqa: ANN401 - JSON
        """Return the newest JSON or text of a topic; wait for the first one when none came yet."""
        text = until(lambda: self.payloads(topic), f"a message to {topic}")[-1].decode()
        return json.loads(text) if text.startswith(("{", "[")) else text

    @property
    def results(self) -> list[dict[str, Any]]:
        """All results, oldest first, as often as they came."""
        return [json.loads(payload) for payload in self.payloads("result")]

    def by_serial(self) -> dict[str, dict[str, Any]]:
        """Return the newest result of each serial."""
        return {result["serial"]: result for result in self.results}

    def wait_for_results(self, serials: Iterable[str], seconds: float = PATIENCE_S) -> dict[str, dict[str, Any]]:
        """Return the results by serial when all `serials` have one."""
        wanted = set(serials)
        until(lambda: wanted <= self.by_serial().keys(), f"results of {len(wanted)} parts", seconds)
        return self.by_serial()

    def send(
        self, topic: str, payload: bytes | str, *, retain: bool = False, properties: Properties | None = None
    ) -> None:
        """Publish below the base and return when the broker has it."""
        self.client.publish(f"{self._base}/{topic}", payload, 1, retain, properties).wait_for_publish(30)


def drop(inbox: Path, name: str, content: bytes) -> None:
    """Write a picture beside the inbox and rename it into it, as a well-behaved camera does."""
    part = inbox.with_name(f"{name}.part")
    part.write_bytes(content)
    part.rename(inbox / name)
