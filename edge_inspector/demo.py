"""The product at work, with nothing of one's own: real solar cells, a private broker, the real daemon.

Two stations judge the same images, one with an autoencoder and one with memories of patches.
"""

import importlib.util
import queue
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import TypeAlias

import numpy as np

from edge_inspector.bundle import Bundle, open_inspector
from edge_inspector.detectors.settings import CaeSettings, DetectorSettings, MemorySettings
from edge_inspector.engines.openvino import usable_processors
from edge_inspector.errors import UsageError
from edge_inspector.inspection.auroc import auroc
from edge_inspector.lab.evaluation.evaluate import evaluate
from edge_inspector.lab.report.page import write_report
from edge_inspector.line.broker.link import Incoming
from edge_inspector.private_line import (
    PrivateStation,
    free_port,
    private_broker,
    private_daemon,
    results_of,
    running,
    watching,
    write_settings,
)
from edge_inspector.settings import MqttSettings
from edge_inspector.wire.messages import Result
from edge_inspector.wire.topics import DEFAULT_ROOT

PART = "solar-cell"
STATION, SECOND = "demo", "demo-cae"
"""The first judges with `memory`, and its figures are the demo's; the second with `cae:my`."""
GOOD_TO_TRAIN, FOR_MEMORY = 450, 150
"""Cells that train; `memory` takes so many of them, or the demo would begin with minutes of waiting."""
SHOWN_OF_EACH = 100
_PACE_S, _FASTEST_S = 0.4, 0.08
_PATIENCE_S = 30.0
Say: TypeAlias = Callable[[str], None]
ShowRow: TypeAlias = Callable[["Cell", Mapping[str, Result]], None]
"""Takes a cell and each station's answer, by its name."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One solar cell of the elpv data set (Deitsch et al. 2019), good or defective by its experts' word."""

    path: Path
    good: bool

    @property
    def serial(self) -> str:
        """The name it is dropped under, which says nothing of its condition."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class StationSummary:
    """What one station made of the cells."""

    detector: str
    answered: int
    duplicates: int
    verdicts: dict[str, int]
    image_auroc: float | None
    """Over the cells that were shown; none of them was seen in training."""
    false_rejects: int
    misses: int
    ms_p50: float
    ms_p95: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demo saw."""

    parts: int
    stations: dict[str, StationSummary]
    """By name; the first is the demo's own."""
    report: str
    """File of the first bundle's evaluation on the cells that were shown."""

    @property
    def complete(self) -> bool:
        """Whether every station answered every image exactly once."""
        return all(self.parts == one.answered and not one.duplicates for one in self.stations.values())

    def as_json(self) -> dict[str, object]:
        """Return the summary by the names of the contract."""
        stations = {name: asdict(one) for name, one in self.stations.items()}
        first = {name: value for name, value in stations[STATION].items() if name != "detector"}
        return {"parts": self.parts, **first, "report": self.report, "stations": stations}


def find_cells() -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """Return the good and the defective monocrystalline cells of the installed data set.

    Raises:
        UsageError: the `demo` extra is not installed.
    """
    package = importlib.util.find_spec("elpv_dataset")
    if package is None or package.origin is None:
        raise UsageError("the demo needs its images: pip install 'edge-inspector[demo]'")
    data = Path(package.origin).parent / "data"
    rows = [line.split() for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines()]
    cells = [(data / path, float(probability)) for path, probability, kind in rows if kind == "mono"]
    good = tuple(Cell(path, good=True) for path, probability in cells if probability == 0)
    defective = tuple(Cell(path, good=False) for path, probability in cells if probability == 1)
    return good, defective


