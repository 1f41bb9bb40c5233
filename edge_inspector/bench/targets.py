"""What is wanted of a bundle, beside what was measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from edge_inspector.bench.daemon import DaemonFigures
from edge_inspector.bench.plc import PlcFigures
from edge_inspector.bench.stages import Benchmark
from edge_inspector.bundle import Bundle
from edge_inspector.engines.openvino import can_run

_MEGABYTE = 1e6
_CAE_MB, _OTHERS_MB, _BUNDLES = 200.0, 150.0, 2.5
_LIGHT, _FULL = 0.7, 1.2
"""Of the graphs beside their float32 floor: with units for fewer bits, and without."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    measured: float
    at_most: float

    @property
    def met(self) -> bool:
        """Whether it is as good as wanted."""
        return self.measured <= self.at_most


def rows(bundle: Bundle, stages: Mapping[str, Benchmark], daemon: DaemonFigures, plc: PlcFigures) -> Iterator[Row]:
    """Yield what is wanted in the order of the specification; all are ratios but memory, start and what a PLC sees."""
    for name, one in stages.items():
        yield Row(f"all but graphs and fsync / imdecode, {name}", one.rest_to_imdecode, 2.5)
    first = next(iter(stages.values()))
    light = can_run("bf16") or can_run("int8")
    wanted = _LIGHT if light else _FULL
    yield Row("graphs / float32 floor of their FLOPs", first.graphs / first.graph_floor_ms, wanted)
    yield Row(
        "last byte to answer p99 / (graphs + imdecode)",
        daemon.answered(99) / (first.graphs + float(np.median(first.imdecode))),
        3.0,
    )
    megabytes = sum(file.stat().st_size for file in bundle.path.rglob("*") if file.is_file()) / _MEGABYTE
    is_cae = bundle.detector.startswith("cae:")
    yield Row("resident memory, MB", daemon.rss_mb, _CAE_MB if is_cae else _OTHERS_MB + _BUNDLES * megabytes)
    yield Row("start to READY, s", daemon.ready_s, 2.0)
    rates = daemon.parts_per_s
    yield Row("throughput of one station / of the slowest number of them", rates[1] / min(rates.values()), 1 / 0.85)
    yield Row("PLC's trigger to its busy word p95, ms", float(np.percentile(plc.busy_ms, 95)), 50.0)
    yield Row("change of part to ready, slowest, s", max(plc.change_ms) / 1000, 1.0)
