"""The PLC of the tests is as strict as the contract: this is what "wrong accept" is measured with."""

import pytest
from plc import Plc, is_newer


def a_plc(*, last: int = 1, timer_s: float = 2.0) -> Plc:
    """Return a PLC that has seen two heartbeats, ready 1 and a first word, and waits since 10.0 for part 7."""
    plc = Plc(timer_s)
    plc.hear("plc/heartbeat", b"1", 9.0)
    plc.hear("plc/heartbeat", b"2", 10.0)
    plc.hear("plc/ready", b"1", 10.0)
    plc.hear("plc/word", f"{last};;0;0;0;0.000;".encode(), 10.0)
    plc.expect(10.0, trigger_id="7")
    return plc


def test_an_ok_of_the_part_that_was_asked_for_is_accepted() -> None:
    """Otherwise nothing would ever pass."""
    plc = a_plc()

    plc.hear("plc/word", b"2;7;1;0;0;0.310;S1", 10.1)

    assert plc.accepted == ["7"]


@pytest.mark.parametrize("code", [0, 2, 3, 4, 5])
def test_every_other_code_rejects(code: int) -> None:
    """Only OK lets a part pass."""
    plc = a_plc()

    plc.hear("plc/word", f"2;7;{code};0;0;0.310;S1".encode(), 10.1)

    assert not plc.accepted


def test_the_busy_word_does_not_answer() -> None:
    """Code 0 says that the image is being taken; the answer comes after it."""
    plc = a_plc()

    plc.hear("plc/word", b"2;7;0;0;0;0.000;", 10.1)
    plc.hear("plc/word", b"3;7;1;0;0;0.310;S1", 10.2)

    assert plc.accepted == ["7"]


def test_a_retained_word_from_before_is_not_an_answer() -> None:
    """The first word after connecting may be hours old, whatever it says."""
    plc = Plc()
    plc.hear("plc/heartbeat", b"1", 9.0)
    plc.hear("plc/heartbeat", b"2", 10.0)
    plc.hear("plc/ready", b"1", 10.0)
    plc.expect(10.0, trigger_id="7")

    plc.hear("plc/word", b"900;7;1;0;0;0.310;S1", 10.0)

    assert not plc.accepted


def test_a_word_that_comes_twice_counts_once() -> None:
    """The broker may deliver a word again; the next part must not get the answer of this one."""
    plc = a_plc()
    plc.hear("plc/word", b"2;7;1;0;0;0.310;S1", 10.1)
    plc.expect(11.0, trigger_id="7")

    plc.hear("plc/word", b"2;7;1;0;0;0.310;S1", 11.1)

    assert plc.accepted == ["7"]


def test_without_a_fresh_heartbeat_nothing_passes() -> None:
    """A daemon that hangs leaves ready 1 and its last word behind."""
    plc = a_plc(timer_s=60)

    plc.hear("plc/word", b"2;7;1;0;0;0.310;S1", 13.1)

    assert not plc.accepted


def test_a_heartbeat_that_does_not_change_is_none() -> None:
    """A broker that repeats itself is no sign of life of the station."""
    plc = a_plc(timer_s=60)
    plc.hear("plc/heartbeat", b"2", 13.0)

    plc.hear("plc/word", b"2;7;1;0;0;0.310;S1", 13.1)

    assert not plc.accepted


def test_a_single_heartbeat_is_no_change() -> None:
    """One beat after connecting may have been the last one."""
    plc = Plc()
    plc.hear("plc/ready", b"1", 10.0)
    plc.hear("plc/heartbeat", b"1", 10.0)
    plc.hear("plc/word", b"1;;0;0;0;0.000;", 10.0)
    plc.expect(10.0, trigger_id="7")

    plc.hear("plc/word", b"2;7;1;0;0;0.310;S1", 10.1)

    assert not plc.accepted


def test_not_ready_rejects() -> None:
    """A station that says it is not ready is believed."""
    plc = a_plc()
    plc.hear("plc/ready", b"0", 10.0)

    plc.hear("plc/word", b"2;7;1;0;0;0.310;S1", 10.1)

    assert not plc.accepted


def test_the_answer_to_another_trigger_is_not_mine() -> None:
    """A late answer to the part before must not let this one pass; the right one still may."""
    plc = a_plc()

    plc.hear("plc/word", b"2;6;1;0;0;0.310;S0", 10.1)

    assert not plc.accepted

    plc.hear("plc/word", b"3;7;1;0;0;0.310;S1", 10.2)

    assert plc.accepted == ["7"]


def test_where_nothing_triggers_the_serial_must_match() -> None:
    """A folder station has no trigger; its parts are told apart by their serial."""
    plc = a_plc()
    plc.expect(10.0, serial="S2")

    plc.hear("plc/word", b"2;;1;0;0;0.310;S1", 10.1)

    assert not plc.accepted

    plc.hear("plc/word", b"3;;1;0;0;0.310;S2", 10.2)

    assert plc.accepted == ["S2"]


def test_an_answer_after_the_timer_is_late() -> None:
    """The part has gone by already."""
    plc = a_plc()

    plc.hear("plc/word", b"2;7;1;0;0;0.310;S1", 12.1)

    assert not plc.accepted


def test_the_sequence_wraps() -> None:
    """After 2147483647 comes 1, and it is newer."""
    plc = a_plc(last=2_147_483_647)

    plc.hear("plc/word", b"1;7;1;0;0;0.310;S1", 10.1)

    assert plc.accepted == ["7"]


@pytest.mark.parametrize(
    ("new", "last", "newer"),
    [
        (2, 1, True),
        (1, 1, False),
        (1, 2, False),
        (1, 2_147_483_647, True),
        (2_147_483_647, 1, False),
        (1 + 2**30, 1, True),
        (2 + 2**30, 1, False),
    ],
)
def test_newer_is_the_half_of_the_circle_ahead(new: int, last: int, newer: bool) -> None:  # noqa: FBT001
    """A word from before a restart of the station is older, not a billion ahead."""
    assert is_newer(new, last) is newer


def test_a_lost_connection_makes_the_next_word_the_first() -> None:
    """What was heard before says nothing about what is now."""
    plc = a_plc()
    plc.lose()
    plc.hear("plc/ready", b"1", 10.0)
    plc.hear("plc/heartbeat", b"3", 10.0)
    plc.hear("plc/heartbeat", b"4", 11.0)

    plc.hear("plc/word", b"2;7;1;0;0;0.310;S1", 11.1)

    assert not plc.accepted
