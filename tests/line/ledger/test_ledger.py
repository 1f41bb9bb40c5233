"""The ledger keeps its promises: one answer a part, all of a commit or nothing, and numbers that never repeat."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest
from factories import a_result_builder

from edge_inspector.errors import DiskError
from edge_inspector.inspection.model import Reason
from edge_inspector.line.ledger.ledger import Ledger, open_ledger
from edge_inspector.wire.messages import Result

Opens: TypeAlias = Callable[[], Ledger]
NOW = 1_700_000_000_000_000_000


def at_path(path: Path) -> Ledger:
    """Open a ledger whose clock goes by one second at each look."""
    seconds = count()
    return open_ledger(path, lambda: "ledger-1", lambda: NOW + next(seconds) * 1_000_000_000)


@pytest.fixture
def opens(tmp_path: Path) -> Iterator[Opens]:
    """Give a function that opens connections to one ledger; they are closed at the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(at_path(tmp_path / "ledger.db"))


def entries(ledger: Ledger) -> list[str]:
    """Return the ids in the ledger, oldest first."""
    return [entry.id for entry in ledger.outbox.entries_after(0, 1000)]


def test_the_first_answer_stands(opens: Opens) -> None:
    """A part that was answered keeps its verdict, whatever comes later; the later one is kept aside."""
    ledger = opens()

    first = ledger.results.record(a_result_builder(id="a", reason=Reason.LATE), None)
    second = ledger.results.record(a_result_builder(id="a"), b"jpeg")

    assert first is not None
    assert second is None
    assert entries(ledger) == ["a"]
    assert '"ERROR"' in (ledger.results.payload_of("a") or "")
    assert ledger.counters.since_reset(0).total == 1
    assert ledger._db.execute("SELECT id FROM late").fetchall() == [("a",)]


def test_a_second_answer_uses_no_number(opens: Opens) -> None:
    """A gap in the numbers means loss, so there is none without loss."""
    ledger = opens()
    for name in ("a", "a", "b"):
        ledger.results.record(a_result_builder(id=name), None)

    numbers = [row[0] for row in ledger._db.execute("SELECT seq FROM entry ORDER BY n")]

    assert numbers == [1, 2]


def test_a_result_that_cannot_be_made_leaves_nothing(opens: Opens) -> None:
    """Result, thumbnail, counters and number are one commit: all or nothing."""
    ledger = opens()
    ledger.attempts.begin("a")

    def explode(_ledger: str, _seq: int, _now_ns: int) -> Result:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.results.record(explode, b"jpeg")

    assert entries(ledger) == []
    assert ledger.counters.since_reset(0).total == 0
    assert ledger.attempts.begun() == {"a"}

    recorded = ledger.results.record(a_result_builder(id="a"), b"jpeg")

    assert recorded is not None
    assert recorded.seq == 1


def test_a_commit_that_the_disk_refuses_leaves_nothing(opens: Opens) -> None:
    """On a full disk the part has no answer, and gets one when there is room."""
    ledger = opens()
    ledger.results.record(a_result_builder(id="a"), None)
    ledger._db.execute("PRAGMA query_only=ON")

    with pytest.raises(DiskError, match="cannot be written"):
        ledger.results.record(a_result_builder(id="b"), b"jpeg")

    ledger._db.execute("PRAGMA query_only=OFF")
    assert entries(ledger) == ["a"]

    recorded = ledger.results.record(a_result_builder(id="b"), b"jpeg")

    assert recorded is not None
    assert recorded.seq == 2


