"""The store of a station, by what is kept: results, outbox, triggers, attempts, audit trail, counters, state."""

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from edge_inspector.errors import DamagedError, DiskError
from edge_inspector.line.ledger.attempts import Attempts
from edge_inspector.line.ledger.audit import AuditTrail
from edge_inspector.line.ledger.connection import Connection, is_damage
from edge_inspector.line.ledger.hash_chain import START
from edge_inspector.line.ledger.high_water import HighWater
from edge_inspector.line.ledger.migrations import migrate
from edge_inspector.line.ledger.outbox import Outbox
from edge_inspector.line.ledger.reserve import Reserve
from edge_inspector.line.ledger.results import Results
from edge_inspector.line.ledger.station_state import StationState
from edge_inspector.line.ledger.tallies import Tallies
from edge_inspector.line.ledger.trigger_log import TriggerLog

_WAL_BYTES = 16_000_000
"""What stays of the write-ahead log once it has been longer; it is written back every 4 MB."""


class Ledger:
    """One thread's view of a station's ledger; every thread opens its own."""

    def __init__(self, connection: Connection, shift_ns: Callable[[int], int]) -> None:
        self._db = connection
        self.id = connection.meta("ledger")
        self.state = StationState(connection)
        self.results = Results(connection, self.state, shift_ns)
        self.outbox = Outbox(connection)
        self.triggers = TriggerLog(connection, self.state)
        self.attempts = Attempts(connection)
        self.audit = AuditTrail(connection, self.results)
        self.counters = Tallies(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()


def open_ledger(
    path: Path,
    new_id: Callable[[], str],
    now_ns: Callable[[], int],
    shift_ns: Callable[[int], int] = lambda _now_ns: 0,
) -> Ledger:
    """Open the ledger at `path`, or begin one.

    Args:
        path: the SQLite file.
        new_id: names a new ledger.
        now_ns: Unix time.
        shift_ns: the beginning of the shift that a moment belongs to.

    Raises:
        DiskError: the file is damaged, of a newer version, or cannot be written.
    """
    high_water = HighWater(path.with_name("high-water.json"))
    connection = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
        migrate(connection, lambda: _new_values(new_id(), now_ns(), high_water))
        opened = Connection(connection, now_ns, high_water, Reserve(path.with_name("reserve")))
        return Ledger(opened, shift_ns)
    except sqlite3.Error as error:
        _close(connection)
        kind = DamagedError if is_damage(error) else DiskError
        raise kind(f"the ledger {path} cannot be opened: {error}") from error
    except DamagedError:
        _close(connection)
        raise
    except DiskError as error:
        _close(connection)
        raise DiskError(f"the ledger {path} {error}") from error


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()


def _new_values(ledger_id: str, now_ns: int, high_water: HighWater) -> Mapping[str, object]:
    """Return what a new ledger begins with: numbers above those of any ledger before it."""
    marks = high_water.read()
    return {
        "ledger": ledger_id,
        "seq": marks.seq,
        "cursor": 0,
        "plc_seq": marks.plc_seq,
        "counters_since": now_ns,
        "active_part": marks.active_part,
        "shift_ns": now_ns,
        "monitor": marks.monitor,
        "entry_chain": START,
        "audit_chain": START,
    }
