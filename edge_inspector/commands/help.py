"""What `--help` says beside a command's own words: groups of options, defaults, an example, and exit codes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from edge_inspector.commands.names import suggestion

PANELS = {
    "Image": "size keep_aspect colour local roi mask unit sizes count images",
    "Alignment": "align max_rotation template reference shift rotation",
    "Detector": "detector detectors kinds backbone allow_random tile overlap residual changes _help_settings "
    "from_scratch augment precision",
    "Training": "epochs minutes seed resume device budget trials trial_minutes storage rows group serial seconds "
    "workers log",
    "Threshold": "tolerance false_reject confidence review hold_back min_area again ng exclude rule prevalence "
    "max_miss max_false_reject least",
    "Station": "config station inbox source_device broker username password_file state_dir bundle ok migrate",
    "Choice": "lot part verdict since until limit audit verify pin",
    "Record": "by note allow_unfit",
    "Output": "out keep save report page plot overlays history flame csv_file as_csv as_json",
}
"""The groups in which options stand, in each command the same."""
_PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names.split()}
_EVERY_COMMAND = "64 the command line is wrong, 65 an image or bundle is not what it must be, 74 a disk fault"
_WITH_SETTINGS = ", 78 the settings are not valid"
_WRONG_USE = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""Click's class of every wrong use, wherever typer keeps it."""


@dataclass(frozen=True, slots=True)
class Example:
    """How a command is called, and what it has found when it exits with 1 (empty: it never does)."""

    line: str
    finding: str = ""

    def epilog(self) -> str:
        """Return what stands at the end of the command's help."""
        codes = f"0 done, {f'1 {self.finding}, ' if self.finding else ''}{_EVERY_COMMAND}"
        codes += _WITH_SETTINGS if "--config" in self.line else ""
        return f"Example:    {self.line}\n\nExit codes: {codes}"


class Command(TyperCommand):
    """A command whose options stand in groups with their defaults, and that says what a misspelt option meant."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the words after the command."""
        with _meaning([option for one in self.params for option in (*one.opts, *one.secondary_opts)]):
            return super().parse_args(ctx, args)

    def format_help(self, ctx: typer.Context, formatter: object) -> None:  # type: ignore[override]
        """Print the help."""
        for one in self.params:
            if isinstance(one, TyperOption):
                _arrange(one)
        super().format_help(ctx, formatter)  # type: ignore[arg-type]


class Program(TyperGroup):
    """The program itself: what a misspelt option before the command meant is said too."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the words before the command."""
        with _meaning([option for one in self.params for option in one.opts]):
            return super().parse_args(ctx, args)


def _arrange(option: TyperOption) -> None:
    """Put an option into its group, with its default; the kinds of detectors are read only now: that takes long."""
    option.rich_help_panel = _PANEL_OF.get(option.name or "")
    if option.is_bool_flag and not option.secondary_opts and not option.default:
        option.show_default = "off"
    if option.name == "detector":
        from edge_inspector.detectors.settings import DEFAULT_KIND, KINDS, WITHOUT_BACKBONE, kind_in_words

        width = max(map(len, KINDS))
        option.help = "\n\n".join((option.help or "", *(f"{kind:<{width}}  {kind_in_words(kind)}" for kind in KINDS)))
        option.show_default = str(option.default or f"{DEFAULT_KIND} with the backbone extra, else {WITHOUT_BACKBONE}")


@contextmanager
def _meaning(known: list[str]) -> Iterator[None]:
    """Add to the complaint about an unknown option which one was meant."""
    try:
        yield
    except _WRONG_USE as error:
        name = getattr(error, "option_name", None)
        if name is None or not hasattr(error, "possibilities"):
            raise
        error.possibilities = None
        error.message = f"{error.message}{suggestion(name, known)}"  # type: ignore[attr-defined]
        raise
