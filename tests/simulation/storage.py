"""A disk that can be full, and whose power can be cut: real SQLite on a real file, of which the unsynced tail is lost.

What is promised by SQLite and a journaling file system, and no more: a commit with `synchronous` FULL is on the disk,
and so is every rename before it (both lie in one journal). Of what came after it any beginning may be there, the last
of it torn.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from simulation.scheduler import Process

_FULL = 2


class Disk:
    """The ledger's file with its log, and the renames since the last sync."""

    def __init__(self, path: Path, rng: Random, committed: Callable[[sqlite3.Connection], None]) -> None:
        self.full = False
        self.process: Process | None = None
        self.commits = 0
        self._path = path
        self._rng = rng
        self._committed = committed
        self._before_tail: dict[str, bytes] | None = None
        """The files as they were synced last; None while nothing is unsynced."""
        self._renames: list[tuple[str, str]] = []
        self._open: list[sqlite3.Connection] = []

    def connect(self, path: Path, **keywords: Any) -> sqlite3.Connection:  # noqa: ANN401
        """As sqlite3.connect."""
        connection = _REAL_CONNECT(path, factory=_Connection, **{**keywords, "timeout": 0.2})
        connection.disk = self  # type: ignore[attr-defined]
        self._open.append(connection)
        return connection

    def crash_point(self) -> None:
        """Let the process die here if it is to."""
        if self.process is not None:
            self.process.crash_point()

    def rename(self, source: Path, target: Path) -> Path:
        """As Path.rename."""
        self.crash_point()
        os.rename(source, target)  # noqa: PTH104
        self._renames.append((str(source), str(target)))
        self.crash_point()
        return target

    def commit(self, connection: sqlite3.Connection, run: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        """Commit, and know whether it is on the disk."""
        self.crash_point()
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        level = sqlite3.Connection.execute(connection, "PRAGMA synchronous").fetchone()[0]
        if level < _FULL and self._before_tail is None:
            self._before_tail = self._files()
        cursor = run()
        self.commits += 1
        if level >= _FULL:
            self._before_tail = None
            self._renames.clear()
        self._committed(connection)
        self.crash_point()
        return cursor

    def close_all(self) -> None:
        """Close what a dead process left open. SQLite must not tidy up: the last file that is closed would do it."""
        files = self._files()
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._write(files)

    def cut_power(self) -> None:
        """Lose some of what was not synced; called when all connections are closed."""
        if self._before_tail is not None:
            self._write(self._torn(self._before_tail, self._files()))
        for source, target in reversed(self._renames[self._rng.randint(0, len(self._renames)) :]):
            os.rename(target, source)  # noqa: PTH104
        self._before_tail = None
        self._renames.clear()

    def _torn(self, before: dict[str, bytes], after: dict[str, bytes]) -> dict[str, bytes]:
        """Return the files with the log written up to some byte only."""
        name = f"{self._path.name}-wal"
        old, new = before.get(name, b""), after.get(name, b"")
        cut = self._rng.randint(0, len(new))
        common = next((at for at in range(min(len(old), len(new))) if old[at] != new[at]), min(len(old), len(new)))
        cut = max(cut, common)
        return {**before, name: new[:cut] + old[cut:]}

    def _files(self) -> dict[str, bytes]:
        return {
            name: (self._path.with_name(name)).read_bytes()
            for name in (self._path.name, f"{self._path.name}-wal")
            if self._path.with_name(name).exists()
        }

    def _write(self, files: dict[str, bytes]) -> None:
        self._path.with_name(f"{self._path.name}-shm").unlink(missing_ok=True)
        for name, content in files.items():
            self._path.with_name(name).write_bytes(content)


class _Connection(sqlite3.Connection):
    disk: Disk

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401
        def run() -> sqlite3.Cursor:
            return sqlite3.Connection.execute(self, sql, parameters)

        if sql == "COMMIT":
            return self.disk.commit(self, run)
        if sql != "ROLLBACK":
            self.disk.crash_point()
        return run()


_REAL_CONNECT = sqlite3.connect
