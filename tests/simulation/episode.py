"""One seed, one story: parts come, things fail, and in the end everything must be accounted for."""

import hashlib
import itertools
import logging
import queue
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from simulation.cell import BASE, Cell, SimInspector, camera_of, must
from simulation.network import Broker, Socket
from simulation.operator import Operator
from simulation.scheduler import Process, Scheduler, StuckError, modules
from simulation.storage import Disk

from edge_inspector.line.broker import link
from edge_inspector.line.sources import capture, folder, opening
from edge_inspector.line.sources.camera import Reader
from edge_inspector.line.station import station
from edge_inspector.line.station.queues import StationQueues
from edge_inspector.line.station.stage import PartLine
from edge_inspector.settings import Settings

FAULTS = ("kill", "kill", "power", "stop", "broker", "cut", "cut", "plc", "clock", "full", "late", "monitor")
_HOURS = 0.004
"""Fourteen seconds: in some stories a challenge is wanted so often."""
_CONNECTIONS = 3
_SETTLE_S = 240.0
"""Simulated time after the last part in which everything must be answered and delivered."""


@dataclass
class Outcome:
    """What a story came to."""

    seed: int
    parts: int = 0
    results: int = 0
    accepted: int = 0
    challenges: int = 0
    duplicates: int = 0
    damaged: int = 0
    """Frames that came damaged."""
    kills: int = 0
    steps: int = 0
    seconds: float = 0.0
    """Simulated."""
    faults: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    """Of every message that the broker took, with its time."""


class FailedError(AssertionError):
    """A seed that breaks a promise."""


def run(seed: int, parts: int = 40) -> Outcome:
    """Play the story of a seed and return what it came to.

    Raises:
        FailedError: a promise was broken; its message names the seed and how to play it again.
    """
    where = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108 - a disk without a disk
    folder_ = Path(tempfile.mkdtemp(prefix="edge-sim-", dir=where))
    story = _Story(seed, parts, folder_)
    try:
        with story.patched():
            try:
                return story.play()
            finally:
                if story.process is not None:
                    story.process.bury()
    except Exception as error:
        again = f"PYTHONPATH=.:tests python -m simulation --seed {seed} --parts {parts}"
        raise FailedError(f"seed {seed}: {type(error).__name__}: {error}\nagain: {again}") from error
    finally:
        story.disk.close_all()
        shutil.rmtree(folder_)


