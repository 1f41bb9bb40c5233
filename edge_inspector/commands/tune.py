"""Commands that search for better settings."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import (
    CsvOption,
    GroupOption,
    JsonFlag,
    check_csv,
    now,
    parse_kinds,
    parse_roi,
    print_json,
    progress,
    write_csv,
)
from edge_inspector.commands.image_options import (
    AlignOption,
    MaskOption,
    MaxRotationOption,
    ReferenceOption,
    RoiOption,
    TemplateOption,
    UnitOption,
    align_wish,
    parse_units,
)
from edge_inspector.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_inspector.lab.training.tune import Trial, Tuned


def tune(
    images: Annotated[Path, typer.Argument(help="Folder of images of good parts.", metavar="OK_DIR")],
    storage: Annotated[Path, typer.Option(help="SQLite file of the trials; an existing one is continued.")] = Path(
        "tune.db"
    ),
    minutes: Annotated[
        float,
        typer.Option(min=0.01, help="Time for the search, minutes; no trial starts that would not finish in time."),
    ] = 15,
    trials: Annotated[
        int | None, typer.Option(min=1, help="End after this many trials.", show_default="no limit")
    ] = None,
    trial_minutes: Annotated[float, typer.Option(min=0.01, help="Minutes of training for each trial.")] = 1,
    detectors: Annotated[
        str | None,
        typer.Option(
            help="Kinds of detectors, comma-separated; the first is the baseline.",
            show_default="cae:my,unet,padim,patchcore",
        ),
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Sides of the detector's image, comma-separated.", show_default="128,192,256")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    local: Annotated[bool, typer.Option("--normalise-local", help="Correct uneven lighting.")] = False,
    roi: RoiOption = None,
    mask: MaskOption = None,
    align: AlignOption = "none",
    max_rotation: MaxRotationOption = None,
    template: TemplateOption = None,
    reference: ReferenceOption = None,
    unit: UnitOption = None,
    group: GroupOption = None,
    csv_file: CsvOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Search for the settings that find synthetic defects best, and print the `train` command that uses them."""
    from dataclasses import asdict

    from edge_inspector.detectors.settings import CaeSettings
    from edge_inspector.lab.training.train_part import TrainingRequest
    from edge_inspector.lab.training.tune import KINDS, SIZES, Search
    from edge_inspector.lab.training.tune import tune as search

    check_csv(csv_file, as_json=as_json)
    kinds = parse_kinds(detectors, "--detectors") if detectors else KINDS
    with progress() as report:
        found = search(
            Search(
                base=TrainingRequest(
                    images=images,
                    part="PART",
                    out=Path("BUNDLE"),
                    detector=CaeSettings(),
                    created=now(),
                    clock=time.monotonic,
                    report=report,
                    seed=seed,
                    normalise="local" if local else "none",
                    region=parse_roi(roi),
                    mask=mask,
                    align=align_wish(align, max_rotation, template, reference),
                    units=parse_units(unit or []),
                    group=group,
                ),
                storage=storage,
                seconds=60 * minutes,
                trials=trials,
                trial_seconds=60 * trial_minutes,
                kinds=kinds,
                sizes=_parse_sides(sizes) if sizes else SIZES,
            )
        )
    if csv_file is not None:
        _write_trials(csv_file, found.tried)
    if as_json:
        print_json(asdict(found))
    elif csv_file != "-":
        _print_found(found, storage)


def _write_trials(target: str, tried: "Sequence[Trial]") -> None:
    """Write a line for each trial; a detector's column is empty where another one was tried."""
    names = tuple(dict.fromkeys(name for trial in tried for name in trial.params))
    rows = [(trial.number, trial.score, *map(trial.params.get, names), trial.failure) for trial in tried]
    write_csv(target, ("trial", "score", *names, "failure"), rows)


def _print_found(found: "Tuned", storage: Path) -> None:
    before = "failed" if found.default_score is None else f"{found.default_score:.3f}"
    typer.echo(f"trials          {found.trials}, {found.failed} more failed; kept in {storage}")
    typer.echo(
        f"synthetic defects {before} with the defaults, {found.score:.3f} with the best (1: all above good parts)"
    )
    typer.echo(f"data            {found.chosen_by}")
    for name, value in found.params.items():
        typer.echo(f"  {name:<14}{value if isinstance(value, str) else f'{value:.4g}'}")
    typer.echo(f"next            {found.command}")


def _parse_sides(text: str) -> tuple[int, ...]:
    sides = text.split(",")
    if not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise UsageError(f"--sizes {text}: expected sides with commas between, for instance 128,256")
    return tuple(map(int, sides))
