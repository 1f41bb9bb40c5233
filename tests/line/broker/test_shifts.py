"""Shifts turn by the wall clock of the place, with and without parts, over restarts and daylight saving."""

import json
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from brokers import until
from daemons import Subscriber
from stations import Bench, wait_until_ready

from edge_inspector.line.broker.shifts import turn_at, turns_between
from edge_inspector.settings import SHIFTS, ShiftSettings

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_NS = 3_600_000_000_000
DAY = (ShiftSettings(name="day", start="00:00"),)


def at(text: str, fold: int = 0) -> int:
    """Return Berlin's wall clock as Unix nanoseconds; `fold=1` is the second 02:30 of an October night."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("now", "name", "start"),
    [
        ("2026-01-15T06:00", "06", "2026-01-15T06:00"),
        ("2026-01-15T13:59:59", "06", "2026-01-15T06:00"),
        ("2026-01-15T14:00", "14", "2026-01-15T14:00"),
        ("2026-01-15T22:00", "22", "2026-01-15T22:00"),
        ("2026-01-15T23:59", "22", "2026-01-15T22:00"),
        ("2026-01-16T00:00", "22", "2026-01-15T22:00"),
        ("2026-01-16T05:59:59", "22", "2026-01-15T22:00"),
        ("2026-03-29T05:59:59", "22", "2026-03-28T22:00"),
        ("2026-03-29T06:00", "06", "2026-03-29T06:00"),
        ("2026-10-25T05:59:59", "22", "2026-10-24T22:00"),
        ("2026-10-25T06:00", "06", "2026-10-25T06:00"),
    ],
)
def test_a_moment_belongs_to_the_shift_that_began_last(now: str, name: str, start: str) -> None:
    """06:00 too, which the prior system never noticed; on the two odd days as on any other."""
    turn = turn_at(at(now), SHIFTS, BERLIN)

    assert (turn.name, turn.start_ns) == (name, at(start))


@pytest.mark.parametrize(
    ("evening", "morning", "hours"),
    [
        ("2026-01-15T22:00", "2026-01-16T06:00", 8),
        ("2026-03-28T22:00", "2026-03-29T06:00", 7),
        ("2026-10-24T22:00", "2026-10-25T06:00", 9),
    ],
)
def test_a_night_is_as_long_as_the_clock_makes_it(evening: str, morning: str, hours: int) -> None:
    """Seven hours in spring and nine in autumn, and it ends once."""
    ended = turns_between(at(evening), at(morning), SHIFTS, BERLIN)

    assert [turn.name for turn in ended] == ["22"]
    assert at(morning) - ended[0].start_ns == hours * HOUR_NS


@pytest.mark.parametrize("start", ["02:00", "02:30"])
def test_a_shift_that_begins_in_the_hour_that_is_missing_begins_all_the_same(start: str) -> None:
    """02:30 does not exist on the last Sunday of March, and comes twice in October: one turn each."""
    shifts = (ShiftSettings(name="night", start=start), ShiftSettings(name="day", start="12:00"))
    for before, after in (("2026-03-28T13:00", "2026-03-29T11:00"), ("2026-10-24T13:00", "2026-10-25T11:00")):
        assert [turn.name for turn in turns_between(at(before), at(after), shifts, BERLIN)] == ["day"]
        assert turn_at(at(after), shifts, BERLIN).name == "night"


def test_nothing_has_ended_within_a_shift() -> None:
    """Also when the clock was put back."""
    assert turns_between(at("2026-01-15T06:00"), at("2026-01-15T13:59"), SHIFTS, BERLIN) == ()
    assert turns_between(at("2026-01-15T15:00"), at("2026-01-15T13:00"), SHIFTS, BERLIN) == ()


def test_after_days_away_each_shift_is_told_once() -> None:
    """The last of each name, oldest first; a retained topic holds no more."""
    ended = turns_between(at("2026-01-10T07:00"), at("2026-01-15T07:00"), SHIFTS, BERLIN)

    assert [turn.name for turn in ended] == ["06", "14", "22"]
    assert [turn.start_ns for turn in ended] == [
        at("2026-01-14T06:00"),
        at("2026-01-14T14:00"),
        at("2026-01-14T22:00"),
    ]


def test_one_shift_a_day_ends_at_midnight() -> None:
    """A plant without shifts counts by the day."""
    ended = turns_between(at("2026-01-14T10:00"), at("2026-01-15T00:00"), DAY, BERLIN)

    assert [(turn.name, turn.start_ns) for turn in ended] == [("day", at("2026-01-14T00:00"))]


def _ended(heard: Subscriber, count: int) -> list[dict[str, object]]:
    """Return the counters of the shifts that ended when there are `count`, live ones only."""

    def found() -> list[dict[str, object]]:
        said = [h for h in heard.heard.copy() if h.topic.startswith("counters/shift/") and not h.retained]
        return [json.loads(h.payload) for h in said] if len(said) >= count else []

    return until(found, f"{count} shifts")


def _early() -> int:
    """Return a moment early in the shift that is on, so that what a test counts falls into one shift."""
    return turn_at(time.time_ns(), SHIFTS, None).start_ns + HOUR_NS // 60


def test_a_shift_ends_with_its_own_counters(tmp_path: Path, heard: Subscriber) -> None:
    """Parts are counted in their shift, an operator's reset in between or not; the next shift ends without parts."""
    bench = Bench(tmp_path, heard._port)
    offset = _early() - time.time_ns()
    bench.now_ns = lambda: time.time_ns() + offset
    with bench:
        wait_until_ready(heard)
        bench.send("good")
        heard.wait_for_results(["good"])
        heard.send("cmd/reset_counters", json.dumps({"correlation_id": "1", "by": "me"}))
        until(lambda: heard.last("ack"), "the counters are reset")
        bench.send("bad", 2.0)
        heard.wait_for_results(["bad"])
        bench.now_ns = lambda: time.time_ns() + offset + 8 * HOUR_NS
        (first,) = _ended(heard, 1)
        bench.now_ns = lambda: time.time_ns() + offset + 16 * HOUR_NS
        second = _ended(heard, 2)[1]

    begun = turn_at(_early(), SHIFTS, None)
    assert (first["shift"], first["ok"], first["ng"], first["total"], first["yield"]) == (begun.name, 1, 1, 2, 0.5)
    assert first["since"] < first["until"] == second["since"] < second["until"]  # type: ignore[operator]
    assert (second["total"], second["yield"]) == (0, None)
    assert second["shift"] != first["shift"]


