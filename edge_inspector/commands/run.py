"""Commands of the daemon and its contract, and of a PC that has a camera and no bundle."""

import logging
import os
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from edge_inspector.commands.console import FINDING, JsonFlag, print_findings, print_json


def run(config: Annotated[Path, typer.Option(help="Settings file (TOML).")]) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; SIGHUP reloads changed parts and bundles."""
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
    """Check everything that `run` needs: bundles, folders, cameras, broker; exit 1 when something is missing."""
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


def camera(config: Annotated[Path, typer.Option(help="The camera's settings file (TOML).")]) -> None:
    """Send a camera's images to a pool of workers over MQTT until SIGTERM or Ctrl-C; each is kept until judged."""
    from edge_inspector.line.environment import Environment
    from edge_inspector.line.pool.send import send_images
    from edge_inspector.line.process import new_arrival_id
    from edge_inspector.line.station.logs import set_log_format
    from edge_inspector.line.station.systemd import notify
    from edge_inspector.settings import read_camera_settings

    settings = read_camera_settings(config)
    set_log_format(settings.log.format, logging.getLogger().handlers, journal="JOURNAL_STREAM" in os.environ)
    environment = Environment(time.time_ns, time.monotonic_ns, new_arrival_id, Random())  # noqa: S311 - jitter, not secrets
    raise typer.Exit(send_images(settings, environment, partial(notify, os.environ)))


def schema(out: Annotated[Path, typer.Option(help="Folder to write to.")]) -> None:
    """Write the MQTT contract: a JSON Schema for each message, and the list of topics."""
    from edge_inspector.wire.schema import write_documents

    for path in write_documents(out):
        typer.echo(str(path))
