"""Say which bundle a part is judged by, with a name; `systemctl reload` takes it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_inspector.commands.console import AllowUnfitOption, now

if TYPE_CHECKING:
    from edge_inspector.bundle import Bundle

LinkArgument = Annotated[Path, typer.Argument(help="Link that the settings name as the part's bundle.")]
ByOption = Annotated[str, typer.Option(help="Name of who approves.")]
NoteOption = Annotated[str, typer.Option(help="Why.", show_default="none")]


def approve(
    bundle: Annotated[Path, typer.Argument(help="What `train` or `calibrate` wrote; it is copied beside the link.")],
    link: LinkArgument,
    by: ByOption,
    note: NoteOption = "",
    allow_unfit: AllowUnfitOption = False,
) -> None:
    """Check a bundle on this machine, record who approved it, and point the link at it."""
    from edge_inspector.line.setup.approvals import approvals_file
    from edge_inspector.line.setup.approvals import approve as let

    approval = let(bundle, link.absolute(), by, note, now(), _prove, allow_unfit=allow_unfit)
    typer.echo(f"{link} is bundle {approval.bundle} of part {approval.part}; {approvals_file(link)} says who and when")
    typer.echo("next: systemctl reload edge-inspector@STATION")


def rollback(link: LinkArgument, by: ByOption, note: NoteOption = "") -> None:
    """Point the link at the bundle that was approved before, after the same check."""
    from edge_inspector.line.setup.approvals import rollback as go_back

    approval = go_back(link.absolute(), by, note, now(), _prove)
    typer.echo(f"{link} is bundle {approval.bundle} of part {approval.part} again")
    typer.echo("next: systemctl reload edge-inspector@STATION")


def _prove(bundle: "Bundle") -> None:
    from edge_inspector.bundle import open_inspector
    from edge_inspector.engines.openvino import usable_processors

    open_inspector(bundle, threads=usable_processors(), clock_ns=time.perf_counter_ns)
