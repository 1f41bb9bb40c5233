"""The command that measures speed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, now, print_json, progress, stderr
from edge_inspector.errors import UsageError

if TYPE_CHECKING:
    from edge_inspector.bench.measure import Figures
    from edge_inspector.bundle import Bundle

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}


def bench(
    bundle: Annotated[Path, typer.Argument(help="Bundle to measure.")],
    images: Annotated[Path | None, typer.Option(help="Folder of JPEG images.", show_default="the golden ones")] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            help="File that keeps the figures; exit 1 when one is 10 % worse than before.", show_default="none"
        ),
    ] = None,
    flame: Annotated[
        Path | None, typer.Option(help="SVG file for a flame graph of the daemon (needs py-spy).", show_default="none")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Time every stage and the daemon on this machine, beside the machine's own limits and the targets."""
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
    import statistics

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
