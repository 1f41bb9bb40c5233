"""Commands that measure the product itself, on whole sets of images."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import (
    CsvOption,
    JsonFlag,
    check_csv,
    now,
    open_bundle,
    parse_kinds,
    print_json,
    progress,
    write_csv,
)

if TYPE_CHECKING:
    from edge_inspector.bundle import Bundle
    from edge_inspector.inspection.recipe import Region
    from edge_inspector.lab.training.recipe_draft import AlignmentRequest


def rules(
    root: Annotated[
        Path, typer.Argument(help="Folder of sets: train/good, test/good, test/<defect>.", metavar="DATA_ROOT")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Train each set with the defaults, and print what the rules of prior systems do on it beside ours."""
    from edge_inspector.detectors.settings import CaeSettings
    from edge_inspector.lab.benchmark.rules_table import COMPARED, RuleRow, as_markdown, compare_rules
    from edge_inspector.lab.data.sets import find_sets
    from edge_inspector.lab.train import train
    from edge_inspector.lab.training.train_part import TrainingRequest

    rows: list[RuleRow] = []
    with TemporaryDirectory(prefix="edge-inspector-rules-") as temporary, progress() as report:
        for folder in find_sets(root):
            bundle = train(
                TrainingRequest(
                    images=folder / "train" / "good",
                    part="part",  # no line will see it
                    out=Path(temporary) / folder.name,
                    detector=CaeSettings(),
                    created=now(),
                    clock=time.monotonic,
                    report=report,
                )
            )
            opened, inspector = open_bundle(bundle.path)
            found = compare_rules(opened, inspector, folder, COMPARED, report)
            for line in () if as_json else list(as_markdown(found))[2 if rows else 0 :]:
                typer.echo(line)  # set by set: the next one takes minutes
            rows += found
    if as_json:
        print_json(
            [
                {
                    "set": row.data,
                    "rule": row.rule,
                    "false_reject_rate": row.false_reject.value,
                    "miss_rate": row.miss.value,
                    "balanced_accuracy": row.balanced_accuracy,
                }
                for row in rows
            ]
        )


def table(
    root: Annotated[
        Path, typer.Argument(help="Folder of sets: train/good, test/good, test/<defect>.", metavar="DATA_ROOT")
    ],
    rows: Annotated[Path, typer.Option(help="Folder of finished rows; they are not measured again.")] = Path(
        "lab-table"
    ),
    budget: Annotated[float, typer.Option(min=1, help="Seconds of training for each kind and set.")] = 300,
    kinds: Annotated[str | None, typer.Option(help="Kinds of detectors, comma-separated.", show_default="all")] = None,
    size: Annotated[int, typer.Option(min=32, help="Side of the detector's image.")] = 256,
    local: Annotated[bool, typer.Option("--normalise-local", help="Correct uneven lighting.")] = False,
    csv_file: CsvOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Train every kind on every set for the same time, and print the figures; an interrupted run is resumed."""
    from edge_inspector.detectors.settings import KINDS
    from edge_inspector.lab.benchmark.table import COLUMNS, TableRequest, as_markdown, measure

    check_csv(csv_file, as_json=as_json)
    with progress() as report:
        request = TableRequest(
            root=root,
            rows=rows,
            kinds=parse_kinds(kinds, "--kinds") if kinds else KINDS,
            seconds=budget,
            clock_ns=time.monotonic_ns,
            now=now,
            report=report,
            size=size,
            local=local,
        )
        found = list(measure(request))
    if csv_file is not None:
        write_csv(csv_file, COLUMNS, ([row.get(name) for name in COLUMNS] for row in found))
    if as_json:
        print_json(found)
    elif csv_file != "-":
        for line in as_markdown(found):
            typer.echo(line)


def align(
    data: Annotated[Path, typer.Argument(help="Folder with train/good, test/good, test/<defect>.", metavar="DATA_SET")],
    detector: Annotated[str, typer.Option(help="Kind of detector:")] = "padim",
    size: Annotated[int, typer.Option(min=32, help="Side of the detector's image.")] = 256,
    shift: Annotated[float, typer.Option(help="Largest shift, a share of the image's sides.")] = 0.1,
    rotation: Annotated[float, typer.Option(help="Largest rotation, degrees.")] = 15.0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Move a set's test parts at random, and print what that costs without alignment and with it."""
    from edge_inspector.detectors.settings import parse_settings
    from edge_inspector.lab.benchmark.moved import MovedRequest, as_markdown, measure_moved
    from edge_inspector.lab.train import train
    from edge_inspector.lab.training.train_part import TrainingRequest

    settings = parse_settings(detector, {})
    with progress() as report:

        def train_detector(images: Path, region: "Region", request: "AlignmentRequest", out: Path) -> "Bundle":
            return train(
                TrainingRequest(
                    images=images,
                    part="part",  # no line will see it
                    out=out,
                    detector=settings,
                    created=now(),
                    clock=time.monotonic,
                    report=report,
                    width=size,
                    height=size,
                    channels=settings.CHANNELS,
                    seed=seed,
                    region=region,
                    align=request,
                )
            )

        rows = measure_moved(MovedRequest(data, shift, rotation, seed, train_detector, time.monotonic_ns, report))
    if as_json:
        print_json(
            [
                {
                    "set": row.data,
                    "moved": row.moved,
                    "aligned": row.aligned,
                    "image_auroc": row.found.image_auroc,
                    "difference": row.gain.value,
                    "difference_low": row.gain.low,
                    "difference_high": row.gain.high,
                    "refused": row.found.refused,
                    "align_ms": row.milliseconds,
                }
                for row in rows
            ]
        )
        return
    for line in as_markdown(rows):
        typer.echo(line)
