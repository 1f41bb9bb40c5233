"""Figures of earlier runs, so that a slow-down is seen."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from edge_inspector.bench.targets import Row
from edge_inspector.errors import DataError

SLOWER = 0.10
"""A figure that is worse than the best of earlier runs by more than this is a slow-down."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark."""

    at: str
    processor: str
    detector: str
    program: str
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class SlowDown:
    """A figure that was better."""

    what: str
    now: float
    best: float
    at: str
    """When it was the best."""


def a_run(rows: Sequence[Row], at: datetime, processor: str, detector: str, program: str) -> Run:
    """Return what is kept of a run."""
    return Run(at.isoformat(timespec="seconds"), processor, detector, program, {row.what: row.measured for row in rows})


def compare_and_keep(history: Path, run: Run) -> tuple[SlowDown, ...]:
    """Return what is slower than the best earlier run on this processor with this detector, and add the run.

    Args:
        history: a JSON object a line; begun where it is missing.
        run: the newest one.

    Raises:
        DataError: the file holds something else.
    """
    earlier = [one for one in _read(history) if (one.processor, one.detector) == (run.processor, run.detector)]
    slower = tuple(_slow_downs(earlier, run))
    with history.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(run)) + "\n")
    return slower


def _read(history: Path) -> Iterator[Run]:
    text = history.read_text(encoding="utf-8") if history.exists() else ""
    for number, line in enumerate(text.splitlines(), 1):
        try:
            yield Run(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise DataError(f"{history}, line {number}: expected a run of `bench` as JSON, {error}") from error


def _slow_downs(earlier: Sequence[Run], run: Run) -> Iterator[SlowDown]:
    for what, now in run.figures.items():
        known = [(one.figures[what], one.at) for one in earlier if what in one.figures]
        if known and now > (1 + SLOWER) * min(known)[0]:
            best, at = min(known)
            yield SlowDown(what, now, best, at)