def test_a_shift_begins_with_a_golden_check(tmp_path: Path, heard: Subscriber) -> None:
    """A part whose golden images come out differently is not ready from then on; the next shift looks again."""
    bench = Bench(tmp_path, heard._port)
    offset = _early() - time.time_ns()
    bench.now_ns = lambda: time.time_ns() + offset
    with bench:
        wait_until_ready(heard)
        bench.golden["washer"] = ("good-1.png: expected OK, got NG",)
        bench.now_ns = lambda: time.time_ns() + offset + 8 * HOUR_NS
        until(lambda: heard.last("plc/ready") == "0", "not ready")
        until(lambda: "bundle" in heard.last("alarms")["active"], "the alarm")
        bench.golden["washer"] = ()
        bench.now_ns = lambda: time.time_ns() + offset + 16 * HOUR_NS
        wait_until_ready(heard)

    assert not heard.payloads("ack"), "nobody asked, nobody is answered"


def test_a_restart_over_the_end_of_a_shift_loses_nothing(tmp_path: Path, heard: Subscriber) -> None:
    """Stopped in the evening, started in the morning: the shift's counters come then, once."""
    bench = Bench(tmp_path, heard._port)
    offset = _early() - time.time_ns()
    bench.now_ns = lambda: time.time_ns() + offset
    with bench:
        wait_until_ready(heard)
        bench.send("good")
        heard.wait_for_results(["good"])
    later = Bench(tmp_path, heard._port)
    later.now_ns = lambda: time.time_ns() + offset + 8 * HOUR_NS
    with later:
        (ended,) = _ended(heard, 1)
        wait_until_ready(heard)
    again = Bench(tmp_path, heard._port)
    again.now_ns = later.now_ns
    with again:
        until(lambda: heard.payloads("info")[2:], "the third run")
        wait_until_ready(heard)

    assert (ended["total"], ended["shift"]) == (1, turn_at(_early(), SHIFTS, None).name)
    assert len(_ended(heard, 1)) == 1
