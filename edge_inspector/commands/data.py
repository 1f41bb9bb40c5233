"""Commands that look at pictures before anything is taught from them."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_inspector.commands.console import FINDING, GroupOption, JsonFlag, print_json, progress

_NAMED = 3
"""Pictures of a finding that are named; --json names all."""


def check(
    folder: Annotated[
        Path, typer.Argument(help="Folder of good pictures, or with train/good and test.", metavar="DIR")
    ],
    group: GroupOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether a folder is a fit training set; exit 1 when something is amiss."""
    from edge_inspector.lab.data_check import check_data
    from edge_inspector.lab.threshold import CONFIDENCE, supported_rate

    with progress() as report:
        found = check_data(folder, group, report)
    rate = supported_rate(found.calibrate, 0, CONFIDENCE)
    if as_json:
        print_json({"folder": str(folder), **asdict(found), "false_reject": rate, "confidence": CONFIDENCE})
    else:
        pictures = f"{found.good} good pictures of {found.groups} parts, {found.test} test pictures"
        typer.echo(f"{folder}: {found.layout}, {pictures}")
        typer.echo(f"{found.calibrate} parts set the threshold, at most {rate:.1%} at {CONFIDENCE:.0%} confidence")
        if found.passed_over:
            typer.echo(f"passed over: {', '.join(found.passed_over)}")
        for finding in found.findings:
            more = len(finding.pictures) - _NAMED
            typer.echo(f"{finding.kind.upper()}: {finding.words}")
            for picture in finding.pictures[:_NAMED]:
                typer.echo(f"    {picture}")
            if more > 0:
                typer.echo(f"    and {more} more")
        if not found.findings:
            typer.echo("Nothing amiss.")
    if found.findings:
        raise typer.Exit(FINDING)
