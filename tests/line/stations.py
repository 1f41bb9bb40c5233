"""A whole station in this process, on a real broker, whose detector says what a test wants."""

import itertools
import json
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Self

import numpy as np
from brokers import PATIENCE_S, until
from daemons import STATION, Subscriber, drop
from factories import a_part, a_recipe, png

from edge_inspector.bundle import Bundle
from edge_inspector.inspection.inspector import Features, Inspector
from edge_inspector.inspection.model import AnomalyMap, ModelInput
from edge_inspector.line.environment import Environment
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.line.station.signs import Restart, Signs
from edge_inspector.line.station.stage import PartLine
from edge_inspector.line.station.station import Station
from edge_inspector.settings import Settings


class _Detector:
    def __init__(self, residual: Callable[[], AnomalyMap]) -> None:
        self._residual = residual

    def network(self, _image: ModelInput) -> Features:
        return np.zeros((1, 1, 64, 64), np.float32)

    def residual(self, _image: ModelInput, _features: Features) -> AnomalyMap:
        return self._residual()


def a_map(level: float = 0.5) -> AnomalyMap:
    """Return a map with one blob at `level`; the limit is 1."""
    amap = np.zeros((64, 64), np.float32)
    amap[20:30, 20:30] = level
    return amap


class Bench:
    """Station st1 with part washer; `level` is what the detector finds in the next image.

    `bundles` is what the station knows of its parts; `golden` is what the next golden checks find, by part; `now_ns`
    is the station's clock; while `hold` is not set the detector does not come to an end. Below zero it fails.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        mqtt: dict[str, Any] | None = None,
        bundles: dict[str, Bundle] | None = None,
        **station: Any,  # noqa: ANN401 - a test factory
    ) -> None:
        self.inbox = folder / "inbox"
        self.inbox.mkdir(exist_ok=True)
        self.level = 0.5
        self.hold = threading.Event()
        self.hold.set()
        self._bundles = bundles or {}
        self.golden: dict[str, tuple[str, ...]] = {}
        self.now_ns: Callable[[], int] = time.time_ns
        self._folder = folder
        values: dict[str, Any] = {
            "name": STATION,
            "source": {"kind": "folder", "path": self.inbox, "settle_ms": 50, "scan_ms": 100},
            "part": [{"name": "washer", "bundle": folder / "bundle"}],
            "deadline_ms": 20_000,  # a busy machine is no late answer
            **station,
        }
        self._settings = Settings(
            station=(values,), state_dir=folder / "state", mqtt={"port": port, **(mqtt or {})}, ledger={"reserve_mb": 1}
        )
        self._numbers = itertools.count()
        self.signs: Signs = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        station = self._settings.station[0]
        (self._folder / "state" / station.name).mkdir(parents=True, exist_ok=True)
        self.opens().__exit__()
        inspector = Inspector(a_recipe(), _Detector(self._look), None, time.perf_counter_ns)
        environment = Environment(self._now, time.monotonic_ns, self._new_id, Random(1))  # noqa: S311 - jitter
        running = Station(
            self._settings,
            station,
            self._bundles,
            {
                part.name: PartLine(inspector, None, golden=lambda name=part.name: self.golden.get(name, ()))
                for part in station.part
            },
            environment=environment,
            stop=self._stop,
            signs=self.signs,
        )
        self._thread = threading.Thread(target=running.run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(PATIENCE_S)

        assert not self._thread.is_alive()

    def _look(self) -> AnomalyMap:
        assert self.hold.wait(PATIENCE_S)
        if self.level < 0:
            raise RuntimeError("the graph broke")
        return a_map(self.level)

    def _now(self) -> int:
        return self.now_ns()

    def _new_id(self) -> str:
        return f"{time.time_ns():x}{next(self._numbers):04}"

    def restarts(self) -> list[str]:
        """Return why the station wanted a new start, since the last look."""
        found = []
        while not self.signs.empty():
            sign = self.signs.get()
            if isinstance(sign, Restart):
                found.append(sign.why)
        return found

    def opens(self) -> Ledger:
        """Open a connection to the station's ledger."""
        return open_ledger(
            self._folder / "state" / self._settings.station[0].name / "ledger.db", lambda: "ledger-1", time.time_ns
        )

    def send(self, serial: str, level: float = 0.5) -> None:
        """Put a part in front of the camera that the detector will find so unusual."""
        self.level = level
        drop(self.inbox, f"{serial}.png", png(a_part(0)))


def wait_until_ready(heard: Subscriber) -> None:
    """Return when the station says that it is ready."""
    until(lambda: heard.last("plc/ready") == "1", "the station is ready")


def wait_until_triggers_work(heard: Subscriber) -> None:
    """Return when the state thread takes triggers: it hears of it before the health that says so, the PLC's apart."""
    wait_until_ready(heard)
    until(lambda: heard.last("health")["state"] in ("READY", "RUNNING"), "the state thread is ready, too")


def ask(heard: Subscriber, name: str, correlation_id: str, **args: Any) -> tuple[str, str]:  # noqa: ANN401 - any JSON
    """Send a command as Maria does, and return the first answer's status and reason."""
    heard.send(f"cmd/{name}", json.dumps({"correlation_id": correlation_id, "by": "Maria", "args": args}))

    def found() -> list[tuple[str, str]]:
        acks = [json.loads(payload) for payload in heard.payloads("ack")]
        return [(ack["status"], ack["reason"]) for ack in acks if ack["correlation_id"] == correlation_id]

    return until(found, f"the answer to {correlation_id}")[0]


def wait_for_alarms(heard: Subscriber, *codes: str) -> None:
    """Return when these alarms are on, and no other."""
    until(lambda: heard.last("alarms")["active"] == sorted(codes), f"the alarms {codes}")


def wait_until_not_ready(heard: Subscriber) -> None:
    """Return when the station says that it is not ready, for it has looked at its source."""
    until(lambda: heard.last("plc/ready") == "0", "the station is not ready")
