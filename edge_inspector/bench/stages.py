"""Every stage of one part in this process, and what the machine itself can do."""

import itertools
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from edge_inspector.bundle import NETWORK, RESIDUAL, Bundle, open_inspector
from edge_inspector.engines.openvino import bf16_rate, count_flops, usable_processors
from edge_inspector.errors import DataError
from edge_inspector.inspection.model import Identity, Image, Judgement, Reason, Verdict
from edge_inspector.inspection.overlays import thumbnail
from edge_inspector.inspection.preprocess import decode
from edge_inspector.line.ledger.ledger import open_ledger
from edge_inspector.wire.messages import Result, result_of

_Made = TypeVar("_Made")
_PIXELS = {"1 megapixel": 1e6, "5 megapixels": 5e6}
_ROUNDS = 60
_SHOWN = 20
_THUMB_BYTES = 20_000
_MATRIX = 2048
_GRAPHS = ("network", "residual")
_REST = ("decode", "align", "resize", "quality", "decide", "thumbnail", "encode")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Measured times in milliseconds, and the floors beside them."""

    stages: dict[str, list[float]]
    imdecode: list[float]
    fsync: list[float]
    graph_floor_ms: float
    """The graphs' operations at the rate of a large float32 matrix product."""
    thin_floor_ms: float | None
    """The same at the rate of a bf16 product; None where the processor has no units for it."""

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

    def as_json(self) -> dict[str, object]:
        """Return the stages by name, and the floors."""
        percentiles = {name: {f"p{percent}": self.p(name, percent) for percent in (50, 95, 99)} for name in self.stages}
        floors = {
            "imdecode": float(np.median(self.imdecode)),
            "fsync": float(np.median(self.fsync)),
            "graphs_f32": self.graph_floor_ms,
            "graphs_bf16": self.thin_floor_ms,
        }
        return {"stages": percentiles, "floors_ms": floors}


def measure_stages(
    bundle: Bundle, images: Mapping[str, Sequence[bytes]], folder: Path, report: Callable[[str, float], None]
) -> dict[str, Benchmark]:
    """Measure a bundle in this process, by image size.

    Args:
        bundle: what is measured.
        images: JPEG files by what they are called, as `images_of` returns them.
        folder: for files that are gone afterwards.
        report: shows progress.
    """
    flops = sum(count_flops(bundle.path / graph) for graph in (NETWORK, RESIDUAL))
    floor_ms = 1000 * flops / _matrix_rate()
    thin = bf16_rate(_MATRIX, usable_processors())
    measured = {}
    for done, (name, encoded) in enumerate(images.items()):
        report(name, done / 2)
        measured[name] = _measure(
            bundle, encoded, folder / name.replace(" ", "-"), (floor_ms, None if thin is None else 1000 * flops / thin)
        )
    return measured


def images_of(bundle: Bundle, images: Sequence[Path]) -> dict[str, list[bytes]]:
    """Return the JPEG files to measure with, by what they are called.

    Without `images` they are the bundle's golden ones, enlarged to 1 and to 5 megapixels.
    """
    return {"given": [path.read_bytes() for path in images]} if images else _enlarged(bundle)


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
    """Return the golden images as JPEG of 1 and of 5 megapixels, in their own shape: another would be refused.

    One part in twenty is a bad one, as on a line that runs well. Where parts are aligned, another size would be
    refused, too.
    """
    golden = sorted(bundle.manifest.golden, key=lambda case: case.verdict != Verdict.OK)
    good = [case for case in golden if case.verdict == Verdict.OK] or golden
    shown = [*itertools.islice(itertools.cycle(good), _SHOWN - 1), golden[-1]]
    images = [decode((bundle.path / case.image).read_bytes(), 3) for case in shown]
    eight_bits = [image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8) for image in images]
    if bundle.recipe.align is not None:
        return {"own size": [_jpeg(image, image.shape[0] * image.shape[1]) for image in eight_bits]}
    return {name: [_jpeg(image, pixels) for image in eight_bits] for name, pixels in _PIXELS.items()}


def _jpeg(image: Image, pixels: float) -> bytes:
    scale = math.sqrt(pixels / (image.shape[0] * image.shape[1]))
    enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return bytes(cv2.imencode(".jpg", enlarged, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def _measure(
    bundle: Bundle, encoded: Sequence[bytes], folder: Path, floors_ms: tuple[float, float | None]
) -> Benchmark:
    """Judge images as the daemon does, one after another, and keep every stage's times."""
    folder.mkdir()
    inspector = open_inspector(bundle, threads=usable_processors(), clock_ns=time.perf_counter_ns)
    stages: dict[str, list[float]] = defaultdict(list)
    imdecode, fsync = [], []
    with open_ledger(folder / "ledger.db", lambda: "bench", time.time_ns) as ledger, (folder / "raw").open("wb") as raw:
        for number, original in enumerate(itertools.islice(itertools.cycle(encoded), _ROUNDS + 5)):
            (folder / "image").write_bytes(original)
            data, reading = _timed((folder / "image").read_bytes)
            inspection = inspector.inspect(data)
            laps = {"read": reading, **dict(inspection.timing_ms)}
            evidence, blobs = inspection.evidence, inspection.judgement.blobs
            if evidence is None:
                raise DataError(f"an image cannot be judged: {inspection.judgement.detail}")
            (jpeg, *_), laps["thumbnail"] = _timed(partial(thumbnail, evidence.image, blobs, "bench", _THUMB_BYTES))
            result, laps["commit"] = _timed(partial(ledger.results.record, _builder(number), jpeg))
            if result is None:
                raise DataError("the ledger took nothing")
            _, laps["encode"] = _timed(result.model_dump_json)
            _, decoding = _timed(partial(cv2.imdecode, np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
            raw.write(b"x" * 4096)
            raw.flush()
            _, syncing = _timed(partial(os.fsync, raw.fileno()))
            if number >= 5:  # the first ones warm up
                imdecode.append(decoding)
                fsync.append(syncing)
                for name, value in laps.items():
                    stages[name].append(value)
    return Benchmark(dict(stages), imdecode, fsync, *floors_ms)


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