def run_demo(
    folder: Path,
    seconds: float | None,
    say: Say,
    show: ShowRow,
    report: Callable[[str, float], None],
    now: datetime,
    page: Path,
) -> Summary:
    """Train good cells, start broker, daemon and dashboard, drop cells as two cameras would, and count the answers.

    Args:
        folder: an empty folder for images, bundle, ledger and logs.
        seconds: end so long after the daemon is ready; None to show all cells at an easy pace.
        say: tells the viewer what happens.
        show: shows the answers to one cell.
        report: shows progress of the training.
        now: goes into the bundle and the report.
        page: HTML file that the report is written to; one that exists is replaced.
    """
    good, defective = find_cells()
    rng = Random(0)  # noqa: S311 - which cells are shown is no secret
    trained, unseen = _deal(good, rng)
    shown = [*unseen[:SHOWN_OF_EACH], *rng.sample(defective, SHOWN_OF_EACH)]
    rng.shuffle(shown)
    bundles = _train(folder, trained, say, report, now)
    with ExitStack() as stack:
        mqtt = stack.enter_context(private_broker(folder))
        say(f"broker: mqtt://{mqtt.host}:{mqtt.port}, topics below {DEFAULT_ROOT}/{STATION} and /{SECOND}")
        inboxes = {station: folder / f"inbox-{station}" for station in bundles}
        config = write_settings(
            folder,
            {name: PrivateStation(watching(inboxes[name]), {PART: bundle}) for name, bundle in bundles.items()},
            mqtt,
        )
        ears = {station: stack.enter_context(results_of(mqtt, station)) for station in bundles}
        daemon = stack.enter_context(private_daemon(config, folder / "daemon.log"))
        say(f"daemon ready after {daemon.ready_s:.1f} s, watching {' and '.join(map(str, inboxes.values()))}")
        stack.enter_context(_dashboard(folder, mqtt, say))
        answers = _show_cells(shown, inboxes, ears, show, seconds)
    _write_report(page, folder, bundles[STATION], shown, report, now)
    say(f"report: {page}")
    return Summary(
        len(answers.dropped),
        {name: _summarise(bundles[name], answers.dropped, answers.results[name]) for name in bundles},
        str(page),
    )


def _deal(good: Sequence[Cell], rng: Random) -> tuple[list[Cell], list[Cell]]:
    shuffled = rng.sample(list(good), len(good))
    return shuffled[:GOOD_TO_TRAIN], shuffled[GOOD_TO_TRAIN:]


def _train(
    folder: Path, cells: Sequence[Cell], say: Say, report: Callable[[str, float], None], now: datetime
) -> dict[str, Bundle]:
    """Train a bundle for each station."""
    from edge_inspector.lab.train import train  # noqa: PLC0415 - brings torch
    from edge_inspector.lab.training.train_part import TrainingRequest  # noqa: PLC0415

    bundles = {}
    detectors: dict[str, tuple[DetectorSettings, int]] = {
        STATION: (MemorySettings(), FOR_MEMORY),
        SECOND: (CaeSettings(smoothing=1.0), GOOD_TO_TRAIN),
    }
    for station, (detector, count) in detectors.items():
        images = folder / f"good-{station}"
        images.mkdir(parents=True)
        for place, cell in enumerate(cells[:count]):  # in the order taken, as a camera names them: modules are mixed
            shutil.copy(cell.path, images / f"{place:04d}{cell.path.suffix}")
        say(f"training {detector.kind} from {count} good solar cells, for station {station} ...")
        bundles[station] = train(
            TrainingRequest(
                images=images,
                part=PART,
                out=folder / f"bundle-{station}",
                detector=detector,
                width=128,
                height=128,
                own_size=True,
                channels=detector.CHANNELS,
                created=now,
                clock=time.monotonic,
                report=report,
                precision="auto",
                normalise="none" if detector.kind == "memory" else "local",  # modules are lit and aged differently
            )
        )
        say(bundles[station].manifest.calibration.in_words())
    return bundles


def _write_report(
    page: Path, folder: Path, bundle: Bundle, cells: Sequence[Cell], report: Callable[[str, float], None], now: datetime
) -> None:
    """Evaluate the bundle on the cells that the demo shows, as a quality engineer would."""
    data = folder / "known"
    for cell in cells:
        kind = data / "test" / ("good" if cell.good else "defective")
        kind.mkdir(parents=True, exist_ok=True)
        shutil.copy(cell.path, kind)
    inspector = open_inspector(bundle, threads=usable_processors(), clock_ns=time.perf_counter_ns)
    evaluation = evaluate(bundle, inspector, data, "calibrated", report)
    write_report(page, bundle, inspector, evaluation, data=data, now=now)


