"""Commands about images to train from: taking them from a station's own source, and looking at them first."""

import time
from dataclasses import asdict
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import FINDING, GroupOption, JsonFlag, print_json, progress, stderr
from edge_inspector.errors import UsageError
from edge_inspector.text import did_you_mean

if TYPE_CHECKING:
    from edge_inspector.line.collect.image_collection import Taken

_NAMED = 3
"""Images of a finding that are named; --json names all."""


def collect(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; `train` takes it.", metavar="DIR")],
    config: Annotated[Path, typer.Option(help="Settings file (TOML).")],
    count: Annotated[int, typer.Option(min=1, help="Number of images to take.")],
    station: Annotated[
        str | None, typer.Option(help="Station whose camera takes the images.", show_default="the only one")
    ] = None,
    serial: Annotated[
        str, typer.Option(help="Serial of all images; each gets a number behind it.", show_default="each image's own")
    ] = "",
    group: Annotated[
        str, typer.Option(help="Group of all images; `train` keeps a group together.", show_default="none")
    ] = "",
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Give up after this many seconds.", show_default="never")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Collect images of good parts from a station's own source; reports focus and exposure of each."""
    from edge_inspector.line.collect.collect import collect as take
    from edge_inspector.line.collect.collect import for_collecting
    from edge_inspector.line.collect.image_collection import ImageCollection, Taken
    from edge_inspector.line.environment import Environment
    from edge_inspector.line.ledger.ledger import open_ledger
    from edge_inspector.line.process import locked, new_arrival_id
    from edge_inspector.line.sources.opening import open_source
    from edge_inspector.settings import read_settings

    settings = read_settings(config)
    stations = {one.name: one for one in settings.station}
    name = station or (next(iter(stations)) if len(stations) == 1 else "")
    if name not in stations:
        raise UsageError(
            f"--station {station or ''}: expected one of {', '.join(stations)}{did_you_mean(station or '', stations)}"
        )
    environment = Environment(time.time_ns, time.monotonic_ns, new_arrival_id, Random())  # noqa: S311 - jitter, not secrets
    end = time.monotonic() + seconds if seconds else float("inf")
    taken: list[Taken] = []
    with locked(settings.state_dir), TemporaryDirectory() as scratch:
        source = open_source(
            for_collecting(stations[name].source),
            name,
            lambda: stations[name].part[0].name,
            environment=environment,
            open_ledger=lambda: open_ledger(Path(scratch) / "ledger.db", environment.new_id, environment.now_ns),
            wait=time.sleep,
        )
        said = ""
        image_collection = ImageCollection(folder, group=group, serial=serial)
        for news in take(source, image_collection, count, stopping=lambda: time.monotonic() > end):
            if isinstance(news, Taken):
                taken.append(news)
                words = f"{news.number}/{count} {news.path.name}: {news.in_words()}"
                stderr.print(words, highlight=False, markup=False, soft_wrap=True)
            elif news.detail and news.detail != said:
                said = news.detail
                stderr.print(f"waiting: {said}", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print_json([{"path": str(one.path), **_numbers(one)} for one in taken])
    else:
        typer.echo(f"{len(taken)} images in {folder}; next: edge-inspector train {folder} --part PART --out BUNDLE")
    if len(taken) < count:
        raise typer.Exit(FINDING)


def _numbers(taken: "Taken") -> dict[str, float]:
    return asdict(taken.look)


def check(
    folder: Annotated[Path, typer.Argument(help="Folder of good images, or with train/good and test.", metavar="DIR")],
    group: GroupOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check whether a folder is fit for training; exit 1 on a finding."""
    from edge_inspector.lab.calibration.threshold import supported_rate
    from edge_inspector.lab.data.data_check import check_data
    from edge_inspector.lab.training.target import CONFIDENCE

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
        words = f"{found.calibrate} parts set the threshold, at most {rate:.1%} at {CONFIDENCE:.0%} confidence"
        typer.echo(f"where a third is held back (autoencoders, --hold-back 0.33): {words}")
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
