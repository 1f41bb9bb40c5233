"""The real daemon with a broker of its own, watched from outside."""

import os
import queue
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_inspector.bundle import Bundle
from edge_inspector.errors import DataError, UsageError
from edge_inspector.line.broker.link import Incoming
from edge_inspector.private_line import (
    PrivateStation,
    RunningDaemon,
    private_broker,
    private_daemon,
    results_of,
    watching,
    write_settings,
)

STATIONS = (1, 2, 4)
_AT_ONCE = 60
"""Parts for each throughput, shared by the stations."""
_ONE_BY_ONE = 120
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class DaemonFigures:
    """What a factory would see of it."""

    ready_s: float
    rss_mb: float
    answered_ms: tuple[float, ...]
    """From the rename that completes an image to its result at a subscriber, part by part, nothing else to do."""
    cpu_ms: float
    """Processor time of the daemon for one part."""
    parts_per_s: Mapping[int, float]
    """By number of stations, all with the same bundle."""

    def answered(self, percent: float) -> float:
        """Return a percentile of the times to an answer, ms."""
        return float(np.percentile(self.answered_ms, percent))

    def as_json(self) -> dict[str, object]:
        """Return the figures by name."""
        return {
            "ready_s": self.ready_s,
            "rss_mb": self.rss_mb,
            "answered_ms": {f"p{percent}": self.answered(percent) for percent in (50, 95, 99)},
            "cpu_ms": self.cpu_ms,
            "parts_per_s": {str(stations): rate for stations, rate in self.parts_per_s.items()},
        }


def measure_daemon(
    bundle: Bundle, encoded: Sequence[bytes], folder: Path, report: Callable[[str, float], None], flame: Path | None
) -> DaemonFigures:
    """Measure one station part by part, then 1, 2 and 4 stations with all they can do."""
    rates: dict[int, float] = {}
    for place, stations in enumerate(STATIONS):
        report(f"daemon, {stations} stations", 0.5 + place / (2 * len(STATIONS)))
        home = folder / f"{stations}-stations"
        home.mkdir()
        with _line(bundle, stations, home) as (daemon, ears):
            if stations == 1:
                with _drawn(daemon.process, flame):
                    first = _one_by_one(daemon.process, ears["bench-0"], home / "bench-0", encoded)
                resident, ready_s = _resident_mb(daemon.process), daemon.ready_s
            rates[stations] = _all_at_once(ears, home, encoded)
    return DaemonFigures(ready_s, resident, first[0], first[1], rates)


@contextmanager
def _line(
    bundle: Bundle, stations: int, home: Path
) -> Iterator[tuple[RunningDaemon, dict[str, "queue.SimpleQueue[Incoming]"]]]:
    with ExitStack() as stack:
        names = [f"bench-{number}" for number in range(stations)]
        mqtt = stack.enter_context(private_broker(home))
        bundles = {bundle.recipe.part: bundle}
        config = write_settings(home, {name: PrivateStation(watching(home / name), bundles) for name in names}, mqtt)
        ears = {name: stack.enter_context(results_of(mqtt, name)) for name in names}
        with private_daemon(config, home / "first.log"):
            pass  # compiles the graphs; every later start finds them
        yield stack.enter_context(private_daemon(config, home / "daemon.log")), ears


def _one_by_one(
    process: int, ear: "queue.SimpleQueue[Incoming]", inbox: Path, encoded: Sequence[bytes]
) -> tuple[tuple[float, ...], float]:
    """Return the time to each answer and the processor time of one part, ms; the first parts warm up."""
    times: list[float] = []
    before = 0.0
    for number in range(_ONE_BY_ONE + 10):
        if number == 10:
            before = _cpu_s(process)
        _bring(inbox, f"one-{number}", encoded[number % len(encoded)])
        start = time.perf_counter()
        _heard(ear)
        if number >= 10:
            times.append(1000 * (time.perf_counter() - start))
    return tuple(times), 1000 * (_cpu_s(process) - before) / _ONE_BY_ONE


def _all_at_once(ears: Mapping[str, "queue.SimpleQueue[Incoming]"], home: Path, encoded: Sequence[bytes]) -> float:
    each = _AT_ONCE // len(ears)
    start = time.perf_counter()
    for number in range(each):
        for name in ears:
            _bring(home / name, f"many-{number}", encoded[number % len(encoded)])
    for ear in ears.values():
        for _ in range(each):
            _heard(ear)
    return each * len(ears) / (time.perf_counter() - start)


def _bring(inbox: Path, name: str, data: bytes) -> None:
    """Complete an image as a camera does that renames."""
    hidden = inbox / f".{name}"
    hidden.write_bytes(data)
    hidden.rename(inbox / f"{name}.jpg")


def _heard(ear: "queue.SimpleQueue[Incoming]") -> None:
    try:
        ear.get(timeout=_PATIENCE_S)
    except queue.Empty as error:
        raise DataError(f"the daemon did not answer within {_PATIENCE_S:.0f} s") from error


@contextmanager
def _drawn(process: int, flame: Path | None) -> Iterator[None]:
    """Draw where the daemon's time goes, by py-spy."""
    if flame is None:
        yield
        return
    command = ["py-spy", "record", "--pid", str(process), "--output", str(flame), "--threads", "--nonblocking"]
    try:
        spy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603
    except FileNotFoundError as error:
        raise UsageError("--flame needs py-spy: pip install py-spy") from error
    try:
        yield
    finally:
        spy.send_signal(2)
        told = spy.communicate(timeout=_PATIENCE_S)[1]
    if not flame.is_file():
        raise DataError(f"py-spy drew nothing: {told.decode(errors='replace').strip()[-300:]}")


def _resident_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
