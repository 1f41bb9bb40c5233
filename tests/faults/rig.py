"""A line for faults: the real daemon, a real broker, SCADA and a PLC; parts go in, and everything is accounted for."""

import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from brokers import Mosquitto, comes, lasting, until
from daemons import STATION, Daemon, Heard, Subscriber, write_settings
from factories import a_part, png
from plc import Plc

from edge_inspector.bundle import Bundle

GOOD = [png(a_part(3000 + n)) for n in range(8)]
BAD = [png(a_part(3100 + n, scratched=True)) for n in range(4)]
EVERY_S = 0.08


@dataclass
class Rig:
    """A line at work."""

    folder: Path
    broker: Mosquitto
    daemon: Daemon
    scada: Subscriber
    plc: Plc
    news: threading.Lock
    inbox: Path
    state: Path
    bad: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    _row: str = ""
    _begun: int = 0

    def begin(self, row: str) -> None:
        """Begin a row: from here on everything is counted for it."""
        self._row, self.sent = row, []
        self._begun = len(self.scada.results)

    def part(self, *, bad: bool | None = None) -> tuple[str, bytes]:
        """Return the next part's serial and picture, and have the PLC wait for it."""
        number = len(self.sent)
        serial = f"{self._row}-{number:04d}"
        is_bad = number % 4 == 3 if bad is None else bad
        self.sent.append(serial)
        if is_bad:
            self.bad.add(serial)
        with self.news:
            self.plc.expect(time.monotonic(), serial=serial)
        return serial, (BAD[number % len(BAD)] if is_bad else GOOD[number % len(GOOD)])

    def send(self, count: int, every_s: float = EVERY_S) -> None:
        """Put so many parts into the inbox at a steady pace."""
        for _ in range(count):
            self.put(*self.part())
            pass_time(every_s)

    def put(self, serial: str, content: bytes) -> None:
        """Have a picture appear whole, written on the inbox's own file system as a camera on a share does."""
        beside = self.inbox / f".{serial}.part"
        beside.write_bytes(content)
        beside.rename(self.inbox / f"{serial}.png")

    def recovered(self, since: float) -> float:
        """Return the seconds from `since` until the station is ready and answers a part that is sent then."""

        def answers() -> bool:
            if self.scada.last("plc/ready") != "1":
                return False
            serial, content = self.part(bad=False)
            self.put(serial, content)
            comes(lambda: serial in self.scada.by_serial(), 3)
            return serial in self.scada.by_serial() and not self.scada.by_serial()[serial]["replayed"]

        until(answers, f"{self._row}: recovery")
        return time.monotonic() - since

    def account(self, record: Callable[[str, object], None], recovery_s: float | None) -> list[dict[str, Any]]:
        """Wait until every part has its answer, check all promises and write the row; return the results."""
        wanted = set(self.sent)
        until(lambda: wanted <= self.scada.by_serial().keys(), f"{self._row}: all results")
        results = [one for one in self.scada.results if one["serial"] in wanted]
        first = {one["id"]: one for one in results}
        errors = [one for one in first.values() if one["verdict"] == "ERROR"]
        passed = {one["serial"] for one in first.values() if one["accept"]}
        wrong = [one["serial"] for one in first.values() if one not in errors and self._is_wrong(one)]
        accepted = [serial for serial in self.plc.accepted if serial in wanted]
        wrong_accepts = [serial for serial in accepted if serial in self.bad or serial not in passed]
        record("parts in", len(self.sent))
        record("results out", len(first))
        record("duplicates", len(results) - len(first))
        record("wrong verdicts", len(wrong))
        record("errors", len(errors))
        record("wrong accepts", len(wrong_accepts))
        record("recovery s", "" if recovery_s is None else f"{recovery_s:.1f}")

        assert wrong_accepts == []
        assert wrong == []
        assert sorted(one["serial"] for one in first.values()) == sorted(self.sent)
        assert _copies_that_differ(results) == {}
        return list(first.values())

    def _is_wrong(self, result: dict[str, Any]) -> bool:
        return bool((result["verdict"] == "OK") == (result["serial"] in self.bad))

    def in_ledger(self) -> int:
        """Return how many results are committed."""
        with closing(sqlite3.connect(self.state / STATION / "ledger.db")) as ledger:
            return int(ledger.execute("SELECT count(*) FROM entry WHERE topic = 'result'").fetchone()[0])


def _copies_that_differ(results: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return by id what came more than once and not the same; only `replayed` may tell a copy from its original."""
    texts: dict[str, set[str]] = {}
    for one in results:
        texts.setdefault(one["id"], set()).add(json.dumps({**one, "replayed": None}, sort_keys=True))
    return {number: found for number, found in texts.items() if len(found) > 1}


@contextmanager
def running(
    folder: Path,
    bundle: Bundle | Path,
    *,
    inbox: Path | None = None,
    state: Path | None = None,
    broker: Mosquitto | None = None,
    host_port: tuple[str, int] | None = None,
    prefix: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
    keys: str = "",
) -> Iterator[Rig]:
    """Run a line until the block ends; folders may lie on other file systems, `keys` are further tables of settings."""
    path = bundle if isinstance(bundle, Path) else bundle.path
    with ExitStack() as stack:
        post = stack.enter_context(broker or lasting(folder / "broker"))
        host, port = host_port or ("127.0.0.1", post.port)
        config = write_settings(folder, bundle=path, port=port, mqtt_keys=f'host = "{host}"')
        text = config.read_text()
        for old, new in (('"inbox"', inbox), ('"state"', state)):
            text = text.replace(old, f'"{new}"') if new is not None else text
        config.write_text(f"{text}{keys}\n")
        plc, news = Plc(), threading.Lock()

        def hear(heard: Heard) -> None:
            with news:
                plc.hear(heard.topic, heard.payload, heard.at)

        daemon = stack.enter_context(Daemon(config, environment, prefix=prefix))
        scada = stack.enter_context(Subscriber(post.port, session="scada"))
        watcher = stack.enter_context(Subscriber(post.port, only="plc/#", hear=hear))
        watcher.client.on_disconnect = lambda *_: plc.lose()
        post.save()
        rig = Rig(
            folder, post, daemon, scada, plc, news, inbox or folder / "inbox", state or folder / "state"
        )  # fmt: skip
        if prefix:
            daemon.launch()  # READY goes to an abstract socket, which ends at the network namespace
        else:
            daemon.start()
        ready(rig)
        yield rig


def ready(rig: Rig) -> None:
    """Return when the station says that it is ready."""
    until(lambda: rig.scada.last("plc/ready") == "1", "the station is ready")


def pass_time(seconds: float) -> None:
    """Let some time pass."""
    moment = time.monotonic() + seconds
    until(lambda: time.monotonic() >= moment, "the moment", seconds + 10)


class Wire:
    """A cable between daemon and broker that can be cut, or let nothing back."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._target = port
        self._server = socket.create_server((host, 0))
        self.port: int = self._server.getsockname()[1]
        self.mute = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def cut(self) -> None:
        """Break all connections."""
        for pair in self._pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._pairs.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target), 2)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._pairs.append((near, far))
                for ends, back in (((near, far), False), ((far, near), True)):
                    thread = threading.Thread(target=self._pump, args=(*ends, back), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, back: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while content := source.recv(65536):
                if not (back and self.mute):
                    sink.sendall(content)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def is_root() -> bool:
    """Say whether file systems can be mounted and limits raised here."""
    return os.geteuid() == 0