@contextmanager
def _dashboard(folder: Path, mqtt: MqttSettings, say: Say) -> Iterator[None]:
    """Run the bundled Node-RED where Node is installed and `npm ci` was done; without, the demo is the same."""
    home = Path(__file__).parent.parent / "nodered"
    node = shutil.which("node")
    if node is None or not (home / "node_modules").is_dir():
        say("dashboard: not started (it needs Node.js and `npm ci` in nodered/)")
        yield
        return
    port = free_port()
    environment = {
        "EDGE_INSPECTOR_MQTT_PORT": str(mqtt.port),
        "EDGE_INSPECTOR_MQTT_VERSION": str(mqtt.version),
        "EDGE_INSPECTOR_ROOT": DEFAULT_ROOT,
        "EDGE_INSPECTOR_UI_PORT": str(port),
    }
    with running([node, str(home / "start.js"), str(folder / "dashboard")], folder / "dashboard.log", environment):
        say(f"dashboard: http://127.0.0.1:{port}/dashboard/line?station={STATION}")
        yield


@dataclass(frozen=True, slots=True)
class _Answers:
    dropped: tuple[Cell, ...]
    results: dict[str, list[Result]]
    """By station, in the order in which they came."""


def _show_cells(
    cells: Sequence[Cell],
    inboxes: Mapping[str, Path],
    ears: Mapping[str, "queue.SimpleQueue[Incoming]"],
    show: ShowRow,
    seconds: float | None,
) -> _Answers:
    """Give each station one cell after another, show their answers as they come, and wait for the last."""
    start = time.monotonic()
    pace = _PACE_S if seconds is None else min(_PACE_S, max(_FASTEST_S, 0.8 * seconds / len(cells)))
    end = start + (seconds or 1e9)
    waiting, dropped, unshown = deque(cells), dict[str, Cell](), dict[str, dict[str, Result]]()
    results: dict[str, list[Result]] = {station: [] for station in ears}
    patience = None
    while patience is None or time.monotonic() < patience:
        if waiting and time.monotonic() >= start + pace * len(dropped):
            cell = waiting.popleft()
            for inbox in inboxes.values():
                _drop(cell, inbox)
            dropped[cell.serial], unshown[cell.serial] = cell, {}
        for station, ear in ears.items():
            for result in _heard(ear):
                results[station].append(result)
                answers = unshown.get(result.serial, {})
                answers.setdefault(station, result)
                if len(answers) == len(ears):
                    show(dropped[result.serial], {name: answers[name] for name in ears})
                    del unshown[result.serial]
        if not waiting or time.monotonic() >= end:
            waiting.clear()
            patience = patience or time.monotonic() + _PATIENCE_S
            if not unshown and (seconds is None or time.monotonic() >= end):
                break
    return _Answers(tuple(dropped.values()), results)


def _drop(cell: Cell, inbox: Path) -> None:
    """Put an image into the folder as a camera does: write under another name, then rename."""
    hidden = inbox / f".{cell.path.name}.part"
    shutil.copy(cell.path, hidden)
    hidden.rename(inbox / cell.path.name)


def _heard(ear: "queue.SimpleQueue[Incoming]") -> Iterator[Result]:
    try:
        message = ear.get(timeout=0.02)
    except queue.Empty:
        return
    if isinstance(message, Incoming):
        yield Result.model_validate_json(message.payload)


def _summarise(bundle: Bundle, dropped: Sequence[Cell], results: Sequence[Result]) -> StationSummary:
    first = {result.id: result for result in reversed(results)}
    truth = {cell.serial: cell.good for cell in dropped}
    good = [result for result in first.values() if truth[result.serial]]
    defective = [result for result in first.values() if not truth[result.serial]]
    times = [result.timing_ms["total"] for result in first.values()] or [0.0]
    return StationSummary(
        detector=bundle.manifest.detector.kind,
        answered=len({result.serial for result in first.values()}),
        duplicates=len(results) - len({result.serial for result in results}),
        verdicts=dict(Counter(result.verdict.value for result in first.values())),
        image_auroc=auroc(_scores(good), _scores(defective)) if good and defective else None,
        false_rejects=sum(not result.accept for result in good),
        misses=sum(result.accept for result in defective),
        ms_p50=float(np.percentile(times, 50)),
        ms_p95=float(np.percentile(times, 95)),
    )


def _scores(results: Sequence[Result]) -> list[float]:
    return [1e9 if result.score is None else result.score for result in results]
