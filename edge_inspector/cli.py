"""The commands: one thin function each, and the only file that prints or exits."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge_inspector.errors import EdgeInspectorError, UsageError

if TYPE_CHECKING:
    from edge_inspector.bundle import Bundle
    from edge_inspector.demo import Cell, Summary
    from edge_inspector.inspection.inspector import Inspector
    from edge_inspector.inspection.recipe import Region
    from edge_inspector.wire.messages import Result

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
_stderr = Console(stderr=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
FINDING = 1
USAGE = 64
DISK = 74


def main() -> None:
    """Run a command; a fault is one line on stderr and an exit status that says what kind it is."""
    try:
        app()
    except SystemExit as end:
        sys.exit(USAGE if end.code == 2 else end.code)  # 2 is what option parsers use; sysexits.h says 64
    except EdgeInspectorError as error:
        _complain(error)
        sys.exit(error.exit_status)
    except OSError as error:
        _complain(error)
        sys.exit(DISK)


def _complain(error: Exception) -> None:
    _stderr.print(f"edge-inspector: {error}", style="red", highlight=False, markup=False, soft_wrap=True)


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more than warnings.")] = False,
) -> None:
    """Visual inspection for a factory PC: exactly one verdict for every part."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


@app.command()
def train(
    pictures: Annotated[Path, typer.Argument(help="Folder of pictures of good parts.", metavar="OK_DIR")],
    part: Annotated[str, typer.Option(help="Name of the part.")],
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to; must not exist.")],
    detector: Annotated[str, typer.Option(help="Kind of detector: cae:my, cae:mvtec.")] = "cae:my",
    size: Annotated[str, typer.Option(help="Of the detector's picture: N or WIDTHxHEIGHT.")] = "256",
    colour: Annotated[bool, typer.Option("--colour", help="Look at colours too; three times the work.")] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="End the training after so many epochs.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="End the training after so many minutes.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Start of all chance.")] = 0,
    false_reject: Annotated[float | None, typer.Option(help="At most this share of good parts is rejected.")] = None,
    confidence: Annotated[float, typer.Option(help="How sure that must be.")] = 0.95,
    review: Annotated[float | None, typer.Option(help="At most this share of good parts is not OK.")] = None,
    min_area: Annotated[
        float | None, typer.Option(min=0.01, help="Smallest defect that counts, camera pixels.")
    ] = None,
    residual: Annotated[str | None, typer.Option(help="ssim, l1, l2 or ssim+l1.")] = None,
    tolerance: Annotated[bool, typer.Option(help="Measure against how much good parts differ.")] = True,
    local: Annotated[bool, typer.Option("--normalise-local", help="Take slow changes of light out.")] = False,
    roi: Annotated[str | None, typer.Option(help="Inspect only x,y,width,height.")] = None,
    mask: Annotated[Path | None, typer.Option(help="PNG of the camera's size; what is white is ignored.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Regular expression that finds the part's serial in a path.")
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="Detector setting, KEY=VALUE; repeatable.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Teach a part from good pictures and write a bundle that can run."""
    from edge_inspector.detectors.lesson import Budget
    from edge_inspector.detectors.settings import parse_settings
    from edge_inspector.lab.calibrate import Target
    from edge_inspector.lab.train import Order
    from edge_inspector.lab.train import train as teach

    width, height = _parse_size(size)
    wanted = {**_parse_changes(changes or []), "tolerance": str(tolerance)}
    settings = parse_settings(detector, wanted | ({"residual": residual} if residual else {}))
    with _progress() as report:
        bundle = teach(
            Order(
                pictures=pictures,
                part=part,
                out=out,
                detector=settings,
                created=_now(),
                clock=time.monotonic,
                report=report,
                width=width,
                height=height,
                channels=3 if colour else 1,
                budget=Budget(epochs, None if minutes is None else 60 * minutes),
                seed=seed,
                target=Target(false_reject, confidence),
                review=review,
                min_area=min_area,
                normalise="local" if local else "none",
                region=_parse_roi(roi),
                mask=mask,
                group=group,
            )
        )
    _print_bundle(bundle, as_json=as_json)


@app.command()
def calibrate(
    bundle: Annotated[Path, typer.Argument(help="Bundle to start from; it is not changed.")],
    ok: Annotated[Path, typer.Option(help="Folder of pictures of good parts that were not used before.")],
    out: Annotated[Path, typer.Option(help="Folder to write the new bundle to; must not exist.")],
    false_reject: Annotated[float | None, typer.Option(help="At most this share of good parts is rejected.")] = None,
    confidence: Annotated[float, typer.Option(help="How sure that must be.")] = 0.95,
    review: Annotated[float | None, typer.Option(help="At most this share of good parts is not OK.")] = None,
    min_area: Annotated[
        float | None, typer.Option(min=0.01, help="Smallest defect that counts, camera pixels.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Regular expression that finds the part's serial in a path.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Give a bundle a new threshold, from other good pictures or for another target."""
    from edge_inspector.bundle import read_bundle
    from edge_inspector.lab import calibrate as lab

    with _progress() as report:
        written = lab.recalibrate(
            read_bundle(bundle),
            ok,
            lab.Target(false_reject, confidence),
            review=review,
            min_area=min_area,
            group=group,
            created=_now(),
            out=out,
            report=report,
        )
    _print_bundle(written, as_json=as_json)


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    data: Annotated[Path, typer.Argument(help="Folder with test/good and test/<defect>.", metavar="DATA_DIR")],
    rule: Annotated[str, typer.Option(help="calibrated, or aivision (the prior system's).")] = "calibrated",
    max_miss: Annotated[float | None, typer.Option(help="Exit 1 when more defective parts are passed.")] = None,
    max_false_reject: Annotated[float | None, typer.Option(help="Exit 1 when more good parts are rejected.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare a bundle's verdicts with the truth."""
    from edge_inspector.lab.evaluate import RULES
    from edge_inspector.lab.evaluate import evaluate as compare

    if rule not in RULES:
        raise UsageError(f"--rule {rule}: expected one of {', '.join(RULES)}")
    with _progress() as report:
        opened, inspector = _open(bundle)
        found = compare(opened, inspector, data, rule, report)
    if as_json:
        _print_json(found.as_json())
    else:
        roc = "not defined with one class" if found.image_auroc is None else f"{found.image_auroc:.3f}"
        typer.echo(f"pictures        {len(found.good)} good, {len(found.defective)} defective")
        typer.echo(f"image AUROC     {roc}")
        typer.echo(f"false rejects   {found.false_reject}")
        typer.echo(f"misses          {found.miss}")
    if _exceeds(found.miss.value, max_miss) or _exceeds(found.false_reject.value, max_false_reject):
        raise typer.Exit(FINDING)


@app.command()
def inspect(
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    images: Annotated[list[Path], typer.Argument(help="Picture files.", metavar="IMAGE...")],
    save: Annotated[Path | None, typer.Option(help="Folder for overlay, heat map, reconstruction, mask.")] = None,
) -> None:
    """Judge pictures and print what the broker would get, as a JSON list; exit 1 when one is not OK."""
    from edge_inspector.lab.inspect import inspect_files

    opened, inspector = _open(bundle)
    results = list(inspect_files(opened, inspector, images, save, time.time_ns))
    _print_json([result.model_dump(mode="json") for result in results])
    if not all(result.accept for result in results):
        raise typer.Exit(FINDING)


@app.command()
def check(
    config: Annotated[Path, typer.Option(help="Settings file (TOML).")],
    as_json: JsonFlag = False,
) -> None:
    """Look at everything that `run` needs: bundles, folders, cameras, broker; exit 1 when something is missing."""
    from dataclasses import asdict

    from edge_inspector.line.check import check as look
    from edge_inspector.settings import read_settings

    findings = list(look(read_settings(config), time.monotonic_ns))
    if as_json:
        _print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.good else 'FAIL'} {finding.what}: {finding.detail}")
    if not all(finding.good for finding in findings):
        raise typer.Exit(FINDING)


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="End so long after the daemon is ready.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Work in this new folder and keep it.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show everything at work on real pictures; exit 0 only when every one was answered exactly once."""
    from tempfile import TemporaryDirectory

    from edge_inspector.demo import run_demo

    console = Console(stderr=as_json)
    header = f"{'part':<12}{'truth':<11}{'verdict':<9}{'score':>7}{'blobs':>7}{'ms':>7}"

    def show(cell: "Cell", result: "Result") -> None:
        score = "-" if result.score is None else f"{result.score:.2f}"
        truth = "good" if cell.good else "defective"
        colour = {"OK": "green", "NG": "red"}.get(result.verdict, "magenta")
        row = f"{cell.serial:<12}{truth:<11}[{colour}]{result.verdict:<9}[/]{score:>7}{len(result.blobs):>7}"
        console.print(f"{row}{result.timing_ms['total']:>7.0f}", highlight=False)

    def say(words: str) -> None:
        console.print(words, highlight=False)
        if words.startswith("dashboard"):
            console.print(header, style="bold")

    with TemporaryDirectory(prefix="edge-inspector-demo-") as temporary, _progress() as report:
        summary = run_demo(keep or Path(temporary), seconds, say, show, report, _now())
    if as_json:
        _print_json(summary.as_json())
    else:
        _print_summary(summary)
    if not summary.complete:
        raise typer.Exit(FINDING)


@app.command()
def bench(
    bundle: Annotated[Path, typer.Argument(help="Bundle to measure.")],
    pictures: Annotated[Path | None, typer.Option(help="Folder of JPEG pictures; else the golden ones.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Time every stage on this machine, next to what the machine itself can do."""
    from edge_inspector.bench import benchmark
    from edge_inspector.bundle import read_bundle

    chosen = sorted(pictures.glob("*.jp*g")) if pictures else []
    if pictures and not chosen:
        raise UsageError(f"--pictures {pictures}: no JPEG files there")
    with _progress() as report:
        figures = benchmark(read_bundle(bundle), chosen, report)
    if as_json:
        _print_json(figures.as_json())
        return
    for name in figures.main.stages:
        times = "".join(f"p{percent} {figures.main.p(name, percent):8.2f} ms   " for percent in (50, 95, 99))
        typer.echo(f"{name:<12}{times}")
    for name, value in figures.main.ratios().items():
        typer.echo(f"{name:<24}{value:8.2f}")
    daemon = figures.daemon
    ready = f"ready after {daemon.ready_s:.1f} s"
    typer.echo(f"daemon: resident {daemon.rss_mb:.0f} MB, {ready}, {daemon.parts_per_s:.0f} parts/s")


def _print_summary(summary: "Summary") -> None:
    roc = "not defined" if summary.image_auroc is None else f"{summary.image_auroc:.3f}"
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(summary.verdicts.items()))
    typer.echo(f"{summary.parts} parts, {summary.answered} answered, {summary.duplicates} duplicates: {verdicts}")
    typer.echo(f"image AUROC {roc}; {summary.false_rejects} false rejects, {summary.misses} misses")
    typer.echo(f"picture complete to verdict committed: p50 {summary.ms_p50:.0f} ms, p95 {summary.ms_p95:.0f} ms")


@app.command()
def run(config: Annotated[Path, typer.Option(help="Settings file (TOML).")]) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    from edge_inspector.line.daemon import serve
    from edge_inspector.settings import read_settings

    raise typer.Exit(serve(read_settings(config)))


@app.command()
def schema(out: Annotated[Path, typer.Option(help="Folder to write to.")]) -> None:
    """Write the MQTT contract: a JSON Schema for each message, and the list of topics."""
    from edge_inspector.wire.schema import write_documents

    for path in write_documents(out):
        typer.echo(str(path))


def _open(path: Path) -> "tuple[Bundle, Inspector]":
    from edge_inspector.bundle import open_inspector, read_bundle
    from edge_inspector.engines.openvino import usable_processors

    opened = read_bundle(path)
    return opened, open_inspector(opened, threads=usable_processors(), clock_ns=time.perf_counter_ns)


def _print_bundle(bundle: "Bundle", *, as_json: bool) -> None:
    card = bundle.manifest.calibration
    if as_json:
        _print_json(
            {
                "bundle": str(bundle.path),
                "id": bundle.id,
                "part": bundle.recipe.part,
                "calibration": json.loads(card.model_dump_json(exclude={"digests", "levels"})),
                "steps": bundle.manifest.provenance.steps,
                "seconds": bundle.manifest.provenance.seconds,
            }
        )
        return
    typer.echo(f"{bundle.path}: bundle {bundle.id} for part {bundle.recipe.part}")
    typer.echo(card.in_words())
    found, planted = sum(r.found for r in card.planted), sum(r.planted for r in card.planted)
    typer.echo(f"Planted defects found at the threshold: {found} of {planted}.")
    for note in card.notes:
        typer.echo(f"NOTE: {note}")


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def _exceeds(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _parse_size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise UsageError(f"--size {text}: expected N or WIDTHxHEIGHT, for instance 256 or 512x256")
    return int(sides[0]), int(sides[-1])


def _parse_roi(text: str | None) -> "Region | None":
    from edge_inspector.inspection.recipe import Region

    if text is None:
        return None
    values = text.split(",")
    if (
        len(values) != 4
        or not all(value.strip().isdecimal() for value in values)
        or not int(values[2]) * int(values[3])
    ):
        raise UsageError(f"--roi {text}: expected x,y,width,height in camera pixels, for instance 40,0,600,480")
    x, y, width, height = map(int, values)
    return Region(x=x, y=y, width=width, height=height)


def _parse_changes(texts: list[str]) -> dict[str, str]:
    wrong = [text for text in texts if "=" not in text]
    if wrong:
        raise UsageError(f"--set {wrong[0]}: expected KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_stderr, transient=True, disable=not _stderr.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def report(words: str, share: float) -> None:
            if share == 0:
                bar.reset(task)
            bar.update(task, description=words, completed=share)

        yield report


if __name__ == "__main__":
    main()
