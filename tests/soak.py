"""`make soak`: the real daemon for an hour, ten parts a second, faults at random; what grows, and is anything lost?

Prints a table and draws a plot. Ends with 1 when a part was lost, answered twice, judged wrongly or let pass wrongly.
"""

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import numpy as np
from brokers import until
from factories import write_parts
from faults.rig import Rig, pass_time, running

_SAMPLE_S = 2.0
_T95 = 1.96
_SETTLED_S = 20.0
"""A new process takes memory for so long without that meaning anything."""
_AROUND = ("kill the broker", "remove the inbox")
"""What fails in the second half too, in which the process lives on: else nothing could be said of its memory."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How the process was at a moment."""

    at_s: float
    pid: int
    """Memory and descriptors are compared within one life of the process."""
    rss_mb: float
    descriptors: int
    database_mb: float


@dataclass
class Soak:
    """One soak: the line, its chance, what was seen."""

    rig: Rig
    rng: Random
    begun: float
    samples: list[Sample] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    recoveries: list[float] = field(default_factory=list)
    away: threading.Lock = field(default_factory=threading.Lock)
    """Held while the inbox is somewhere else: the camera waits, as one on a share does."""

    def sample(self) -> None:
        """Look at the process, if it is there."""
        try:
            pid = self.rig.daemon.pid
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            count = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
        except (OSError, AssertionError, IndexError):
            return
        size = sum(path.stat().st_size for path in (self.rig.state / "st1").glob("ledger.db*"))
        self.samples.append(
            Sample(time.monotonic() - self.begun, pid, pages * os.sysconf("SC_PAGE_SIZE") / 1e6, count, size / 1e6)
        )

    def fail(self, *, spare_daemon: bool) -> None:
        """Have one thing fail, and come back."""
        name = self.rng.choice(_AROUND if spare_daemon else (*_AROUND, "kill the daemon", "stop the daemon"))
        self.faults[name] = self.faults.get(name, 0) + 1
        begun = time.monotonic()
        match name:
            case "kill the daemon":
                self.rig.daemon.kill()
                self.rig.daemon.start()
            case "stop the daemon":
                assert self.rig.daemon.stop() == 0
                self.rig.daemon.start()
            case "kill the broker":
                self.rig.broker.save()
                self.rig.broker.kill()
                pass_time(self.rng.uniform(0, 3))
                self.rig.broker.start()
            case _:
                with self.away:
                    aside = self.rig.inbox.with_name("aside")
                    self.rig.inbox.rename(aside)
                    pass_time(self.rng.uniform(1, 3))
                    aside.rename(self.rig.inbox)
        until(lambda: self.rig.scada.last("plc/ready") == "1", f"ready after: {name}")
        self.recoveries.append(time.monotonic() - begun)


def soak(rig: Rig, seconds: float, rate: float, every_s: float, seed: int) -> Soak:
    """Run a line for so long and return what was seen."""
    ran = Soak(rig, Random(seed), time.monotonic())  # noqa: S311 - when what fails
    rig.begin("soak")
    over = threading.Event()
    failures: list[BaseException] = []

    def fail() -> None:
        try:
            while not over.wait(every_s * ran.rng.uniform(0.5, 1.5)):
                ran.fail(spare_daemon=time.monotonic() - ran.begun > seconds / 2)
        except BaseException as error:  # noqa: BLE001 - a thread's failure belongs to the soak
            failures.append(error)

    failing = threading.Thread(target=fail)
    failing.start()
    sent, sampled = 0, 0.0
    while time.monotonic() - ran.begun < seconds and not failures:
        with ran.away:
            rig.put(*rig.part())
        sent += 1
        if time.monotonic() - sampled > _SAMPLE_S:
            sampled = time.monotonic()
            ran.sample()
        pass_time(max(0.0, ran.begun + sent / rate - time.monotonic()))
    over.set()
    failing.join()
    if failures:
        raise failures[0]
    return ran


