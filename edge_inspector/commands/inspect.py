"""Commands that judge image files by a bundle."""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, open_bundle, print_json, progress

_SHOWN = 20


def inspect(
    bundle: Annotated[Path, typer.Argument(help="Bundle to judge with.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.", metavar="IMAGE...")],
    save: Annotated[
        Path | None, typer.Option(help="Folder for overlay, heat map, reconstruction, mask.", show_default="none")
    ] = None,
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
