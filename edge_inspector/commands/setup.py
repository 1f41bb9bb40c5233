"""Commands that set a station up, and clone one."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from edge_inspector.commands.console import FINDING, AllowUnfitOption, print_findings, stderr
from edge_inspector.errors import UsageError

ETC = Path("/etc/edge-inspector")
INSTALLER = "/opt/edge-inspector/current/systemd/install.sh"

ConfigOption = Annotated[Path, typer.Option(help="Settings file (TOML).")]


def init(
    station: Annotated[
        str | None, typer.Argument(help="The station's name, for instance press-1.", show_default="is asked for")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="What `train` wrote; it is copied beside the settings.", show_default="is asked for"),
    ] = None,
    inbox: Annotated[
        Path | None, typer.Option(help="Folder that the camera writes to.", show_default="is asked for")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Instead of a folder: camera number, device, URL.", show_default="none")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="MQTT broker, HOST or HOST:PORT.", show_default="is asked for")
    ] = None,
    username: Annotated[str, typer.Option(help="Login at the broker.", show_default="none")] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="File that holds the password alone.", show_default="the password is asked for")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file to write.", show_default="/etc/edge-inspector/STATION.toml")
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for the ledger and all state.", show_default="/var/lib/edge-inspector/STATION"),
    ] = None,
    allow_unfit: AllowUnfitOption = False,
    note: Annotated[str, typer.Option(help="Why, for --allow-unfit.", show_default="none")] = "",
) -> None:
    """Write a new station's settings from options or questions, check them, and print the next steps."""
    from edge_inspector.bundle import read_bundle
    from edge_inspector.line.setup.check import check
    from edge_inspector.line.setup.setup import (
        STATES,
        Answers,
        begin_station,
        check_part_of,
        refuse_existing,
        refuse_unfit,
    )
    from edge_inspector.wire.topics import check_name

    name = check_name(station or _ask("station", "Name of the station"), "station")
    config = config or ETC / f"{name}.toml"
    refuse_existing(config)
    found = read_bundle(bundle or Path(_ask("--bundle", "Folder of the bundle")))
    check_part_of(found)
    refuse_unfit(found, note, allow=allow_unfit)
    if inbox is None and device is None:
        inbox = Path(_ask("--inbox", "Folder that the camera writes to", f"/srv/camera/{name}"))
    if inbox is not None and device is not None:
        raise UsageError("--inbox and --device: a station has one source, found two")
    source = (
        {"kind": "capture", "device": device}
        if device
        else {"kind": "folder", "path": str(Path(inbox or "").absolute())}
    )
    mqtt = _broker(broker or _ask("--broker", "Broker", "127.0.0.1"))
    if username:
        mqtt |= {"username": username, "password_file": str(password_file or config.with_suffix(".mqtt-password"))}
    if username and password_file is None:
        _keep_password(config.with_suffix(".mqtt-password"))
    reason = f"UNFIT bundle allowed: {note.strip()}" if found.manifest.calibration.unfit else ""
    settings = begin_station(config, Answers(name, found, source, mqtt, state_dir or STATES / config.stem, reason))
    typer.echo(f"wrote {config}")
    good = print_findings(check(settings, time.monotonic_ns))
    typer.echo("next:")
    for line in _next(config):
        typer.echo(f"  {line}")
    if not good:
        raise typer.Exit(FINDING)


def export_(
    out: Annotated[Path, typer.Argument(help="File to write, for instance press-1.station.")],
    config: ConfigOption,
) -> None:
    """Write settings without secrets, and all bundles, into one file."""
    from edge_inspector.line.setup.portable import export_station

    left_out = export_station(config, out)
    typer.echo(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB")
    for secret in left_out:
        typer.echo(f"left out: {secret}")


def import_(
    archive: Annotated[Path, typer.Argument(help="What `station export` wrote.")],
    config: Annotated[Path, typer.Option(help="Settings file to write.")],
    station: Annotated[
        str | None,
        typer.Option(help="New name; stations at one broker need different names.", show_default="the exported one"),
    ] = None,
) -> None:
    """Set up the station of an exported file on this PC."""
    from edge_inspector.line.setup.portable import import_station

    imported = import_station(archive, config.absolute(), station)
    typer.echo(f"wrote {config}")
    for missing in imported.missing:
        typer.echo(f"still to bring: {missing}")
    typer.echo("next:")
    for line in _next(config):
        typer.echo(f"  {line}")


def drop_in(config: ConfigOption) -> None:
    """Print the systemd drop-in that allows the service its folders and secrets; install.sh asks for it."""
    from edge_inspector.line.setup.dropin import drop_in as write_drop_in
    from edge_inspector.line.setup.dropin import obstacles
    from edge_inspector.settings import read_settings

    settings = read_settings(config)
    typer.echo(f"# Written by install.sh from {config}; `{INSTALLER} stations` writes it again.")
    typer.echo(write_drop_in(settings), nl=False)
    for obstacle in obstacles(settings):
        stderr.print(f"NOTE: {obstacle}", highlight=False, markup=False, soft_wrap=True)


def _ask(option: str, words: str, default: str | None = None) -> str:
    if not sys.stdin.isatty():
        raise UsageError(f"{option} is missing, and nobody is there to be asked")
    return str(typer.prompt(words, default=default))


def _broker(text: str) -> dict[str, object]:
    host, _, port = text.partition(":")
    if not host or (port and not port.isdecimal()):
        raise UsageError(f"--broker {text}: expected HOST or HOST:PORT")
    return {"host": host, **({"port": int(port)} if port else {})}


def _keep_password(file: Path) -> None:
    """Ask for the password: as an option it would stand in the list of processes."""
    from edge_inspector.line.setup.setup import write_secret

    if not sys.stdin.isatty():
        raise UsageError("--username needs --password-file, or somebody to type the password")
    write_secret(file, str(typer.prompt("Password at the broker", hide_input=True)))


def _next(config: Path) -> tuple[str, ...]:
    if config.absolute().parent != ETC:
        return (
            f"edge-inspector check --config {config}",
            f"edge-inspector run --config {config}",
            f"edge-inspector station export --config {config} {config.stem}.station",
        )
    return (
        f"sudo {INSTALLER} stations",
        f"sudo systemctl enable --now edge-inspector@{config.stem}",
        f"journalctl -fu edge-inspector@{config.stem}",
    )
