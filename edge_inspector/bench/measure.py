"""The whole benchmark of one bundle."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_inspector.bench.daemon import DaemonFigures, measure_daemon
from edge_inspector.bench.plc import PlcFigures, measure_plc
from edge_inspector.bench.stages import Benchmark, images_of, measure_stages
from edge_inspector.bench.targets import Row, rows
from edge_inspector.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Figures:
    """What `edge-inspector bench` reports."""

    stages: Mapping[str, Benchmark]
    """By image size."""
    daemon: DaemonFigures
    plc: PlcFigures
    targets: tuple[Row, ...]

    def as_json(self) -> dict[str, object]:
        """Return the figures by name."""
        return {
            "pictures": {name: one.as_json() for name, one in self.stages.items()},
            "daemon": self.daemon.as_json(),
            "plc": self.plc.as_json(),
            "targets": [{**asdict(row), "met": row.met} for row in self.targets],
        }


def measure(
    bundle: Bundle, images: Sequence[Path], report: Callable[[str, float], None], flame: Path | None = None
) -> Figures:
    """Measure a bundle: its stages in this process, then the daemon from outside, as SCADA and a PLC see it.

    Args:
        bundle: what is measured.
        images: JPEG files; empty to use the bundle's golden images, enlarged to 1 and to 5 megapixels.
        report: shows progress.
        flame: SVG file for a flame graph of the daemon.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoded = images_of(bundle, images)
        stages = measure_stages(bundle, encoded, folder, report)
        first = next(iter(encoded.values()))
        daemon = measure_daemon(bundle, first, folder, report, flame)
        plc = measure_plc(bundle, first, folder, report)
    return Figures(stages, daemon, plc, tuple(rows(bundle, stages, daemon, plc)))
