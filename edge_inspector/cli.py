"""The program `edge-inspector`: its commands, and the exit code of each fault."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Annotated

import typer

from edge_inspector import __version__
from edge_inspector.commands import (
    bench,
    bundles,
    card,
    data,
    demo,
    evaluate,
    history,
    inspect,
    lab,
    recipe,
    run,
    setup,
    train,
    tune,
)
from edge_inspector.commands.console import stderr
from edge_inspector.commands.help import Command, Example, Program
from edge_inspector.commands.names import present_name
from edge_inspector.errors import EdgeInspectorError

TRAIN, EXAMINE, RUN, MAINTAIN, BENCHMARK = "Train", "Examine", "Run", "Maintain", "Benchmark"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: its function, its group in `--help`, an example; of two words where `first` is the first."""

    function: Callable[..., None]
    panel: str
    example: Example
    first: str = ""
    name: str | None = None


ENTRIES = (
    Entry(
        data.collect,
        TRAIN,
        Example("edge-inspector collect good --config press-1.toml --count 100", "fewer images than asked for"),
    ),
    Entry(data.check, TRAIN, Example("edge-inspector data check good", "the images are not fit for training"), "data"),
    Entry(
        recipe.preview,
        TRAIN,
        Example("edge-inspector recipe preview good --out look --align rotate", "a part was not found in its image"),
        "recipe",
    ),
    Entry(train.train, TRAIN, Example("edge-inspector train good --part bracket --out bundles/bracket")),
    Entry(
        train.calibrate,
        TRAIN,
        Example("edge-inspector calibrate bundles/bracket --ok more --false-reject 0.02 --out bundles/bracket-2"),
    ),
    Entry(train.pretrain, TRAIN, Example("edge-inspector pretrain good --out rotation.pt --minutes 30")),
    Entry(tune.tune, TRAIN, Example("edge-inspector tune good --minutes 60")),
    Entry(card.card, EXAMINE, Example("edge-inspector card bundles/bracket", "the bundle is unfit")),
    Entry(inspect.inspect, EXAMINE, Example("edge-inspector inspect bundles/bracket some.png", "an image is not OK")),
    Entry(
        evaluate.evaluate,
        EXAMINE,
        Example("edge-inspector evaluate bundles/bracket data --report report.html", "a limit is exceeded"),
    ),
    Entry(
        evaluate.compare,
        EXAMINE,
        Example("edge-inspector compare bundles/old bundles/new data", "B is worse beyond the tolerance"),
    ),
    Entry(
        evaluate.repeatability,
        EXAMINE,
        Example("edge-inspector repeatability bundles/bracket shots --least 0.95", "fewer parts agree than --least"),
    ),
    Entry(inspect.reinspect, EXAMINE, Example("edge-inspector reinspect archive bundles/bracket")),
    Entry(
        setup.init,
        RUN,
        Example(
            "edge-inspector init press-1 --bundle bundles/bracket --inbox /srv/camera --config press-1.toml",
            "something that the station needs is missing",
        ),
    ),
    Entry(
        run.check,
        RUN,
        Example("edge-inspector check --config press-1.toml", "something that the station needs is missing"),
    ),
    Entry(run.run, RUN, Example("edge-inspector run --config press-1.toml")),
    Entry(run.camera, RUN, Example("edge-inspector camera --config camera.toml")),
    Entry(demo.demo, RUN, Example("edge-inspector demo --seconds 60", "an image was not answered exactly once")),
    Entry(
        history.history,
        MAINTAIN,
        Example("edge-inspector history --config press-1.toml --verdict NG", "--verify found a broken hash chain"),
    ),
    Entry(
        history.explain,
        MAINTAIN,
        Example("edge-inspector explain ID --config press-1.toml", "an image is gone, or its verdict differs"),
    ),
    Entry(history.diagnose, MAINTAIN, Example("edge-inspector diagnose --config press-1.toml")),
    Entry(
        bundles.approve,
        MAINTAIN,
        Example("edge-inspector bundle approve bundles/new bundles/bracket --by Ada --note trial"),
        "bundle",
    ),
    Entry(bundles.rollback, MAINTAIN, Example("edge-inspector bundle rollback bundles/bracket --by Ada"), "bundle"),
    Entry(
        setup.export_,
        MAINTAIN,
        Example("edge-inspector station export press-1.station --config press-1.toml"),
        "station",
        "export",
    ),
    Entry(
        setup.import_,
        MAINTAIN,
        Example("edge-inspector station import press-1.station --config press-2.toml --station press-2"),
        "station",
        "import",
    ),
    Entry(
        setup.drop_in,
        MAINTAIN,
        Example("edge-inspector station drop-in --config press-1.toml"),
        "station",
        "drop-in",
    ),
    Entry(run.schema, MAINTAIN, Example("edge-inspector schema --out contract")),
    Entry(
        bench.bench,
        BENCHMARK,
        Example("edge-inspector bench bundles/bracket --history bench.json", "a figure is 10 % worse than before"),
    ),
    Entry(lab.align, BENCHMARK, Example("edge-inspector lab align sets/bottle"), "lab"),
    Entry(lab.rules, BENCHMARK, Example("edge-inspector lab rules sets"), "lab"),
    Entry(lab.table, BENCHMARK, Example("edge-inspector lab table sets --budget 60"), "lab"),
)
FIRST_WORDS = {
    "data": (TRAIN, "Check images before training."),
    "recipe": (TRAIN, "Show how images are prepared for the detector."),
    "bundle": (MAINTAIN, "Approve the bundle that judges a part, or roll back to the previous one; each with a name."),
    "station": (MAINTAIN, "Copy a station to another PC, or grant its service access to its folders."),
    "lab": (BENCHMARK, "Measure the product itself on whole sets of images."),
}
"""Commands of two words: the first, its group, and what it is about."""
ABOUT = """Visual inspection for a factory PC: trained on images of good parts, it gives every part exactly one verdict.

edge-inspector train good --part bracket --out bundles/bracket
edge-inspector inspect bundles/bracket some.png
edge-inspector run --config press-1.toml"""
USAGE = 64
DISK = 74


