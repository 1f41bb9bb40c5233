"""Commands that take images."""

import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, print_json, stderr
from edge_inspector.errors import UsageError

if TYPE_CHECKING:
    from edge_inspector.line.collect.image_collection import Taken


def collect(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; `train` takes it.", metavar="DIR")],
    config: Annotated[Path, typer.Option(help="Settings file (TOML).")],
    count: Annotated[int, typer.Option(min=1, help="So many images are taken.")],
    station: Annotated[str | None, typer.Option(help="Which station's camera; needed where there are several.")] = None,
    serial: Annotated[str, typer.Option(help="Of all images, with a number; otherwise each one's own.")] = "",
    group: Annotated[str, typer.Option(help="Of all images; `train` keeps a group together.")] = "",
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Give up after so long; exit 1.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take images of good parts from a station's own source, with a word on focus and exposure for each."""
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
        raise UsageError(f"--station {station or ''}: expected one of {', '.join(stations)}")
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
    from dataclasses import asdict

    return asdict(taken.look)
