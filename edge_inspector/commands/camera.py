"""The command of a PC that has a camera and no bundle."""

import logging
import os
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated

import typer


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