def _program() -> typer.Typer:
    """Return the program with its commands."""
    program = typer.Typer(
        cls=Program,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help=ABOUT,
        context_settings={"token_normalize_func": present_name},
    )
    groups: dict[str, typer.Typer] = {"": program}
    for entry in ENTRIES:
        if entry.first not in groups:
            panel, about = FIRST_WORDS[entry.first]
            groups[entry.first] = typer.Typer(no_args_is_help=True, help=about, rich_markup_mode="rich")
            program.add_typer(groups[entry.first], name=entry.first, rich_help_panel=panel)
        add = groups[entry.first].command(
            entry.name, cls=Command, rich_help_panel=None if entry.first else entry.panel, epilog=entry.example.epilog()
        )
        add(entry.function)
    return program


app = _program()


def main() -> None:
    """Run a command; a fault is one line on stderr and an exit status that says what kind it is."""
    _print_anywhere()
    try:
        app()
    except SystemExit as end:
        sys.exit(USAGE if end.code == 2 else end.code)  # 2 is what option parsers use; sysexits.h says 64
    except EdgeInspectorError as error:
        _complain(error)
        sys.exit(error.exit_status)
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename else error)
        sys.exit(DISK)


def _print_anywhere() -> None:
    """Let a terminal or a pipe show a question mark for what its encoding does not have, rather than end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _complain(error: Exception | str) -> None:
    stderr.print(f"edge-inspector: {error}", style="red", highlight=False, markup=False, soft_wrap=True)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"edge-inspector {__version__}")
        raise typer.Exit


@app.callback(help=ABOUT)
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more than warnings.", show_default="off")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", show_default="off", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


if __name__ == "__main__":
    main()
