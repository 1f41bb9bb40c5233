"""What an instance's systemd unit must allow beyond the common unit: its folders, their groups, its secrets."""

import grp
import re
from collections.abc import Iterator
from pathlib import Path

from edge_inspector.errors import SettingsError
from edge_inspector.settings import FolderSettings, Settings

_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - named to be refused
"""The unit has ProtectHome and PrivateTmp: what lies here does not exist for the service."""
_READ, _WRITE = 0o050, 0o070


def drop_in(settings: Settings) -> str:
    """Return the text of a drop-in for `edge-inspector@.service`.

    Raises:
        SettingsError: a path that the service could not see, or that a unit file cannot name.
    """
    folders = tuple(_written(settings))
    lines = [f"ReadWritePaths=-{_named(folder)}" for folder in folders]
    lines += [
        f"SupplementaryGroups={group}" for group in sorted({_group(f) for f in _folders(settings)} - {"", "root"})
    ]
    lines += ["UMask=0007"] if folders else []  # what one dynamic user makes in the inbox, the next one must reach
    for credential, variable, path in _secrets(settings):
        lines += [f"LoadCredential={credential}:{_named(path)}", f"Environment={variable}=%d/{credential}"]
    return "\n".join(("[Service]", *lines, ""))


def obstacles(settings: Settings) -> Iterator[str]:
    """Yield what will keep the service, which is an ordinary user, from its camera folders."""
    written = set(_written(settings))
    for folder in _folders(settings):
        if not folder.is_dir():
            yield f"{folder} is not there: make it or mount it, then run this again"
            continue
        status = folder.stat()
        needed = _WRITE if folder in written else _READ
        if status.st_gid == 0 and (status.st_mode & needed >> 3) != needed >> 3:
            yield f"{folder} belongs to group root: chgrp edge-inspector-inbox {folder}; chmod 2770 {folder}"
        elif status.st_gid != 0 and status.st_mode & needed != needed:
            group = _group(folder)
            yield f"{folder} is closed to its group {group}: chmod 2770 {folder}"


def _folders(settings: Settings) -> Iterator[Path]:
    yield from (station.source.path for station in settings.station if isinstance(station.source, FolderSettings))


def _written(settings: Settings) -> Iterator[Path]:
    for station in settings.station:
        match station.source:
            case FolderSettings(path=path, after=after, done=done) if after != "keep":
                yield path
                yield from () if done is None or done.is_relative_to(path) else (done,)


def _secrets(settings: Settings) -> Iterator[tuple[str, str, Path]]:
    """Yield each secret's credential name, the variable that says where it is, and its file."""
    mqtt = settings.mqtt
    if mqtt.password_file is not None:
        yield "mqtt-password", "EDGE_INSPECTOR_MQTT__PASSWORD_FILE", mqtt.password_file
    if mqtt.tls is not None and mqtt.tls.key is not None:
        yield "mqtt-key", "EDGE_INSPECTOR_MQTT__TLS__KEY", mqtt.tls.key


def _group(folder: Path) -> str:
    """Return who shares the folder; empty where it is away."""
    try:
        gid = folder.stat().st_gid
    except OSError:
        return ""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _named(path: Path) -> Path:
    """Return a path that may stand in a unit file: no space, quote, colon or specifier, so no second setting either."""
    if not path.is_absolute() or not re.fullmatch(r"[\w/.,@+-]+", str(path)):
        raise SettingsError(
            f"{str(path)!r}: a service's paths are absolute, of letters, digits and / . , @ + - _; rename it"
        )
    if any(path.is_relative_to(hidden) for hidden in _HIDDEN):
        raise SettingsError(f"{path}: a service sees nothing below /home, /root and /tmp; use /srv or /etc")
    return path
