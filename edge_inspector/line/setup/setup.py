"""A station's first settings and folders."""

import grp
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_inspector import atomic
from edge_inspector.bundle import Bundle, copy_files, read_bundle
from edge_inspector.errors import DataError, DiskError, SettingsError, UsageError
from edge_inspector.settings import FolderSettings, Settings, read_settings
from edge_inspector.toml import to_toml
from edge_inspector.wire.topics import check_name

GROUP = "edge-inspector-inbox"
"""Who shares a camera folder with the service; install.sh makes it."""
STATES = Path("/var/lib/edge-inspector")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a technician says of a new station."""

    station: str
    bundle: Bundle
    source: Mapping[str, object]
    """`[station.source]`."""
    broker: Mapping[str, object]
    """`[mqtt]`."""
    state_dir: Path
    note: str = ""
    """Stands above the settings: why an unfit bundle may judge."""


def begin_station(config: Path, answers: Answers) -> Settings:
    """Write the settings file, beside it a copy of the bundle, and the camera folder.

    Raises:
        UsageError: the settings file exists.
        SettingsError: an answer that settings do not allow; nothing was written but the bundle.
        DataError: another bundle has the place of this one.
        DiskError: a folder could not be made.
    """
    refuse_existing(config)
    table = {
        "state_dir": str(answers.state_dir),
        "station": [
            {
                "name": answers.station,
                "source": dict(answers.source),
                "part": [
                    {"name": answers.bundle.recipe.part, "bundle": adopt_bundle(answers.bundle.path, config.parent)}
                ],
            }
        ],
        "mqtt": dict(answers.broker),
    }
    note = "".join(f"# {line}\n" for line in answers.note.splitlines())
    settings = write_settings(config, note + to_toml(table))
    make_inboxes(settings)
    return settings


def check_part_of(bundle: Bundle) -> None:
    """Refuse a bundle of a part that settings cannot name, before anything is written.

    Raises:
        DataError: the part's name may not be a topic and a path.
    """
    try:
        check_name(bundle.recipe.part, "part")
    except SettingsError as error:
        raise DataError(f"{bundle.path}: {error}; train it again with another --part") from error


def refuse_unfit(bundle: Bundle, note: str, *, allow: bool) -> None:
    """Refuse a bundle that finds too few synthetic defects, unless somebody says why it may judge all the same.

    Raises:
        DataError: the bundle is unfit and nobody allows it.
        UsageError: it is allowed, and no note says why.
    """
    card = bundle.manifest.calibration
    if not card.unfit:
        return
    why = next((one for one in card.notes if one.startswith("UNFIT")), "UNFIT: too few synthetic defects are found")
    if not allow:
        raise DataError(
            f"{bundle.path}: {why}. A line would let most defects pass: train with another detector or --size, or "
            "allow it with --allow-unfit and say why with --note"
        )
    if not note.strip():
        raise UsageError("--allow-unfit: --note is missing: say why this bundle may judge")


def refuse_existing(config: Path) -> None:
    """Raise when the settings file is there: it belongs to somebody."""
    if config.exists():
        raise UsageError(f"{config} exists already: edit it, or name another with --config")


def write_settings(config: Path, text: str) -> Settings:
    """Write a settings file that is valid, and return what it says; one that is not never gets its name."""
    trial = config.with_name(f".{config.name}.new")
    try:
        atomic.write_file(trial, text.encode())
        settings = read_settings(trial)
        trial.chmod(0o644)  # the service is an ordinary user; secrets are in files of their own
        trial.replace(config)
    except OSError as error:
        raise DiskError(f"{config}: {error.strerror}") from error
    finally:
        trial.unlink(missing_ok=True)
    return settings


def write_secret(file: Path, secret: str) -> None:
    """Write a secret that its owner alone can read, from its first byte on."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as content:
            content.write(secret)
    except OSError as error:
        raise DiskError(f"{file}: {error.strerror}") from error


def adopt_bundle(source: Path, folder: Path) -> str:
    """Copy a bundle to where its station keeps its own, and return its place relative to `folder`."""
    bundle = read_bundle(source)
    place = f"bundles/{bundle_folder(bundle)}"
    target = folder / place
    if target.exists():
        if read_bundle(target).id != bundle.id:
            raise DataError(f"{target} is another bundle: expected {bundle.id}")
        return place
    try:
        with atomic.new_folder(target) as copy:
            copy_files(bundle, copy)
            open_to_readers(copy)
            read_bundle(copy)
    except OSError as error:
        raise DiskError(f"{target}: {error.strerror or error}") from error
    return place


def bundle_folder(bundle: Bundle) -> str:
    """Return a folder name for a bundle: its part in letters that any file system takes, and its id."""
    part = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in bundle.recipe.part)
    return f"{part}-{bundle.id}"


def open_to_readers(folder: Path) -> None:
    """Let the service, an ordinary user, read a bundle that root or a technician wrote."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def make_inboxes(settings: Settings) -> None:
    """Make camera folders that are not there, shared with the service's group where there is one."""
    for station in settings.station:
        match station.source:
            case FolderSettings(path=path) if not path.exists():
                try:
                    path.mkdir(parents=True)
                    _share(path)
                except OSError as error:
                    raise DiskError(f"{path}: {error.strerror}") from error


def _share(folder: Path) -> None:
    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return
    if os.geteuid() == 0:
        os.chown(folder, -1, group)
        folder.chmod(0o2770)
