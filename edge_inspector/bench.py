"""How fast is this bundle on this machine, stage by stage, next to what the machine itself can do."""

import itertools
import math
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from edge_inspector.bundle import NETWORK, RESIDUAL, Bundle, open_inspector
from edge_inspector.engines.openvino import count_flops, usable_processors
from edge_inspector.errors import DataError
from edge_inspector.inspection.model import Identity, Image, Judgement, Reason
from edge_inspector.inspection.picture import thumbnail
from edge_inspector.inspection.preprocess import decode
from edge_inspector.line.ledger import open_ledger
from edge_inspector.private_line import private_broker, private_daemon, results_of, write_settings
from edge_inspector.wire.messages import Result, result_of

_Made = TypeVar("_Made")
_PIXELS = {"at_1_megapixel": 1e6, "at_5_megapixels": 5e6}
_ROUNDS = 60
_THUMB_BYTES = 20_000
_MATRIX = 2048
_GRAPHS = ("network", "residual")
_REST = ("decode", "align", "resize", "quality", "decide", "thumbnail")
_DAEMON_PARTS = 40
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class DaemonFigures:
    """The real daemon, watched from outside."""

    rss_mb: float
    ready_s: float
    parts_per_s: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Measured times in milliseconds, and the floors beside them."""

    stages: dict[str, list[float]]
    imdecode: list[float]
    fsync: list[float]
    graph_floor_ms: float
    """The graphs' float32 operations at the rate of a large matrix product."""

    def p(self, name: str, percent: float = 50) -> float:
        """Return a percentile of a stage's times."""
        return float(np.percentile(self.stages[name], percent))

    @property
    def graphs(self) -> float:
        """Both graphs, median."""
        return sum(self.p(name) for name in _GRAPHS)

    @property
    def rest_to_imdecode(self) -> float:
        """Everything but the graphs and fsync, beside one full decoding of the same JPEG."""
        commit = max(0.0, self.p("commit") - float(np.median(self.fsync)))
        return (sum(self.p(name) for name in _REST if name in self.stages) + commit) / float(np.median(self.imdecode))

    def ratios(self) -> dict[str, float]:
        """Return the ratios of the contract."""
        total = sum(self.p(name) for name in self.stages)
        return {
            "rest_to_imdecode": self.rest_to_imdecode,
            "graph_to_f32_floor": self.graphs / self.graph_floor_ms,
            "commit_to_fsync": self.p("commit") / float(np.median(self.fsync)),
            "total_to_graph": total / self.graphs,
        }

    def as_json(self) -> dict[str, object]:
        """Return stages and ratios by the names of the contract."""
        percentiles = {name: {f"p{percent}": self.p(name, percent) for percent in (50, 95, 99)} for name in self.stages}
        return {"stages": percentiles, "ratios": self.ratios()}


@dataclass(frozen=True, slots=True)
class Figures:
    """What `edge-inspector bench` reports."""

    main: Benchmark
    others: dict[str, Benchmark]
    """At other picture sizes, by name."""
    daemon: DaemonFigures

    def as_json(self) -> dict[str, object]:
        """Return the figures by the names of the contract."""
        others = {name: other.as_json() for name, other in self.others.items()}
        return {**self.main.as_json(), **asdict(self.daemon), **others}


def benchmark(bundle: Bundle, pictures: Sequence[Path], report: Callable[[str, float], None]) -> Figures:
    """Measure a bundle.

    Args:
        bundle: what is measured.
        pictures: JPEG files; empty to use the bundle's golden pictures, enlarged to 1 and to 5 megapixels.
        report: shows progress.
    """
    floor_ms = sum(count_flops(bundle.path / graph) for graph in (NETWORK, RESIDUAL)) / _matrix_rate() * 1000
    sets = {"given": [path.read_bytes() for path in pictures]} if pictures else _enlarged(bundle)
    with tempfile.TemporaryDirectory() as folder:
        measured = {}
        for done, (name, encoded) in enumerate(sets.items()):
            report(name.replace("_", " "), done / (len(sets) + 1))
            measured[name] = _measure(bundle, encoded, Path(folder) / name, floor_ms)
        report("daemon", len(sets) / (len(sets) + 1))
        daemon = _measure_daemon(bundle, next(iter(sets.values())), Path(folder))
    first, *others = measured.items()
    return Figures(first[1], dict(others), daemon)


