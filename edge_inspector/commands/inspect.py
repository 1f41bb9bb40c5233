"""Commands that judge image files by a bundle."""

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import (
    FINDING,
    CsvOption,
    JsonFlag,
    check_csv,
    open_bundle,
    print_json,
    progress,
    write_csv,
)
from edge_inspector.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge_inspector.lab.evaluation.reinspect import Changes, ReinspectedImage
    from edge_inspector.wire.messages import Result

_SHOWN = 20


def inspect(
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.", metavar="IMAGE...")],
    save: Annotated[
        Path | None, typer.Option(help="Folder for overlay, heat map, reconstruction, mask.", show_default="none")
    ] = None,
    csv_file: CsvOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Judge images and print a table; with --json what the broker would get of each; exit 1 unless all are OK."""
    from edge_inspector.lab.evaluation.inspect import files_of, inspect_files

    check_csv(csv_file, as_json=as_json)
    files = files_of(images)
    opened, inspector = open_bundle(bundle)
    judged = zip(files, inspect_files(opened, inspector, files, save, time.time_ns), strict=True)
    if as_json or csv_file is not None:
        results = list(judged)
        good = all(result.accept for _, result in results)
        if csv_file is not None:
            _write_csv(csv_file, results)
        if as_json:
            print_json([{"file": shown(str(file)), **result.model_dump(mode="json")} for file, result in results])
    else:
        good = _print_table(judged, max(len(shown(str(file))) for file in files))
    if not good:
        raise typer.Exit(FINDING)


def _print_table(judged: "Iterable[tuple[Path, Result]]", width: int) -> bool:
    """Print each result as soon as it is there, and return whether all are OK."""
    typer.echo(f"{'file':<{width}}  {'verdict':<8}{'score':>7}{'largest blob':>14}{'ms':>7}")
    counts: Counter[str] = Counter()
    for file, result in judged:
        counts[result.verdict] += 1
        score = "-" if result.score is None else f"{result.score:.3f}"
        blob = f"{result.blobs[0].area} px" if result.blobs else "-"
        why = "" if result.accept or result.blobs else f"  {result.reason}"
        numbers = f"{score:>7}{blob:>14}{sum(result.timing_ms.values()):>7.0f}"
        typer.echo(f"{shown(str(file)):<{width}}  {result.verdict:<8}{numbers}{why}")
    typer.echo(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
    return set(counts) <= {"OK"}


def _write_csv(target: str, results: "Iterable[tuple[Path, Result]]") -> None:
    """Write a line for each result."""
    rows = [
        (
            file,
            result.verdict,
            result.score,
            result.blobs[0].area if result.blobs else None,
            sum(result.timing_ms.values()),
            result.reason_code,
            result.reason,
        )
        for file, result in results
    ]
    write_csv(target, ("file", "verdict", "score", "largest_blob_px", "ms", "reason_code", "reason"), rows)


def reinspect(
    folder: Annotated[Path, typer.Argument(help="Archive, or any folder of images.", metavar="DIR")],
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    workers: Annotated[int, typer.Option(min=0, help="Number of processes; 0: one for each processor.")] = 0,
    log: Annotated[Path, typer.Option(help="File that keeps the results; the same command resumes from it.")] = Path(
        "reinspect.jsonl"
    ),
    csv_file: CsvOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Judge an archive again with another bundle and compare the verdicts; an interrupted run is resumed."""
    from edge_inspector.bundle import read_bundle
    from edge_inspector.engines.openvino import usable_processors
    from edge_inspector.lab.evaluation import reinspect as again

    check_csv(csv_file, as_json=as_json)
    with progress() as report:
        judged = again.reinspect(folder, read_bundle(bundle), log, workers or usable_processors(), report)
    changes = again.changes_of(judged)
    if csv_file is not None:
        rows = [(one.image, one.before.strip(again.UNKNOWN), one.after, one.score, one.reason) for one in judged]
        write_csv(csv_file, ("image", "before", "after", "score", "reason"), rows)
    if as_json:
        counts = [{"before": then, "after": now_, "pictures": n} for (then, now_), n in sorted(changes.counts.items())]
        newly = {"newly_accepted": changes.newly_accepted, "newly_refused": changes.newly_refused}
        lists = {name: [one.as_json() for one in found] for name, found in newly.items()}
        print_json({"pictures": len(judged), "log": str(log), "counts": counts, **lists})
    elif csv_file != "-":
        _print_changes(judged, changes, log)


def _print_changes(judged: "Sequence[ReinspectedImage]", changes: "Changes", log: Path) -> None:
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