@pytest.mark.parametrize(
    "use",
    [
        lambda ledger: ledger.results.record(a_result_builder(), b"jpeg"),
        lambda ledger: ledger.results.record_event(b"{}"),
        lambda ledger: ledger.audit.record("pause", "me", "done", "{}"),
        lambda ledger: ledger.attempts.begin("a"),
        lambda ledger: ledger.attempts.begun(),
        lambda ledger: ledger.results.is_answered("a"),
        lambda ledger: ledger.outbox.move_cursor(0),
        lambda ledger: ledger.outbox.bury(1, "result", "refused"),
        lambda ledger: ledger.outbox.backlog(),
        lambda ledger: ledger.outbox.trim_thumbs(0),
        lambda ledger: ledger.counters.since_reset(0.0),
        lambda ledger: ledger.counters.reset(),
        lambda ledger: ledger.state.reserve_plc_numbers(),
    ],
)
def test_every_commit_after_it_is_on_the_disk(opens: Opens, use: Callable[[Ledger], object]) -> None:
    """A power cut right after an answer must not lose it: synchronous is FULL (2) whatever was done before."""
    ledger = opens()

    use(ledger)

    assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert ledger._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_synchronous_stays_full_when_an_attempt_cannot_be_noted(opens: Opens) -> None:
    """The note of an attempt is not synced; a failure there must not leave answers unsynced."""
    ledger = opens()
    ledger._db.execute("PRAGMA query_only=ON")

    with pytest.raises(DiskError):
        ledger.attempts.begin("a")

    assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_an_attempt_is_open_until_it_is_answered(opens: Opens) -> None:
    """If the process dies now, the next start knows which image it was."""
    ledger = opens()
    ledger.attempts.begin("a")
    ledger.attempts.begin("b")

    ledger.results.record(a_result_builder(id="a"), None)

    assert opens().attempts.begun() == {"b"}


def test_the_counters_count_each_verdict(opens: Opens) -> None:
    """Total, verdicts and yield are those of the results; ERROR and INVALID are no statement about the part."""
    ledger = opens()
    for name, reason in zip(
        "abcde", [Reason.WITHIN_LIMIT] * 2 + [Reason.DEFECT, Reason.LATE, Reason.EMPTY], strict=True
    ):
        ledger.results.record(a_result_builder(id=name, reason=reason, replayed=name == "a"), None)

    counters = ledger.counters.since_reset(3.0)

    assert (counters.total, counters.ok, counters.ng, counters.error, counters.invalid) == (5, 2, 1, 1, 1)
    assert counters.replayed == 1
    assert counters.yield_ == pytest.approx(2 / 3)
    assert counters.by_part == {"washer": {"OK": 2, "NG": 1, "ERROR": 1, "INVALID": 1}}


def test_a_reset_forgets_the_counters_only(opens: Opens) -> None:
    """Results stay, and what is not delivered still goes out."""
    ledger = opens()
    ledger.results.record(a_result_builder(id="a"), None)
    before = ledger.counters.since_reset(0).since

    ledger.counters.reset()

    assert ledger.counters.since_reset(0).total == 0
    assert ledger.counters.since_reset(0).yield_ is None
    assert ledger.counters.since_reset(0).since > before
    assert entries(ledger) == ["a"]
    assert ledger.outbox.backlog().count == 1


def test_the_cursor_outlives_the_connection(opens: Opens) -> None:
    """What the broker has acknowledged is not sent again after a restart, and the rest is."""
    ledger = opens()
    for name in "abc":
        ledger.results.record(a_result_builder(id=name), b"jpeg")

    ledger.outbox.move_cursor(2)

    again = opens()
    assert again.outbox.cursor() == 2
    assert [entry.id for entry in again.outbox.entries_after(again.outbox.cursor(), 10)] == ["c"]
    assert again.outbox.backlog().count == 1
    assert [entry.thumb for entry in again.outbox.entries_after(0, 10)] == [None, None, b"jpeg"]


def test_results_and_events_are_one_stream_in_order(opens: Opens) -> None:
    """An operator reads what happened in the order in which it happened."""
    ledger = opens()
    ledger.results.record(a_result_builder(id="a"), None)
    ledger.results.record_event(b'{"code": "source"}')
    ledger.results.record(a_result_builder(id="b"), None)

    stream = [(entry.topic, entry.id) for entry in ledger.outbox.entries_after(0, 10)]

    assert stream == [("result", "a"), ("event", ""), ("result", "b")]


