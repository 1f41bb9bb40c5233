"""The demonstration."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from edge_inspector.commands.console import FINDING, JsonFlag, now, print_json, progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_inspector.demo import Cell, Summary
    from edge_inspector.wire.messages import Result


def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="End this many seconds after the daemon is ready.", show_default="Ctrl-C ends it"),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Work in this new folder and keep it.", show_default="a temporary folder")
    ] = None,
    page: Annotated[Path, typer.Option("--report", help="HTML file to write at the end.")] = Path("demo-report.html"),
    as_json: JsonFlag = False,
) -> None:
    """Show the whole system at work on real images; exit 0 only when both stations answered each exactly once."""
    from tempfile import TemporaryDirectory

    from edge_inspector.demo import run_demo
    from edge_inspector.detectors.settings import DEFAULT_KIND, WITHOUT_BACKBONE

    console = Console(stderr=as_json)
    kinds = (DEFAULT_KIND, WITHOUT_BACKBONE)
    columns = "".join(f"  {kind:<8}{'score':>6}{'blobs':>6}{'ms':>6}" for kind in kinds)

    def show(cell: "Cell", results: "Mapping[str, Result]") -> None:
        row = f"{cell.serial:<9}{'good' if cell.good else 'defective':<9}"
        for result in results.values():
            score = "-" if result.score is None else f"{result.score:.2f}"
            colour = {"OK": "green", "NG": "red"}.get(result.verdict, "magenta")
            row += (
                f"  [{colour}]{result.verdict:<8}[/]{score:>6}{len(result.blobs):>6}{result.timing_ms['total']:>6.0f}"
            )
        console.print(row, highlight=False)

    def say(words: str) -> None:
        console.print(words, highlight=False)
        if words.startswith("dashboard"):
            console.print(f"{'part':<9}{'truth':<9}{columns}", style="bold")

    with TemporaryDirectory(prefix="edge-inspector-demo-") as temporary, progress() as report:
        summary = run_demo(keep or Path(temporary), seconds, say, show, report, now(), page.absolute())
    if as_json:
        print_json(summary.as_json())
    else:
        _print_summary(summary)
    if not summary.complete:
        raise typer.Exit(FINDING)


def _print_summary(summary: "Summary") -> None:
    for name, one in summary.stations.items():
        roc = "not defined" if one.image_auroc is None else f"{one.image_auroc:.3f}"
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(one.verdicts.items()))
        typer.echo(f"station {name} ({one.detector})")
        typer.echo(f"  {summary.parts} parts, {one.answered} answered, {one.duplicates} duplicates: {verdicts}")
        typer.echo(f"  {one.misses} misses, {one.false_rejects} false rejects; image AUROC {roc}")
        typer.echo(f"  image complete to verdict committed: p50 {one.ms_p50:.0f} ms, p95 {one.ms_p95:.0f} ms")