def _matrix_rate() -> float:
    """Return the float32 operations a second of a large matrix product, best of seven."""
    left = np.random.default_rng(0).random((_MATRIX, _MATRIX), np.float32)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        left @ left
        times.append(time.perf_counter() - start)
    return float(2 * _MATRIX**3 / min(times))


def _enlarged(bundle: Bundle) -> dict[str, list[bytes]]:
    """Return the golden pictures as JPEG of 1 and of 5 megapixels, in their own shape: another would be refused.

    Where parts are aligned, another size would be, too.
    """
    images = [decode((bundle.path / case.picture).read_bytes(), 3) for case in bundle.manifest.golden]
    eight_bits = [image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8) for image in images]
    if bundle.recipe.align is not None:
        return {"own_size": [_jpeg(image, image.shape[0] * image.shape[1]) for image in eight_bits]}
    return {name: [_jpeg(image, pixels) for image in eight_bits] for name, pixels in _PIXELS.items()}


def _jpeg(image: Image, pixels: float) -> bytes:
    scale = math.sqrt(pixels / (image.shape[0] * image.shape[1]))
    enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return bytes(cv2.imencode(".jpg", enlarged, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def _measure(bundle: Bundle, encoded: Sequence[bytes], folder: Path, floor_ms: float) -> Benchmark:
    """Judge pictures as the daemon does, one after another, and keep every stage's times."""
    folder.mkdir()
    inspector = open_inspector(bundle, threads=usable_processors(), clock_ns=time.perf_counter_ns)
    stages: dict[str, list[float]] = defaultdict(list)
    imdecode, fsync = [], []
    with open_ledger(folder / "ledger.db", lambda: "bench", time.time_ns) as ledger, (folder / "raw").open("wb") as raw:
        for number, data in enumerate(itertools.islice(itertools.cycle(encoded), _ROUNDS + 5)):
            inspection = inspector.inspect(data)
            laps = dict(inspection.timing_ms)
            evidence, blobs = inspection.evidence, inspection.judgement.blobs
            if evidence is None:
                raise DataError(f"a picture cannot be judged: {inspection.judgement.detail}")
            (jpeg, *_), laps["thumbnail"] = _timed(partial(thumbnail, evidence.image, blobs, "bench", _THUMB_BYTES))
            _, laps["commit"] = _timed(partial(ledger.record, _builder(number), jpeg))
            _, decoding = _timed(partial(cv2.imdecode, np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
            raw.write(b"x" * 4096)
            raw.flush()
            _, syncing = _timed(partial(os.fsync, raw.fileno()))
            if number >= 5:  # the first ones warm up
                imdecode.append(decoding)
                fsync.append(syncing)
                for name, value in laps.items():
                    stages[name].append(value)
    return Benchmark(dict(stages), imdecode, fsync, floor_ms)


def _builder(number: int) -> Callable[[str, int, int], Result]:
    identity = Identity(f"bench{number}", "bench", "bench", time.time_ns(), "mtime")
    judgement = Judgement(Reason.DEFECT, "bench", 1.5)
    return lambda ledger, seq, now: result_of(
        identity, judgement, ledger=ledger, seq=seq, bundle=None, images=(), decided_ns=now, timing_ms={}
    )


def _timed(work: Callable[[], _Made]) -> tuple[_Made, float]:
    start = time.perf_counter()
    result = work()
    return result, 1000 * (time.perf_counter() - start)


def _measure_daemon(bundle: Bundle, encoded: Sequence[bytes], folder: Path) -> DaemonFigures:
    """Run the real daemon with this bundle, give it pictures all at once, and watch it from outside."""
    with ExitStack() as stack:
        mqtt = stack.enter_context(private_broker(folder))
        config = write_settings(folder, "bench", bundle, mqtt)
        ear = stack.enter_context(results_of(mqtt, "bench"))
        daemon = stack.enter_context(private_daemon(config, folder / "daemon.log"))
        start = time.perf_counter()
        for number in range(_DAEMON_PARTS):
            hidden = folder / "inbox" / f".{number}"
            hidden.write_bytes(encoded[number % len(encoded)])
            hidden.rename(folder / "inbox" / f"{number:04d}.jpg")
        for _ in range(_DAEMON_PARTS):
            ear.get(timeout=_PATIENCE_S)
        seconds = time.perf_counter() - start
        resident = _resident_mb(daemon.process)
    return DaemonFigures(resident, daemon.ready_s, _DAEMON_PARTS / seconds)


def _resident_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
