"""A station in one file: its settings without secrets, and its bundles; to be set up again on another PC."""

import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edge_inspector import atomic
from edge_inspector.bundle import read_bundle
from edge_inspector.errors import DataError, DiskError, UsageError
from edge_inspector.line.setup.setup import (
    STATES,
    bundle_folder,
    make_inboxes,
    open_to_readers,
    refuse_existing,
    write_settings,
)
from edge_inspector.settings import HIDDEN, Settings, read_settings, shown_address
from edge_inspector.toml import read_toml, to_toml
from edge_inspector.wire.topics import check_name

_SETTINGS = "station.toml"
_STEP = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_MEMBER = re.compile(rf"{_SETTINGS}|bundles/{_STEP}/{_STEP}(/{_STEP})?")
_MOST_MEMBERS = 10_000
_MOST_BYTES = 8_000_000_000
_MOST_SETTINGS_BYTES = 1_000_000
_DAMAGES = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, lzma.LZMAError,
    struct.error, ValueError,
)  # fmt: skip
"""What zipfile lets through of an archive that is none."""
_THEN = (1980, 1, 1, 0, 0, 0)
"""The same station gives the same file."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A station that was set up, and what it still lacks."""

    settings: Settings
    missing: tuple[str, ...]


def export_station(config: Path, out: Path) -> tuple[str, ...]:
    """Write one file with the settings and every bundle, and return what was left out because it is secret.

    Raises:
        SettingsError, DataError: settings or a bundle are not valid; a broken station is not cloned.
        UsageError: `out` exists.
        DiskError: `out` cannot be written.
    """
    if out.exists():
        raise UsageError(f"{out} exists already: name another file")
    settings = read_settings(config)
    bundles = {part.bundle: read_bundle(part.bundle) for station in settings.station for part in station.part}
    places = {path: f"bundles/{bundle_folder(bundle)}" for path, bundle in bundles.items()}
    table, left_out = _without_secrets(read_toml(config.read_bytes()))
    for station, model in zip(table["station"], settings.station, strict=True):
        for entry, part in zip(station["part"], model.part, strict=True):
            entry["bundle"] = places[part.bundle]
    content = {_SETTINGS: to_toml(table).encode()}
    for path, place in places.items():
        for name in sorted(bundles[path].files):
            content[f"{place}/{name}"] = (path / name).read_bytes()
    try:
        atomic.write_file(out, _packed(content))
    except OSError as error:
        raise DiskError(f"{out}: {error.strerror}") from error
    return left_out


def import_station(archive: Path, config: Path, name: str | None) -> Imported:
    """Set up the station of an exported file: bundles beside `config`, then the settings, then the camera folders.

    Args:
        archive: what `export_station` wrote; every name in it is checked, nothing is unpacked to where it says itself.
        config: the settings file to write.
        name: another name for its only station; topics go by it, so two PCs at one broker need two.

    Raises:
        UsageError: `config` exists, or `name` for a file with several stations.
        DataError: no such archive, damaged, or with anything in it that does not belong there.
        SettingsError: its settings are not valid for this version.
        DiskError: the disk is full or closed.
    """
    refuse_existing(config)
    content = _unpacked(archive)
    table = _parsed(archive, content.pop(_SETTINGS))
    _rename(table, name)
    table["state_dir"] = str(STATES / config.stem)
    for place in sorted({"/".join(PurePosixPath(member).parts[:2]) for member in content}):
        files = {
            member.removeprefix(f"{place}/"): data for member, data in content.items() if member.startswith(f"{place}/")
        }
        _write_bundle(config.parent / place, files)
    settings = write_settings(config, to_toml(table))
    make_inboxes(settings)
    return Imported(settings, tuple(_missing(settings)))


def _without_secrets(table: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return settings without this PC's state folder and without passwords in addresses; secrets' files stay named."""
    left_out = []
    table.pop("state_dir", None)
    for station in table["station"]:
        device = station["source"].get("device", "")
        shown = shown_address(device)
        if shown != device:  # a login may stand before the host, in the query or in the path
            station["source"]["device"] = shown.replace(f"{HIDDEN}@", "")
            left_out.append(f"station {station['name']}: login and query in the address of its camera")
    mqtt = table.get("mqtt", {})
    left_out += [f"mqtt.password_file {mqtt['password_file']}"] if "password_file" in mqtt else []
    left_out += [f"mqtt.tls.{key} {value}" for key, value in mqtt.get("tls", {}).items()]
    return table, tuple(left_out)


def _packed(content: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member, data in content.items():
            entry = zipfile.ZipInfo(member, _THEN)
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 1)
    return packed.getvalue()


def _unpacked(path: Path) -> dict[str, bytes]:
    """Return an archive's files by name, each name one that an export writes."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            wrong = [name for name in names if not _MEMBER.fullmatch(name)]
            if wrong or len(set(names)) < len(names) or _SETTINGS not in names:
                raise DataError(
                    f"{path} is not an exported station: unexpected, double or missing {(wrong or names)[:3]}"
                )
            size = sum(entry.file_size for entry in entries)
            if len(entries) > _MOST_MEMBERS or size > _MOST_BYTES:
                raise DataError(f"{path} claims {len(entries)} files of {size:,} bytes: too many for a station")
            return {entry.filename: archive.read(entry) for entry in entries}
    except _DAMAGES as error:
        raise DataError(f"{path} is damaged or no exported station: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        if len(text) > _MOST_SETTINGS_BYTES:
            raise DataError(f"{path}: settings of {len(text):,} bytes")
        table = read_toml(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its settings are not TOML: {error}") from error
    stations = table.get("station")
    if not isinstance(stations, list) or not all(isinstance(station, dict) for station in stations):
        raise DataError(f"{path}: its settings have no [[station]]")
    return table


def _rename(table: dict[str, Any], name: str | None) -> None:
    if name is None:
        return
    if len(table["station"]) != 1:
        raise UsageError(f"--station {name}: the file holds {len(table['station'])} stations; rename them by hand")
    table["station"][0]["name"] = check_name(name, "--station")


def _write_bundle(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle that verifies, or leave the same one that is there."""
    if target.exists():
        if {name: (target / name).read_bytes() for name in files if (target / name).is_file()} != files:
            raise DataError(f"{target} is there and differs: move it away")
        read_bundle(target)
        return
    try:
        with atomic.new_folder(target) as folder:
            for name, data in files.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)
            open_to_readers(folder)
            read_bundle(folder)
    except OSError as error:
        raise DiskError(f"{target}: {error.strerror or error}") from error


def _missing(settings: Settings) -> Iterator[str]:
    mqtt = settings.mqtt
    files = {"mqtt.password_file": mqtt.password_file}
    if mqtt.tls is not None:
        files |= {f"mqtt.tls.{key}": getattr(mqtt.tls, key) for key in ("ca", "certificate", "key")}
    yield from (f"{what} {file}" for what, file in files.items() if file is not None and not file.exists())
