"""Commands of the daemon and its contract."""

import logging
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, print_findings, print_json


def run(config: Annotated[Path, typer.Option(help="Settings file (TOML).")]) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; SIGHUP takes up changed parts and bundles."""
    from functools import partial

    from edge_inspector.line.station.daemon import serve
    from edge_inspector.line.station.logs import set_log_format
    from edge_inspector.settings import read_settings

    settings = read_settings(config)
    set_log_format(settings.log.format, logging.getLogger().handlers, journal="JOURNAL_STREAM" in os.environ)
    raise typer.Exit(serve(settings, partial(read_settings, config)))


def check(
    config: Annotated[Path, typer.Option(help="Settings file (TOML).")],
    as_json: JsonFlag = False,
) -> None:
    """Look at everything that `run` needs: bundles, folders, cameras, broker; exit 1 when something is missing."""
    from dataclasses import asdict

    from edge_inspector.line.setup.check import check as look
    from edge_inspector.settings import read_settings

    findings = list(look(read_settings(config), time.monotonic_ns))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_findings(findings)
    if not all(finding.good or not finding.needed for finding in findings):
        raise typer.Exit(FINDING)


def schema(out: Annotated[Path, typer.Option(help="Folder to write to.")]) -> None:
    """Write the MQTT contract: a JSON Schema for each message, and the list of topics."""
    from edge_inspector.wire.schema import write_documents

    for path in write_documents(out):
        typer.echo(str(path))
