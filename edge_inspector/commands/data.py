"""Commands that look at images before anything is trained from them."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_inspector.commands.console import FINDING, GroupOption, JsonFlag, print_json, progress

_NAMED = 3
"""Images of a finding that are named; --json names all."""


def check(
    folder: Annotated[Path, typer.Argument(help="Folder of good images, or with train/good and test.", metavar="DIR")],
    group: GroupOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether a folder is a fit training set; exit 1 when something is amiss."""
    from edge_inspector.lab.calibration.threshold import CONFIDENCE, supported_rate
    from edge_inspector.lab.data.data_check import check_data

    with progress() as report:
        found = check_data(folder, group, report)
    rate = supported_rate(found.calibrate, 0, CONFIDENCE)
    if as_json:
        findings = [finding.as_json() for finding in found.findings]
        told = {**asdict(found), "findings": findings, "false_reject": rate, "confidence": CONFIDENCE}
        print_json({"folder": str(folder), **told})
    else:
        images = f"{found.good} good images of {found.groups} parts, {found.test} test images"
        typer.echo(f"{folder}: {found.layout}, {images}")
        typer.echo(f"{found.calibrate} parts set the threshold, at most {rate:.1%} at {CONFIDENCE:.0%} confidence")
        if found.passed_over:
            typer.echo(f"passed over: {', '.join(found.passed_over)}")
        for finding in found.findings:
            more = len(finding.images) - _NAMED
            typer.echo(f"{finding.kind.upper()}: {finding.words}")
            for image in finding.images[:_NAMED]:
                typer.echo(f"    {image}")
            if more > 0:
                typer.echo(f"    and {more} more")
        if not found.findings:
            typer.echo("Nothing amiss.")
    if found.findings:
        raise typer.Exit(FINDING)