def test_the_oldest_thumbnails_go_first(opens: Opens) -> None:
    """During a long outage images make room, results never do."""
    ledger = opens()
    for number in range(10):
        ledger.results.record(a_result_builder(id=str(number)), bytes(1000))

    ledger.outbox.trim_thumbs(10_000)
    untouched = [entry.thumb is not None for entry in ledger.outbox.entries_after(0, 100)]
    ledger.outbox.trim_thumbs(5_000)
    kept = [entry.thumb is not None for entry in ledger.outbox.entries_after(0, 100)]

    assert all(untouched)
    assert 3 <= sum(kept) <= 5
    assert kept == sorted(kept)
    assert len(kept) == 10


def test_plc_numbers_never_repeat(opens: Opens) -> None:
    """A PLC that has seen a number takes it for old, so no restart may give it out again."""
    firsts = [opens().state.reserve_plc_numbers() for _ in range(3)]

    assert firsts == [0, 1000, 2000]


def test_a_restart_goes_on_with_the_same_ledger(opens: Opens) -> None:
    """Same name, next number: subscribers see no gap."""
    first = opens()
    first.results.record(a_result_builder(id="a"), None)

    again = opens()
    recorded = again.results.record(a_result_builder(id="b"), None)

    assert again.id == first.id == "ledger-1"
    assert recorded is not None
    assert recorded.seq == 2


def test_two_threads_commit_in_turn(opens: Opens) -> None:
    """Judging, deadlines and commands write at the same time; none of them waits in vain or takes another's number."""
    one, other = opens(), opens()

    for number in range(20):
        (one, other)[number % 2].results.record(a_result_builder(id=str(number)), None)

    numbers = [row[0] for row in one._db.execute("SELECT seq FROM entry ORDER BY n")]
    assert numbers == list(range(1, 21))
    assert one.counters.since_reset(0).total == other.counters.since_reset(0).total == 20


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """A damaged file is not gone on with."""
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 1000)

    with pytest.raises(DiskError, match=r"ledger\.db cannot be opened"):
        at_path(tmp_path / "ledger.db")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("UPDATE meta SET value = '99' WHERE key = 'schema'", "version 99"),
        ("UPDATE meta SET value = 'x' WHERE key = 'schema'", "version x"),
        ("DELETE FROM meta WHERE key = 'schema'", "version none"),
        ("DELETE FROM meta WHERE key = 'ledger'", "has no ledger"),
        ("DROP TABLE meta", "cannot be opened"),
    ],
)
def test_a_ledger_of_another_version_is_refused(tmp_path: Path, damage: str, complaint: str) -> None:
    """A newer program's numbers mean something else; the message says what was found."""
    path = tmp_path / "ledger.db"
    at_path(path).__exit__()
    with closing(sqlite3.connect(path)) as database:
        database.execute(damage)
        database.commit()

    with pytest.raises(DiskError, match=complaint):
        at_path(path)


def test_a_folder_that_is_not_there_is_a_disk_fault(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(DiskError, match=r"ledger\.db"):
        at_path(tmp_path / "nowhere" / "ledger.db")


def test_the_newest_answer_of_a_serial_is_found(opens: Opens) -> None:
    """Whatever the serial holds; another part, or a time too long ago, is none."""
    ledger = opens()
    serial = "x'; DROP TABLE entry; --"
    for name in ("a", "b"):
        ledger.results.record(a_result_builder(id=name, serial=serial), None)

    assert '"id":"b"' in (ledger.results.last_answer("washer", serial, 60_000_000_000) or "")
    assert ledger.results.last_answer("nut", serial, 60_000_000_000) is None
    assert ledger.results.last_answer("washer", "x", 60_000_000_000) is None
    assert ledger.results.last_answer("washer", serial, 1_000_000_000) is None
    assert entries(ledger) == ["a", "b"]
