"""One connection to the ledger's file: transactions, and what a failure of the disk means."""

import functools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from edge_inspector.errors import DamagedError, DiskError
from edge_inspector.line.ledger.hash_chain import chained
from edge_inspector.line.ledger.high_water import HighWater
from edge_inspector.line.ledger.reserve import Reserve

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Table = TypeVar("_Table")
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_FSYNC)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class _RoomMadeError(DiskError):
    """The disk was full; the reserve was given up, so that the same may be tried again."""


def with_reserve(
    write: "Callable[Concatenate[_Table, _P], _T]",
) -> "Callable[Concatenate[_Table, _P], _T]":
    """Try a commit a second time when the reserve made room for it."""

    @functools.wraps(write)
    def again(table: "_Table", /, *values: _P.args, **named: _P.kwargs) -> _T:
        try:
            return write(table, *values, **named)
        except _RoomMadeError:
            return write(table, *values, **named)

    return again


class Connection:
    """One thread's connection; the tables of a ledger share it, so that what they write together is one commit."""

    def __init__(
        self, connection: sqlite3.Connection, now_ns: Callable[[], int], high_water: HighWater, reserve: Reserve
    ) -> None:
        self._connection = connection
        self.now_ns = now_ns
        self.high_water = high_water
        self._reserve = reserve

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run a statement inside `commit`."""
        return self._connection.execute(statement, values)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def meta(self, key: str) -> str:
        """Return a value that the ledger keeps one of.

        Raises:
            DamagedError: it is not there.
        """
        row = self.one("SELECT value FROM meta WHERE key = ?", key)
        if row is None:
            raise DamagedError(f"the ledger has no {key}: it is set aside at the next start")
        return str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Change a value that the ledger keeps one of; inside `commit`."""
        self._connection.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))

    def one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """Return the first row of what a query finds; None when it finds nothing.

        Raises:
            DiskError: as `rows`.
        """
        return next(iter(self.rows(query, *values)), None)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of what a query finds.

        Raises:
            DiskError: the database cannot be read, a page of it may be damaged.
        """
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._fault("read", error) from error

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Run a block as one transaction.

        Raises:
            DiskError: the disk is full, read-only or broken; nothing of the block happened.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise self._fault("written", error) from error

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """Commit without waiting for the disk: outlives the process, not the power."""
        self._connection.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._connection.execute("PRAGMA synchronous=FULL")

    def chain(self, records: str, *values: str | int | None) -> str:
        """Return the next digest of a chain and keep it as the newest."""
        chain = chained(self.meta(f"{records}_chain"), *values)
        self.set_meta(f"{records}_chain", chain)
        return chain

    def anchor(self, records: str, n: int, chain: str) -> None:
        """Keep the digest of the last record that retention removed; inside `commit`."""
        self._connection.execute("DELETE FROM anchor WHERE records = ?", (records,))
        self._connection.execute("INSERT INTO anchor VALUES(?, ?, ?, ?)", (records, n, chain, self.now_ns()))

    def newest_row(self, records: str) -> int:
        """Return the number of the newest record that was ever given out."""
        row = self.one("SELECT seq FROM sqlite_sequence WHERE name = ?", records)
        return 0 if row is None else int(row[0])

    def _fault(self, done: str, error: sqlite3.Error) -> DiskError:
        """Return what a failure of the database means; a full disk frees the reserve."""
        message = f"the ledger cannot be {done}: {error}"
        code = getattr(error, "sqlite_errorcode", 0)
        if is_damage(error):
            return DamagedError(f"{message}; it is set aside at the next start")
        if code in _FULL and self._reserve.free():
            return _RoomMadeError(message)
        return DiskError(message)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is damaged, and not that the disk is full or another has it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
