"""The program `edge-inspector`: its commands, and what becomes of a fault."""

import logging
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated

import typer

from edge_inspector.commands import (
    bundles,
    camera,
    card,
    data,
    gather,
    judge,
    lab,
    past,
    recipe,
    search,
    serve,
    setup,
    show,
    train,
    trust,
)
from edge_inspector.commands.console import stderr
from edge_inspector.errors import EdgeInspectorError

COMMANDS = (
    gather.collect,
    train.train,
    train.calibrate,
    train.pretrain,
    search.tune,
    card.card,
    judge.evaluate,
    trust.compare,
    trust.repeat,
    judge.inspect,
    judge.reinspect,
    judge.bench,
    setup.init,
    serve.check,
    serve.run,
    camera.camera,
    past.history,
    past.explain,
    past.diagnose,
    serve.schema,
    show.demo,
)
GROUPS: dict[str, tuple[str | None, tuple[Callable[..., None], ...]]] = {
    "bundle": (bundles.__doc__, (bundles.approve, bundles.rollback)),
    "data": (data.__doc__, (data.check,)),
    "recipe": (recipe.__doc__, (recipe.preview,)),
    "lab": (lab.__doc__, (lab.align, lab.rules, lab.table)),
}
"""Commands of two words: the first, what it is about, and the functions of the second."""
USAGE = 64
DISK = 74

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in COMMANDS:
    app.command()(command)
for name, (about, members) in GROUPS.items():
    group = typer.Typer(no_args_is_help=True, help=about)
    app.add_typer(group, name=name)
    for member in members:
        group.command()(member)
app.add_typer(setup.station_app, name="station")


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
        _complain(error)
        sys.exit(DISK)


def _print_anywhere() -> None:
    """Let a terminal or a pipe show a question mark for what its encoding does not have, rather than end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _complain(error: Exception) -> None:
    stderr.print(f"edge-inspector: {error}", style="red", highlight=False, markup=False, soft_wrap=True)


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more than warnings.")] = False,
) -> None:
    """Visual inspection for a factory PC: exactly one verdict for every part."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


if __name__ == "__main__":
    main()