class _Story:
    def __init__(self, seed: int, parts: int, where: Path) -> None:
        rng = Random(seed)  # noqa: S311 - a simulation's chance
        self.rng = rng
        self.parts = parts
        self.outcome = Outcome(seed, parts)
        self.scheduler = Scheduler(rng)
        self.inbox = where / "inbox"
        self.inbox.mkdir()
        (where / "state" / "st1").mkdir(parents=True)
        ledger = where / "state" / "st1" / "ledger.db"
        self.broker = Broker(self.scheduler, self._hear)
        self.operator = Operator(self.scheduler, self.broker, BASE, _HOURS if seed % 10 in (4, 7) else 0.0)
        self.cell = Cell(self.scheduler, ledger, seed % 2 == 1, self.operator)
        self.disk = Disk(ledger, rng, self.cell.committed)
        self.process: Process | None = None
        self.stop: Any = None
        self.power = False
        self.ending = False
        self._ids = itertools.count()
        self._digest = hashlib.sha256()
        self._modules = modules(self.scheduler)
        self._settings = self._make_settings(where)

    def _make_settings(self, where: Path) -> Settings:
        still = {"settle_ms": 20, "unfinished_ms": 20}  # the simulated images are not image files
        source: dict[str, Any] = {"kind": "folder", "path": self.inbox, "scan_ms": 200, **still}
        if self.cell.triggered:
            source = {"kind": "capture", "device": "0", "trigger": "mqtt", "frozen": 0}
        one = {
            "name": "st1",
            "source": source,
            "part": [{"name": "washer", "bundle": where / "bundle"}],
            "queue": 8,
            "thumbs": "not_ok",
            "challenge_hours": self.operator.hours,
            "challenge_serial": "K.+",
        }
        archive = {"keep": "none", "overlays": "none"}
        ledger = {"reserve_mb": 1}  # held back and given up like any other, without a file of 64 MB for each story
        return Settings(station=(one,), state_dir=where / "state", mqtt={"port": 1883}, archive=archive, ledger=ledger)

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001
        if not topic.endswith(("/health", "/info")):  # free disk space and host name are not the seed's
            self._digest.update(f"{self.scheduler.now} {topic} ".encode() + payload)
        self.cell.hear(topic, payload, retained)

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Put simulated time, threads, disk, camera and network in the place of the real ones."""
        story = self

        class Folder(folder.FolderSource):
            def done(self, arrival_id: str) -> None:
                story.cell.let_go(arrival_id)
                super().done(arrival_id)

        with ExitStack() as stack:
            for name, module in tuple(sys.modules.items()):
                if name.startswith("edge_inspector.line."):
                    for what, simulated in self._modules.items():
                        if hasattr(module, what):
                            stack.enter_context(patch.object(module, what, simulated))
            stack.enter_context(patch.object(sqlite3, "connect", self._connect))
            stack.enter_context(patch.object(Path, "rename", _as_method(self.disk.rename)))
            stack.enter_context(patch.object(folder, "hints_from", _no_hints))
            stack.enter_context(patch.object(opening, "FolderSource", Folder))
            stack.enter_context(patch.object(station, "StationQueues", self._station_queues))
            camera = partial(Reader, capture=camera_of(self.cell))
            stack.enter_context(patch.object(capture, "Reader", camera))
            stack.enter_context(patch.object(link, "_client", lambda options: Socket(self.broker, options)))
            stack.callback(logging.disable, logging.root.manager.disable)
            logging.disable(logging.CRITICAL)
            yield

    def _station_queues(self, arrivals: Any) -> StationQueues:  # noqa: ANN401
        """A dataclass keeps the factories that it was written with: the real ones."""
        simulated = {
            getattr(real, name): getattr(self._modules[real.__name__], name)
            for real, name in ((queue, "SimpleQueue"), (threading, "Event"))
        }
        made = {one.name: simulated[one.default_factory]() for one in fields(StationQueues) if one.name != "arrivals"}
        return StationQueues(arrivals, **made)

    def _connect(self, path: Path, **keywords: Any) -> sqlite3.Connection:  # noqa: ANN401
        """The daemon's ledger is on the simulated disk; who looks on from outside has a plain connection."""
        inside = keywords.get("isolation_level", "") is None
        return self.disk.connect(path, **keywords) if inside else _PLAIN_CONNECT(path, **keywords)

    def play(self) -> Outcome:
        """Run the story to its end."""
        self._boot()
        at = 3.0
        for number in range(1, self.parts + 1):
            at += self.rng.choice((0.06, 0.25, 0.25, 0.6)) * self.rng.uniform(0.5, 1.5)
            self.scheduler.after(at, lambda n=number: self.cell.next_part(n, self.broker, self.inbox))
        for _ in range(self.rng.randint(2, 5) if self.operator.hours else self.rng.randint(0, 1)):
            self.scheduler.after(self.rng.uniform(2.0, at), lambda: self.cell.next_challenge(self.broker, self.inbox))
        for _ in range(self.rng.randint(1, 8)):
            fault = self.rng.choice(FAULTS)
            self.outcome.faults[fault] = self.outcome.faults.get(fault, 0) + 1
            self.scheduler.after(self.rng.uniform(1.0, at + 1), lambda f=fault: self._fault(f))
        self._run_until(lambda: self.scheduler.now > (at + 4) * 1e9, at + 10, "the last part")
        self.disk.full = False
        self._run_until(self._is_settled, _SETTLE_S, "every part answered and delivered", 64)
        if self.process is not None:
            self.process.crash_in, self.power = None, False  # a kill that has not hit yet does not hit any more
        said = self.scheduler.now + 1_000_000_000
        self._run_until(lambda: self.scheduler.now > said, 2, "a second of quiet")
        self._end_cleanly()
        self.cell.check_end(self.inbox)
        out = self.outcome
        out.parts, out.challenges = len(self.cell.kinds), len(self.cell.challenges)
        out.results, out.duplicates = len(self.cell.answers), self.cell.duplicates
        out.damaged = self.cell.damaged
        out.accepted, out.steps = len(self.cell.plc.accepted), self.scheduler.steps
        out.seconds, out.digest = self.scheduler.now / 1e9, self._digest.hexdigest()
        return out

    def _run_until(self, holds: Callable[[], bool], seconds: float, what: str, every: int = 1) -> None:
        limit = self.scheduler.now + int(seconds * 1e9)
        turns = 0
        while turns % every or not holds():
            turns += 1
            self._turn()
            if self.scheduler.now > limit:
                raise StuckError(f"in vain for {what}; missing: {self.cell.missing()[:5]}")

    def _turn(self) -> None:
        process = self.process
        if process is not None and process.crash_in is not None:
            process.crash_in -= 1
            process.dead |= process.crash_in < 0
        if process is not None and process.dead:
            self._bury(process)
        self.scheduler.step()

    def _is_settled(self) -> bool:
        # All three connections, too: who is away when the daemon stops cannot say that it goes.
        if self.process is None or self.broker.connections < _CONNECTIONS or self.operator.held or self.cell.missing():
            return False
        if len(self.cell.kinds) - len(self.cell.challenges) < self.parts:
            return False
        return self.cell.answers.keys() == self.cell.delivered.keys() and self.cell.cursor == self.cell.last_n

    # The process

    def _boot(self) -> None:
        self.process = self.disk.process = Process(self.scheduler)
        self.stop = self._modules["threading"].Event()
        self.process.start(self._main, "main")

    def _main(self) -> None:
        scheduler = self.scheduler
        rng = Random(self.rng.random())  # noqa: S311 - for the waits between attempts
        environment = station.Environment(scheduler.wall, lambda: scheduler.now, self._new_id, rng)
        one = self._settings.station[0]
        lines = {"washer": PartLine(SimInspector(scheduler), None)}  # type: ignore[arg-type]
        running = station.Station(
            self._settings,
            one,
            {},
            lines,
            environment=environment,
            stop=self.stop,
            signs=self._modules["queue"].SimpleQueue(),
        )
        running.run()
        scheduler.current().process.dead = True

    def _new_id(self) -> str:
        return f"{self.scheduler.wall():016x}{next(self._ids):016x}"

    def _bury(self, process: Process) -> None:
        """The process is gone: its sockets close, its uncommitted work is nothing, and systemd starts it again."""
        if process.error is not None:
            raise process.error
        process.bury()
        self.disk.process = self.process = None
        self.disk.close_all()
        self.broker.lose_process(process, power=self.power)
        self.outcome.kills += 1
        if self.power:
            self.power = False
            self.disk.cut_power()
            self.cell.after_power_cut()
        if not self.ending:
            self.scheduler.after(self.rng.uniform(0.2, 2.0), self._boot)

    def _end_cleanly(self) -> None:
        self.ending = True
        self.stop.set()
        self._run_until(lambda: self.process is None, 60, "a clean stop")
        retained = self.broker.retained
        must(retained[f"{BASE}/availability"] == b"offline", "stopped, and still online")
        must(retained[f"{BASE}/plc/ready"] == b"0", "stopped, and still ready")
        must(retained[f"{BASE}/plc/word"].split(b";")[2] == b"0", "stopped, and its last answer stands")

    # What fails

    def _fault(self, fault: str) -> None:
        rng, process = self.rng, self.process
        match fault:
            case "kill" | "power" if process is not None:
                self.power = fault == "power"
                process.crash_in = rng.randrange(400)
            case "stop" if process is not None:
                self.stop.set()
            case "broker":
                self.broker.die(forget=rng.random() < 0.5)
                self.cell.lose_plc(self.broker, rng.uniform(0.1, 2))
                self.scheduler.after(rng.uniform(0.2, 5), self._broker_is_back)
            case "cut":
                self.broker.cut_one()
            case "plc":
                self.cell.lose_plc(self.broker, rng.uniform(0.1, 2))
            case "clock":
                self.scheduler.wall_offset += int(rng.choice((-1, 1)) * rng.choice((1, 3600, 86400)) * 1e9)
                self.operator.look()
            case "full":
                self.disk.full = True
                self.scheduler.after(rng.uniform(0.1, 4), self._disk_has_room)
            case "monitor":
                self.operator.watch(rng.uniform(0.5, 6))
            case "late":
                self.broker.ack_s = lambda: rng.uniform(0.5, 40)
                self.scheduler.after(rng.uniform(1, 6), self._acks_are_prompt)
            case _:
                pass

    def _broker_is_back(self) -> None:
        self.broker.up = True

    def _disk_has_room(self) -> None:
        self.disk.full = False

    def _acks_are_prompt(self) -> None:
        self.broker.ack_s = lambda: self.rng.uniform(0.0002, 0.01)


def _as_method(rename: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    """Return a plain function: one that is bound to the disk would not be bound to the path."""

    def renamed(path: Path, target: Path) -> Path:
        return rename(path, target)

    return renamed


class _no_hints:  # noqa: N801 - stands in for a verb
    """No events from the file system: the scan is the truth."""

    def __init__(self, _folder: Path, _hints: object, *, deep: bool) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


_PLAIN_CONNECT = sqlite3.connect
