"""Commands that judge by a bundle."""

import statistics
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, now, open_bundle, print_json, progress, stderr
from edge_inspector.errors import UsageError

if TYPE_CHECKING:
    from edge_inspector.bench.measure import Figures
    from edge_inspector.bundle import Bundle
    from edge_inspector.lab.evaluation.evaluation import Evaluation

_SHOWN = 20
_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    data: Annotated[Path, typer.Argument(help="Folder with test/good and test/<defect>.", metavar="DATA_DIR")],
    rule: Annotated[
        str, typer.Option(help="calibrated, or for comparison aivision, mean+3sd, percentile-95, max-area, otsu.")
    ] = "calibrated",
    report: Annotated[Path | None, typer.Option(help="HTML file to write for a quality engineer.")] = None,
    prevalence: Annotated[
        float, typer.Option(min=0, max=1, help="Share of defective parts on the line, for the precision there.")
    ] = 0.01,
    max_miss: Annotated[float | None, typer.Option(help="Exit 1 when more defective parts are passed.")] = None,
    max_false_reject: Annotated[float | None, typer.Option(help="Exit 1 when more good parts are rejected.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare a bundle's verdicts with the truth."""
    from edge_inspector.lab.evaluation.evaluate import evaluate as compare
    from edge_inspector.lab.evaluation.rules import check_rule
    from edge_inspector.lab.report.page import write_report

    check_rule(rule)
    if report is not None and not report.absolute().parent.is_dir():
        raise UsageError(f"--report {report}: {report.absolute().parent} is no folder")
    with progress() as show:
        opened, inspector = open_bundle(bundle)
        found = compare(opened, inspector, data, rule, show)
        if report is not None:
            write_report(report, opened, inspector, found, data=data, now=now(), prevalence=prevalence)
    if as_json:
        print_json(found.as_json(prevalence))
    else:
        _print_evaluation(found, prevalence)
        if report is not None:
            typer.echo(f"report          {report}")
    if _exceeds(found.miss.value, max_miss) or _exceeds(found.false_reject.value, max_false_reject):
        raise typer.Exit(FINDING)


def _print_evaluation(found: "Evaluation", prevalence: float) -> None:
    precision = found.precision_at(prevalence)
    typer.echo(f"images        {len(found.good)} good, {len(found.defective)} defective")
    if found.unreadable:
        typer.echo(f"unreadable      {len(found.unreadable)}, neither found nor missed: repair or remove them")
    typer.echo(f"image AUROC     {found.image_auroc:.3f}")
    typer.echo(f"false rejects   {found.false_reject}")
    typer.echo(f"misses          {found.miss}")
    if precision is not None:
        words = f"{precision.value:.1%} of the rejected parts ({precision.low:.1%} to {precision.high:.1%})"
        typer.echo(f"precision       {words}, where {prevalence:.1%} of all parts are defective")
    if found.aupro is not None:
        typer.echo(f"places          pixel AUROC {found.pixel_auroc:.3f}, AUPRO {found.aupro:.3f}")
    typer.echo(f"time            {found.milliseconds(50):.1f} ms, 95 % within {found.milliseconds(95):.1f} ms")


def inspect(
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.", metavar="IMAGE...")],
    save: Annotated[Path | None, typer.Option(help="Folder for overlay, heat map, reconstruction, mask.")] = None,
) -> None:
    """Judge images and print what the broker would get, as a JSON list; exit 1 when one is not OK."""
    from edge_inspector.lab.evaluation.inspect import files_of, inspect_files

    files = files_of(images)
    opened, inspector = open_bundle(bundle)
    results = list(inspect_files(opened, inspector, files, save, time.time_ns))
    print_json([result.model_dump(mode="json") for result in results])
    if not all(result.accept for result in results):
        raise typer.Exit(FINDING)


def reinspect(
    folder: Annotated[Path, typer.Argument(help="Archive, or any folder of images.", metavar="DIR")],
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is one for each processor.")] = 0,
    log: Annotated[Path, typer.Option(help="File that keeps what is done; the same command goes on from it.")] = Path(
        "reinspect.jsonl"
    ),
    as_json: JsonFlag = False,
) -> None:
    """Judge an archive again with another bundle and compare the verdicts; goes on where it was ended."""
    from edge_inspector.bundle import read_bundle
    from edge_inspector.engines.openvino import usable_processors
    from edge_inspector.lab.evaluation import reinspect as again

    with progress() as report:
        judged = again.reinspect(folder, read_bundle(bundle), log, workers or usable_processors(), report)
    changes = again.changes_of(judged)
    if as_json:
        counts = [{"before": then, "after": now_, "pictures": n} for (then, now_), n in sorted(changes.counts.items())]
        newly = {"newly_accepted": changes.newly_accepted, "newly_refused": changes.newly_refused}
        lists = {name: [one.as_json() for one in found] for name, found in newly.items()}
        print_json({"pictures": len(judged), "log": str(log), "counts": counts, **lists})
        return
    typer.echo(f"{len(judged)} images, each in {log}")
    for verdict, count in sorted(Counter(one.after for one in judged).items()):
        typer.echo(f"now {verdict:<8}{count:7}")
    for (then, now_), count in sorted(changes.counts.items()):
        typer.echo(f"{then:<8}-> {now_:<8}{count:7}{'' if then == now_ else '   changed'}")
    for words, found in (("OK now", changes.newly_accepted), ("not OK any more", changes.newly_refused)):
        for one in found[:_SHOWN]:
            typer.echo(f"{words}: {one.image} (was {one.before}): {one.reason}")
        if len(found) > _SHOWN:
            typer.echo(f"{words}: {len(found) - _SHOWN} more, see {log}")


def bench(
    bundle: Annotated[Path, typer.Argument(help="Bundle to measure.")],
    images: Annotated[Path | None, typer.Option(help="Folder of JPEG images; else the golden ones.")] = None,
    history: Annotated[
        Path | None, typer.Option(help="File that keeps the figures; exit 1 when one is 10 % worse than before.")
    ] = None,
    flame: Annotated[Path | None, typer.Option(help="SVG file for a flame graph of the daemon (needs py-spy).")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Time every stage and the daemon on this machine, next to what the machine can do and to what is wanted."""
    from edge_inspector import __version__
    from edge_inspector.bench.history import a_run, compare_and_keep
    from edge_inspector.bench.measure import measure
    from edge_inspector.bundle import read_bundle
    from edge_inspector.image_names import ending_of
    from edge_inspector.lab.data.dataset import find_images
    from edge_inspector.lab.machine import processor

    chosen = [file for file in find_images(images) if ending_of(file.name) in _JPEG] if images else []
    if images and not chosen:
        raise UsageError(f"--images {images}: no JPEG files there")
    opened = read_bundle(bundle)
    with progress() as report:
        figures = measure(opened, chosen, report, flame)
    if as_json:
        print_json({"processor": processor(), "bundle": opened.id, **figures.as_json()})
    else:
        _print_figures(opened, figures)
    if history is None:
        return
    run = a_run(figures.targets, now(), processor(), opened.detector, __version__)
    slower = compare_and_keep(history, run)
    for one in slower:
        stderr.print(f"SLOWER: {one.what}: {one.now:.2f}, {one.best:.2f} on {one.at}", markup=False, soft_wrap=True)
    if slower:
        raise typer.Exit(FINDING)


def _print_figures(bundle: "Bundle", figures: "Figures") -> None:
    from edge_inspector.lab.machine import processor

    typer.echo(f"{processor()}; {bundle.detector} in {bundle.manifest.detector.precision}, {bundle.path}")
    for size, one in figures.stages.items():
        typer.echo(f"\n{size}, ms         p50      p95      p99")
        for name in one.stages:
            typer.echo(f"  {name:<18}" + "".join(f"{one.p(name, percent):9.2f}" for percent in (50, 95, 99)))
        floors = [("imdecode", statistics.median(one.imdecode)), ("fsync", statistics.median(one.fsync))]
        floors += [("graphs, f32", one.graph_floor_ms)]
        floors += [] if one.thin_floor_ms is None else [("graphs, bf16", one.thin_floor_ms)]
        typer.echo("  floors: " + ", ".join(f"{name} {value:.2f}" for name, value in floors))
    daemon = figures.daemon
    answered = ", ".join(f"p{percent} {daemon.answered(percent):.1f}" for percent in (50, 95, 99))
    rates = ", ".join(f"{stations} stations {rate:.0f}" for stations, rate in daemon.parts_per_s.items())
    typer.echo(f"\ndaemon: image to answer, ms: {answered}; processor time a part {daemon.cpu_ms:.1f} ms")
    typer.echo(f"        parts a second: {rates}")
    plc = figures.plc.as_json()
    for name, words in (("busy_ms", "trigger to busy word"), ("verdict_ms", "trigger to verdict, 30 frames a second")):
        said = ", ".join(f"{percent} {value:.1f}" for percent, value in plc[name].items())
        typer.echo(f"PLC:    {words}, ms: {said}")
    typer.echo(f"\n{'wanted':<62}{'measured':>9}{'at most':>9}")
    for row in figures.targets:
        typer.echo(f"{row.what:<62}{row.measured:9.2f}{row.at_most:9.2f}{'' if row.met else '  NOT MET'}")


def _exceeds(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit
