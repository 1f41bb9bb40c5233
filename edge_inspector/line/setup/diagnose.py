"""One file for support: all that is needed to understand a station from afar, and no secret."""

import io
import json
import os
import platform
import shutil
import sqlite3
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import edge_inspector
from edge_inspector import atomic
from edge_inspector.engines.openvino import ENGINE, usable_processors
from edge_inspector.errors import EdgeInspectorError
from edge_inspector.line.archive.trace import settings_digest, software_digest
from edge_inspector.line.ledger.history import Wanted, audit_trail, find
from edge_inspector.line.station.daemon import LOG
from edge_inspector.line.station.disclose import disclosed
from edge_inspector.line.station.station import archive_folder, state_folder
from edge_inspector.settings import (
    HIDDEN,
    CaptureSettings,
    Settings,
    StationSettings,
    secrets_in,
    shown_address,
    without_logins,
)

_LOG_LINES = 2000
_RESULTS = 1000
_AUDITED = 200
_PACKAGES = ("numpy", "opencv-python", "openvino", "paho-mqtt", "pydantic", "pydantic-settings", "torch", "watchdog")


def diagnose(settings: Settings, out: Path) -> tuple[str, ...]:
    """Write a zip file and return the names in it; what cannot be read is in it as the reason why.

    Raises:
        OSError: `out` cannot be written.
    """
    secrets = _secrets(settings)
    names = []
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in _documents(settings):
            archive.writestr(name, _without(secrets, without_logins(text)))
            names.append(name)
    atomic.write_file(out, packed.getvalue())
    return tuple(names)


def _documents(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "settings.json", _json(disclosed(settings))
    yield "versions.json", _json(_versions(settings))
    yield "log.txt", _log(settings.state_dir)
    for station in settings.station:
        folder = state_folder(settings, station)
        yield f"{station.name}/health.json", _text(folder / "health.json")
        yield f"{station.name}/disk.json", _json(_disk(settings, station))
        yield f"{station.name}/ledger.json", _json(_guarded(folder / "ledger.db", _ledger))
        yield f"{station.name}/timings.json", _json(_guarded(folder / "ledger.db", _timings))
        yield f"{station.name}/audit.json", _json(_guarded(folder / "ledger.db", _audit))


def _versions(settings: Settings) -> dict[str, object]:
    return {
        "edge-inspector": edge_inspector.__version__,
        "software": software_digest(),
        "settings": settings_digest(settings),
        "engine": ENGINE,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "processors": usable_processors(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _log(folder: Path) -> str:
    lines: deque[str] = deque(maxlen=_LOG_LINES)
    for name in (f"{LOG}.1", LOG):
        with suppress(OSError):
            lines.extend((folder / name).read_text(encoding="utf-8", errors="replace").splitlines())
    return "\n".join(lines) or f"no log at {folder / LOG}; see the journal"


def _disk(settings: Settings, station: StationSettings) -> dict[str, object]:
    folder = state_folder(settings, station)
    found: dict[str, object] = {}
    for what, path in (("state", folder), ("archive", archive_folder(settings, station))):
        try:
            found[what] = {"path": str(path), **shutil.disk_usage(path)._asdict()}
        except OSError as error:
            found[what] = f"{path}: {error.strerror}"
    with suppress(OSError):
        found["files"] = {entry.name: entry.stat().st_size for entry in os.scandir(folder) if entry.is_file()}
    return found


def _ledger(path: Path) -> dict[str, object]:
    """Return what the ledger says of itself, and how many rows its tables have."""
    with sqlite3.connect(path, timeout=10) as db:
        db.execute("PRAGMA query_only=ON")
        meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
        waiting = db.execute("SELECT count(*) FROM entry WHERE n > ?", (int(meta["cursor"]),)).fetchone()[0]
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}  # noqa: S608
        events = db.execute("SELECT payload FROM entry WHERE topic = 'event' ORDER BY n DESC LIMIT 100").fetchall()
    return {"meta": meta, "waiting": waiting, "rows": rows, "events": [json.loads(row[0]) for row in events]}


def _timings(path: Path) -> dict[str, object]:
    """Return percentiles of each stage over the newest results, and how often each reason came."""
    stages: dict[str, list[float]] = {}
    reasons: dict[str, int] = {}
    for found in islice(find(path, Wanted()), _RESULTS):
        result = found.result
        reasons[f"{result.reason_code} {result.verdict}"] = reasons.get(f"{result.reason_code} {result.verdict}", 0) + 1
        for stage, took in result.timing_ms.items():
            stages.setdefault(stage, []).append(took)
    shares = (0.5, 0.95, 0.99, 1.0)
    percentiles = {name: {f"p{100 * s:g}": _percentile(took, s) for s in shares} for name, took in stages.items()}
    return {"milliseconds": percentiles, "reasons": reasons}


def _audit(path: Path) -> list[dict[str, object]]:
    return [asdict(line) for line in islice(audit_trail(path, Wanted()), _AUDITED)]


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _guarded(path: Path, look: Any) -> object:  # noqa: ANN401 - any of the above
    try:
        if not path.exists():
            return f"there is no {path}"
        return look(path)
    except (EdgeInspectorError, sqlite3.Error, ValueError, KeyError) as error:
        return f"{path}: {error}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return _json(f"{path}: {error.strerror}")


def _secrets(settings: Settings) -> tuple[str, ...]:
    """Return what must not get out although something may have repeated it: passwords, users' names, addresses."""
    found = [settings.mqtt.username, *_of_cameras(settings)]
    if settings.mqtt.password_file is not None:
        with suppress(OSError, UnicodeDecodeError):
            found.append(settings.mqtt.password_file.read_text(encoding="utf-8").strip())
    return tuple(secret for secret in found if secret)


def _of_cameras(settings: Settings) -> Iterator[str]:
    """Yield the addresses of cameras that hold more than may be shown, and what they hold: an older log has it."""
    for station in settings.station:
        device = station.source.device if isinstance(station.source, CaptureSettings) else ""
        if shown_address(device) != device:
            yield device
            yield from secrets_in(device)


def _without(secrets: Sequence[str], text: str) -> str:
    """Hide secrets, also where JSON has escaped them; the longest first, one may contain another."""
    spellings = {spelling for secret in secrets for spelling in (secret, json.dumps(secret)[1:-1])}
    for secret in sorted(spellings, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