def slope(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Return slope and half of its 95 % interval, per hour, of values over seconds."""
    if len(points) < 3:
        return math.nan, math.nan
    x = np.array([point[0] for point in points]) / 3600
    y = np.array([point[1] for point in points])
    x = x - x.mean()
    found = float((x * y).sum() / (x * x).sum())
    rest = y - y.mean() - found * x
    return found, _T95 * math.sqrt(float((rest**2).sum()) / (len(x) - 2) / float((x * x).sum()))


def longest_run(samples: list[Sample], settle_s: float) -> list[Sample]:
    """Return the samples of the longest life of the process, without its first seconds."""
    runs: dict[int, list[Sample]] = {}
    for sample in samples:
        runs.setdefault(sample.pid, []).append(sample)
    longest = max(runs.values(), key=lambda run: run[-1].at_s - run[0].at_s)
    return [sample for sample in longest if sample.at_s - longest[0].at_s >= settle_s]


def report(ran: Soak, counts: dict[str, object]) -> list[tuple[str, str]]:
    """Return the rows of the table."""
    quiet = longest_run(ran.samples, _SETTLED_S)
    rss, rss_half = slope([(sample.at_s, sample.rss_mb) for sample in quiet])
    fds, fds_half = slope([(sample.at_s, sample.descriptors) for sample in quiet])
    results = [one for one in ran.rig.scada.results if one["serial"].startswith("soak") and not one["replayed"]]
    took = [one["timing_ms"]["total"] for one in {one["id"]: one for one in results}.values()]
    third = max(1, len(took) // 3)
    return [
        ("length", f"{ran.samples[-1].at_s / 60:.1f} min"),
        ("faults", ", ".join(f"{count} x {name}" for name, count in sorted(ran.faults.items())) or "none"),
        *((name, str(value)) for name, value in counts.items() if name != "recovery s"),
        ("fault to ready again, median and longest", _pair(ran.recoveries, "s")),
        ("memory, longest life of the process", f"{quiet[0].rss_mb:.0f} to {quiet[-1].rss_mb:.0f} MB" if quiet else ""),
        ("its length", f"{(quiet[-1].at_s - quiet[0].at_s) / 60:.1f} min" if quiet else ""),
        ("memory slope (95 % interval)", f"{rss:+.1f} MB/h ({rss - rss_half:+.1f} to {rss + rss_half:+.1f})"),
        ("descriptors", f"{min(s.descriptors for s in quiet)} to {max(s.descriptors for s in quiet)}" if quiet else ""),
        ("descriptor slope", f"{fds:+.1f} /h ({fds - fds_half:+.1f} to {fds + fds_half:+.1f})"),
        ("database at the end", f"{ran.samples[-1].database_mb:.1f} MB"),
        ("database per 1,000 parts", f"{1000 * ran.samples[-1].database_mb / len(ran.rig.sent):.2f} MB"),
        ("latency p50 / p95, first third", _latency(took[:third])),
        ("latency p50 / p95, last third", _latency(took[-third:])),
    ]


def _pair(values: list[float], unit: str) -> str:
    return f"{np.median(values):.1f} {unit}, {max(values):.1f} {unit}" if values else "none"


def _latency(took: list[float]) -> str:
    return f"{np.percentile(took, 50):.1f} / {np.percentile(took, 95):.1f} ms" if took else "none"


def draw(ran: Soak, path: Path) -> None:
    """Draw memory, descriptors, database and latency over time."""
    import matplotlib as mpl  # noqa: PLC0415 - only the soak draws

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(4, 1, figsize=(9, 10), sharex=True, constrained_layout=True)
    at = [sample.at_s / 60 for sample in ran.samples]
    for axis, name, values in (
        (axes[0], "memory, MB", [sample.rss_mb for sample in ran.samples]),
        (axes[1], "descriptors", [float(sample.descriptors) for sample in ran.samples]),
        (axes[2], "database, MB", [sample.database_mb for sample in ran.samples]),
    ):
        axis.plot(at, values, ".", markersize=3)
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
    heard = [one for one in ran.rig.scada.heard if one.topic == "last/result"]
    took = [(one.at - ran.begun, _total_ms(one.payload)) for one in heard if one.at >= ran.begun]
    axes[3].plot([when / 60 for when, _ in took], [ms for _, ms in took], ".", markersize=2)
    axes[3].set_ylabel("latency, ms")
    axes[3].set_yscale("log")
    axes[3].set_xlabel("minutes")
    figure.savefig(path)


def _total_ms(payload: bytes) -> float:
    return float(json.loads(payload)["timing_ms"]["total"])


def main() -> int:
    """Soak; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--rate", type=float, default=10.0, help="parts a second")
    parser.add_argument("--fault-every", type=float, default=60.0, help="seconds, on average")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bundle", type=Path, help="default: one is trained")
    parser.add_argument("--plot", type=Path, default=Path("soak.png"))
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="edge-soak-"))
    counts: dict[str, object] = {}
    record: Callable[[str, object], None] = counts.__setitem__
    try:
        with running(folder, asked.bundle or _train(folder)) as rig:
            ran = soak(rig, asked.seconds, asked.rate, asked.fault_every, asked.seed)
            rig.account(record, None)
            table = report(ran, counts)
            draw(ran, asked.plot)
    except AssertionError as error:
        print(f"a promise was broken: {error}\n{counts}\nleft to look at: {folder}", file=sys.stderr)  # noqa: T201
        return 1
    shutil.rmtree(folder)
    print("| soak | |\n|---|---|")  # noqa: T201
    print("\n".join(f"| {name} | {value} |" for name, value in table))  # noqa: T201
    return 0


def _train(folder: Path) -> Path:
    """Train a small bundle from drawn parts."""
    from edge_inspector.detectors.settings import CaeSettings  # noqa: PLC0415
    from edge_inspector.detectors.training_data import Budget  # noqa: PLC0415 - torch, and only where no bundle is given
    from edge_inspector.lab.training.train_part import TrainingRequest, train  # noqa: PLC0415

    request = TrainingRequest(
        images=write_parts(folder / "good", 60),
        part="washer",
        out=folder / "washer",
        detector=CaeSettings(),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        clock=time.monotonic,
        report=lambda _words, _share: None,
        width=64,
        height=64,
        budget=Budget(epochs=15, seconds=None),
    )
    return train(request).path


if __name__ == "__main__":
    sys.exit(main())
