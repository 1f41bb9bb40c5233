"""A ledger's file at the start: looked over, and set aside for a new one when it is damaged."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_inspector.errors import DamagedError, DiskError
from edge_inspector.line.ledger import is_damage, open_ledger
from edge_inspector.line.reserve import Reserve
from edge_inspector.line.source import Now

_SET_ASIDE = ".damaged-"
_MOST_SET_ASIDE = 3
_BESIDE = ("", "-wal", "-shm")
_LARGE = ("entry", "thumb", "audit", "delivered")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A ledger that can be opened."""

    looked_over: bool
    """Whether there was time to look at all of it."""
    set_aside: str = ""
    """Empty, or what was wrong with the ledger before, and where it is now."""


def prepare_ledger(path: Path, new_id: Callable[[], str], now_ns: Now, most_bytes: int = 100_000_000) -> Prepared:
    """Look at the ledger, set a damaged one aside, and leave one there that can be opened.

    Args:
        path: the SQLite file.
        new_id: names a new ledger.
        now_ns: Unix time.
        most_bytes: of a larger one not all is looked at: a start has two seconds.

    Raises:
        DiskError: it cannot be read or written, is of a newer version, or another process holds it.
    """
    _refuse_folders(path)
    gone = path.with_name("high-water.json").exists() and not path.exists()
    try:
        sound = _look(path, most_bytes)
        _open_once(path, new_id, now_ns)
    except DamagedError as error:
        kept = _set_aside(path, now_ns())
        _open_once(path, new_id, now_ns)
        return Prepared(looked_over=True, set_aside=f"{error}; it is kept as {kept.name}, a new ledger was begun")
    words = f"{path} was gone: a new ledger was begun"
    return Prepared(looked_over=sound, set_aside=words if gone else "")


def _refuse_folders(ledger: Path) -> None:
    """Refuse folders that somebody's copy left where files belong: SQLite's own words for them lead nowhere."""
    files = (*(ledger.with_name(ledger.name + ending) for ending in (*_BESIDE, "-journal")), _mark(ledger))
    for file in (*files, ledger.with_name("high-water.json")):
        if file.is_dir():
            raise DiskError(f"{file} is a folder, expected a file or nothing: move it away")


def look_over(path: Path) -> str:
    """Look at all of a ledger, however long that takes, and return what is wrong; the next start sets it aside.

    Raises:
        DiskError: it cannot be read now, or the mark for the next start cannot be written.
    """
    try:
        _look(path, most_bytes=None)
    except DamagedError as error:
        mark_damaged(path)
        return str(error)
    return ""


def mark_damaged(path: Path) -> None:
    """Have the next start set the ledger aside.

    Raises:
        DiskError: the mark could not be written.
    """
    try:
        _mark(path).touch()
    except OSError as error:
        raise DiskError(f"{_mark(path)}: {error.strerror}") from error


def _mark(path: Path) -> Path:
    return path.with_name("ledger-is-damaged")


def _look(path: Path, most_bytes: int | None) -> bool:
    """Look at a ledger; at one of more than `most_bytes` only at its small tables and its newest lines.

    SQLite's check takes 0.1 s for 100,000 results (140 MB) and cannot be interrupted.

    Returns:
        Whether all was looked at.

    Raises:
        DamagedError: something is wrong with it.
        DiskError: it cannot be read now.
    """
    if _mark(path).exists():
        raise DamagedError(f"{path} was found to be damaged while it was used")
    if not path.exists():
        return True
    whole = most_bytes is None or path.stat().st_size <= most_bytes
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as db:
            found = _check(db, *(() if whole else _small_tables(db)))
            if not whole:
                db.execute("SELECT * FROM entry ORDER BY n DESC LIMIT 100").fetchall()
    except sqlite3.Error as error:
        kind = DamagedError if is_damage(error) else DiskError
        raise kind(f"the ledger {path} cannot be read: {error}") from error
    if found:
        raise DamagedError(f"the ledger {path} is damaged: {found}")
    return whole


def _check(db: sqlite3.Connection, *tables: str) -> str:
    for wanted in tables or ("1",):
        (found,) = db.execute(f"PRAGMA quick_check({wanted})").fetchone()
        if found != "ok":
            return str(found)
    return ""


def _small_tables(db: sqlite3.Connection) -> tuple[str, ...]:
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return tuple(row[0] for row in rows if row[0] not in _LARGE)


def _open_once(path: Path, new_id: Callable[[], str], now_ns: Now) -> None:
    """Bring the ledger to this program's version, or begin it; a full disk gives the reserve up for that."""
    try:
        open_ledger(path, new_id, now_ns).__exit__()
    except DamagedError:
        raise
    except DiskError:
        if not Reserve(path.with_name("reserve")).free():
            raise
        open_ledger(path, new_id, now_ns).__exit__()


def _set_aside(path: Path, now_ns: int) -> Path:
    """Rename the database and its logs; only the newest few are kept, they are large.

    Raises:
        DiskError: it cannot be renamed.
    """
    aside = path.with_name(f"{path.name}{_SET_ASIDE}{now_ns}")
    try:
        for ending in _BESIDE:
            beside = path.with_name(path.name + ending)
            if beside.exists():
                beside.rename(aside.with_name(aside.name + ending))
        _mark(path).unlink(missing_ok=True)
        older = sorted(path.parent.glob(f"{path.name}{_SET_ASIDE}*"))
        kept = sorted({file.name.removesuffix("-wal").removesuffix("-shm") for file in older})[-_MOST_SET_ASIDE:]
        for file in older:
            if file.name.removesuffix("-wal").removesuffix("-shm") not in kept:
                file.unlink()
    except OSError as error:
        raise DiskError(f"the damaged ledger {path} cannot be set aside: {error.strerror}") from error
    return aside
