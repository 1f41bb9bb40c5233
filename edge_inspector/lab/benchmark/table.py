"""Every kind of detector on every set of images: one row each, kept in a file, so that the work can be resumed."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np

from edge_inspector import atomic
from edge_inspector.bundle import Bundle, open_inspector
from edge_inspector.detectors.settings import parse_settings
from edge_inspector.detectors.training_data import Budget
from edge_inspector.engines.openvino import usable_processors
from edge_inspector.errors import DataError
from edge_inspector.inspection.inspector import Inspector
from edge_inspector.lab.data.sets import find_sets
from edge_inspector.lab.evaluation.evaluate import evaluate
from edge_inspector.lab.evaluation.separation import interval_names
from edge_inspector.lab.train import train
from edge_inspector.lab.training.train_part import TrainingRequest

Row: TypeAlias = dict[str, Any]
"""JSON: what was measured of one kind on one set, or why nothing came of it."""
_WITH_INTERVAL = ("miss_rate", "false_reject_rate", "miss_rate_at_5", "image_auroc")
_ACCURACIES = (*(name for one in _WITH_INTERVAL for name in interval_names(one)), "pixel_auroc", "aupro")
COLUMNS = ("set", "kind", "budget", *_ACCURACIES, "steps", "seconds", "graph_ms", "bundle_mb", "failed")
"""Every key that a row may have."""
_EPOCHS = 1_000_000
"""So many that the seconds end the training."""
_TIMED = 20


@dataclass(frozen=True, slots=True)
class TableRequest:
    """What is to be measured."""

    root: Path
    """Folder of sets."""
    rows: Path
    """Folder of the rows that are done; a row that is there is not measured again."""
    kinds: Sequence[str]
    seconds: float
    """Of training, for each kind and set."""
    clock_ns: Callable[[], int]
    now: Callable[[], datetime]
    report: Callable[[str, float], None] = field(repr=False)
    size: int = 256
    local: bool = False


def measure(request: TableRequest) -> Iterator[Row]:
    """Yield one row after the other, set by set; those that are done come at once.

    Raises:
        DataError: no sets below the root.
    """
    request.rows.mkdir(parents=True, exist_ok=True)
    for folder in find_sets(request.root):
        for kind in request.kinds:
            file = request.rows / f"{folder.name}-{kind.replace(':', '-')}.json"
            if not file.is_file():
                row = {"set": folder.name, "kind": kind, "budget": request.seconds, **_figures(request, folder, kind)}
                atomic.write_file(file, json.dumps(row, indent=1).encode())
            yield json.loads(file.read_bytes())


def _figures(request: TableRequest, folder: Path, kind: str) -> Row:
    settings = parse_settings(kind, {})
    with TemporaryDirectory(prefix="edge-inspector-table-") as temporary:
        try:
            bundle = train(
                TrainingRequest(
                    images=folder / "train" / "good",
                    part="part",  # no line will see it
                    out=Path(temporary) / "bundle",
                    detector=settings,
                    created=request.now(),
                    clock=lambda: request.clock_ns() / 1e9,
                    report=lambda words, share: request.report(f"{folder.name} {kind}: {words}", share),
                    width=request.size,
                    height=request.size,
                    own_size=True,
                    channels=settings.CHANNELS,
                    normalise="local" if request.local else "none",
                    budget=Budget(_EPOCHS, request.seconds),
                )
            )
            inspector = open_inspector(bundle, threads=usable_processors(), clock_ns=request.clock_ns)
            found = evaluate(bundle, inspector, folder, "calibrated", request.report).as_json()
        except DataError as error:
            return {"failed": str(error)}
        return {
            **{name: found[name] for name in _ACCURACIES},
            "steps": bundle.manifest.provenance.steps,
            "seconds": bundle.manifest.provenance.seconds,
            "graph_ms": _graph_ms(bundle, inspector, request.clock_ns),
            "bundle_mb": sum(file.stat().st_size for file in bundle.path.rglob("*") if file.is_file()) / 1e6,
        }


def _graph_ms(bundle: Bundle, inspector: Inspector, clock_ns: Callable[[], int]) -> float:
    """Return the median time of both graphs, milliseconds."""
    evidence = inspector.inspect((bundle.path / bundle.manifest.golden[0].image).read_bytes()).evidence
    if evidence is None:
        raise DataError("a golden image cannot be judged")
    times = []
    for _ in range(_TIMED):
        start = clock_ns()
        inspector.detector.residual(evidence.model_input, inspector.detector.network(evidence.model_input))
        times.append((clock_ns() - start) / 1e6)
    return float(np.median(times))


def as_markdown(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table: kinds by what they do at their own limit, the best first."""
    yield (
        "| kind | set | misses | false rejects | misses at 5 % | image AUROC | pixel AUROC | AUPRO | steps | s "
        "| graphs ms | MB |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    kinds = sorted({row["kind"] for row in rows}, key=lambda kind: (wrong(rows, kind), kind))
    for kind in kinds:
        own = [row for row in rows if row["kind"] == kind]
        means = [_shown(name, _mean(own, name)) for name in _WITH_INTERVAL]
        yield f"| `{kind}` | mean of {len(own)} | {' | '.join(means)} | | | | | | |"
        for row in own:
            yield f"| | {row['set']} | {_cells(row)} |"


def wrong(rows: Sequence[Row], kind: str) -> float:
    """Return how often a kind is wrong at its own limit: misses and false rejects, mean over the sets."""
    own = [row for row in rows if row["kind"] == kind]
    return _mean(own, "miss_rate") + _mean(own, "false_reject_rate")


def _mean(rows: Sequence[Row], name: str) -> float:
    """Return the mean of a figure; what failed finds nothing and ranks by chance."""
    chance = {"miss_rate": 1.0, "false_reject_rate": 0.0, "miss_rate_at_5": 0.95, "image_auroc": 0.5}[name]
    return float(np.mean([row[name] if row.get(name) is not None else chance for row in rows]))


def _cells(row: Row) -> str:
    if "failed" in row:
        return f"{row['failed']} | | | | | | | | | "
    shown = [
        *(_shown(name, *(row.get(one) for one in interval_names(name))) for name in _WITH_INTERVAL),
        *(_shown(name, row[name]) for name in ("pixel_auroc", "aupro")),
        str(row["steps"]),
        f"{row['seconds']:.0f}",
        f"{row['graph_ms']:.0f}",
        f"{row['bundle_mb']:.0f}",
    ]
    return " | ".join(shown)


def _shown(name: str, value: float | None, low: float | None = None, high: float | None = None) -> str:
    """Return a figure, and its interval where it has one."""
    if value is None:
        return "-"

    scale, digits, unit = (100, 0, " %") if name.startswith(("miss", "false")) else (1, 3, "")
    first, *ends = (f"{scale * figure:.{digits}f}" for figure in (value, low, high) if figure is not None)
    return first + unit + (f" ({' to '.join(ends)})" if ends else "")
