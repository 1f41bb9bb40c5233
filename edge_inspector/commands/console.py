"""What the commands share: how they read, print, and show that they are at work."""

import csv
import io
import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from edge_inspector.errors import UsageError
from edge_inspector.text import did_you_mean, shown

if TYPE_CHECKING:
    from edge_inspector.bundle import Bundle
    from edge_inspector.inspection.inspector import Inspector
    from edge_inspector.inspection.recipe import Region
    from edge_inspector.line.setup.check import Finding

stderr = Console(stderr=True)
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
CsvOption = Annotated[
    str | None, typer.Option("--csv", help="CSV file to write; -: standard output.", show_default="none")
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        help="Regular expression that finds the part's serial in a path.", show_default="each image is a part"
    ),
]
AllowUnfitOption = Annotated[
    bool, typer.Option("--allow-unfit", help="Accept a bundle whose card says UNFIT; needs --note.")
]
FINDING = 1
"""Exit status of a command that did its work and found something amiss."""


def open_bundle(path: Path) -> "tuple[Bundle, Inspector]":
    """Return a bundle and an inspector that judges by it on this machine."""
    from edge_inspector.bundle import open_inspector, read_bundle
    from edge_inspector.engines.openvino import usable_processors

    opened = read_bundle(path)
    return opened, open_inspector(opened, threads=usable_processors(), clock_ns=time.perf_counter_ns)


def print_json(value: object) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def write_csv(target: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table to a file, whole or not at all, or to standard output where `target` is `-`."""
    from edge_inspector import atomic

    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(header)
    writer.writerows(tuple(map(no_formula, row)) for row in rows)
    text = shown(lines.getvalue())
    if target == "-":
        typer.echo(text, nl=False)
    else:
        atomic.write_file(Path(target), text.encode())


def check_csv(target: str | None, *, as_json: bool) -> None:
    """Refuse, before anything is measured, a table that could not be kept.

    Raises:
        UsageError: its folder is missing, or standard output is taken by --json.
    """
    if target == "-" and as_json:
        raise UsageError("--csv -: standard output is taken by --json: name a file")
    if target not in (None, "-") and not Path(target).absolute().parent.is_dir():
        raise UsageError(f"--csv {target}: {Path(target).absolute().parent} is not a folder")


def no_formula(value: object) -> object:
    """Return a value that no spreadsheet takes for a formula: a serial may come from outside."""
    formula = isinstance(value, str | Path) and str(value).startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value


def print_findings(findings: "Iterable[Finding]") -> bool:
    """Print what was looked at as it is found, and return whether all that is needed is there."""
    good = True
    for finding in findings:
        word = "ok  " if finding.good else "FAIL" if finding.needed else "note"
        typer.echo(f"{word} {finding.what}: {finding.detail}")
        good = good and (finding.good or not finding.needed)
    return good


def now() -> datetime:
    """Return the time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height of N or WIDTHxHEIGHT."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise UsageError(f"--size {text}: expected N or WIDTHxHEIGHT, for instance 256 or 512x256")
    return int(sides[0]), int(sides[-1])


def parse_roi(text: str | None, option: str = "--roi") -> "Region | None":
    """Return the region of x,y,width,height."""
    from edge_inspector.inspection.recipe import Region

    if text is None:
        return None
    values = text.split(",")
    if (
        len(values) != 4
        or not all(value.strip().isdecimal() for value in values)
        or not int(values[2]) * int(values[3])
    ):
        raise UsageError(f"{option} {text}: expected x,y,width,height in camera pixels, for instance 40,0,600,480")
    x, y, width, height = map(int, values)
    return Region(x=x, y=y, width=width, height=height)


def parse_changes(texts: list[str]) -> dict[str, str]:
    """Return the settings of KEY=VALUE texts."""
    wrong = [text for text in texts if "=" not in text]
    if wrong:
        raise UsageError(f"--set {wrong[0]}: expected KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)


def parse_kinds(text: str, option: str) -> tuple[str, ...]:
    """Return the kinds of detectors with commas between."""
    from edge_inspector.detectors.settings import KINDS

    kinds = tuple(text.split(","))
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"{option} {kind}: expected some of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    return kinds


@contextmanager
def ended_by_ctrl_c(pressed: Event) -> Iterator[Callable[[], bool]]:
    """Yield what says whether Ctrl-C was pressed in the block; pressed again, it ends the program at once."""

    def press(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        pressed.set()

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Yield a function that shows what is being done and its share, where somebody looks."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def report(words: str, share: float) -> None:
            if share == 0:
                bar.reset(task)
            bar.update(task, description=words, completed=share)

        yield report
