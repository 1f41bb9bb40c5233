"""A damaged ledger does not stop the line, and its numbers are never given out again."""

import itertools
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from factories import a_result_builder

from edge_inspector.errors import DiskError
from edge_inspector.line.ledger.ledger import open_ledger
from edge_inspector.line.ledger.ledger_file import Prepared, look_over, prepare_ledger


def prepare(path: Path, name: str = "ledger-2", most_bytes: int = 100_000_000) -> Prepared:
    """Look at a ledger as the daemon does at its start; the clock goes by one second a look."""
    seconds = itertools.count(1_700_000_000)
    return prepare_ledger(path, lambda: name, lambda: next(seconds) * 1_000_000_000, most_bytes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the file of a ledger with 300 results that was closed in order."""
    with open_ledger(tmp_path / "ledger.db", lambda: "ledger-1", time.time_ns) as ledger:
        for number in range(300):
            ledger.results.record(a_result_builder(id=f"a{number}"), None)
        ledger.state.reserve_plc_numbers()
        ledger.state.set_active_part("nut")
    return tmp_path / "ledger.db"


def cut(path: Path) -> None:
    """Lose the end of the file, as a broken disk does."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)


def overwrite(path: Path) -> None:
    """Lose some pages in the middle."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xa5" * 20_000)


def flip_bits(path: Path) -> None:
    """Flip one bit in the head of every page."""
    raw = bytearray(path.read_bytes())
    for page in range(4096, len(raw), 4096):
        raw[page] ^= 0x10
    path.write_bytes(raw)


def empty(path: Path) -> None:
    """Put something else there."""
    path.write_bytes(b"no database at all" * 1000)


def drop_meta(path: Path) -> None:
    """Lose what the ledger says of itself."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM meta WHERE key = 'ledger'")
        db.commit()


@pytest.mark.parametrize("damage", [cut, overwrite, flip_bits, empty, drop_meta])
def test_a_damaged_ledger_is_set_aside(path: Path, damage: Callable[[Path], None]) -> None:
    """A new one begins: another name, numbers above all that were given out, the same part; the old one is kept."""
    damage(path)
    prepared = prepare(path)

    with open_ledger(path, lambda: "never", time.time_ns) as ledger:
        recorded = ledger.results.record(a_result_builder(id="b"), None)
        numbers, name, part = ledger.state.reserve_plc_numbers(), ledger.id, ledger.state.active_part()

    assert "a new ledger was begun" in prepared.set_aside
    assert list(path.parent.glob("ledger.db.damaged-*"))
    assert (name, part) == ("ledger-2", "nut")
    assert recorded is not None
    assert recorded.seq > 300
    assert numbers >= 1000


def test_a_ledger_that_is_gone_is_begun_above_its_numbers(path: Path) -> None:
    """Somebody tidied up: numbers are not given out twice, and it is said."""
    path.unlink()
    prepared = prepare(path)

    with open_ledger(path, lambda: "never", time.time_ns) as ledger:
        recorded = ledger.results.record(a_result_builder(id="b"), None)

    assert "was gone" in prepared.set_aside
    assert recorded is not None
    assert recorded.seq > 300


def test_a_sound_ledger_is_gone_on_with(path: Path) -> None:
    """Also when the process was killed with the log full: what was committed is there."""
    prepared = prepare(path)

    with open_ledger(path, lambda: "never", time.time_ns) as ledger:
        assert ledger.id == "ledger-1"
        assert ledger.outbox.backlog().count == 300
    assert prepared == Prepared(looked_over=True)


def test_a_ledger_that_another_process_holds_is_not_set_aside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locked is not damaged: the start fails, and the next one goes on with it."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *values, **named: connect(*values, **{**named, "timeout": 0.05}))
    with closing(connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE meta SET value = value")

        with pytest.raises(DiskError, match="locked"):
            prepare(path)

    assert prepare(path).set_aside == ""


def test_only_the_newest_damaged_ledgers_are_kept(path: Path) -> None:
    """They are large, and a dying disk makes many."""
    for attempt in range(5):
        empty(path)
        prepare_ledger(path, lambda: "new", lambda number=attempt: 1_700_000_000_000_000_000 + number)

    kept = sorted(file.name for file in path.parent.glob("ledger.db.damaged-*"))

    assert [name[-1] for name in kept] == ["2", "3", "4"]


def test_of_a_large_ledger_the_rest_is_looked_at_later(path: Path) -> None:
    """A start has two seconds; damage found behind the line's back sets the ledger aside at the next start."""
    overwrite(path)
    with closing(sqlite3.connect(path)) as db:
        broken = db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",)

    first = look_over(path)
    second = prepare(path, most_bytes=0)

    assert broken
    assert "damaged" in first
    assert "a new ledger was begun" in second.set_aside


def test_a_large_sound_ledger_is_looked_at_in_part(path: Path) -> None:
    """Its small tables and newest lines, and it says that there is more."""
    assert prepare(path, most_bytes=0) == Prepared(looked_over=False)
    assert look_over(path) == ""
