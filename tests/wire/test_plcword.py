"""The one line that a PLC acts on has seven fields and at most 128 bytes, whatever a serial holds."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_inspector.inspection.model import Reason, Verdict
from edge_inspector.wire.plcword import SEQ_MAX, TRIGGER_MAX, PlcWord, answer_word, busy_word, next_seq

HOSTILE = st.text(max_size=200)
CODES = {Verdict.OK: "1", Verdict.NG: "2", Verdict.REVIEW: "3", Verdict.INVALID: "4", Verdict.ERROR: "5"}


def fields(word: PlcWord) -> list[str]:
    """Return the fields as a PLC splits them."""
    return word.encode().decode().split(";")


@given(
    seq=st.integers(1, SEQ_MAX),
    trigger=st.integers(1, TRIGGER_MAX).map(str) | st.just(""),
    reason=st.sampled_from(list(Reason)),
    defects=st.integers(0, 10_000),
    score=st.none() | st.floats(-1e9, 1e12),
    serial=HOSTILE,
)
@example(seq=SEQ_MAX, trigger="1", reason=Reason.DEFECT, defects=1, score=1.0, serial="\u00e9" * 300)
def test_a_word_has_seven_fields_whatever_the_serial(
    seq: int, trigger: str, reason: Reason, defects: int, score: float | None, serial: str
) -> None:
    """Semicolons, control characters, emoji and hundreds of letters: the fields before the serial arrive whole."""
    word = answer_word(seq, trigger, reason.verdict, reason.number, defects, score, serial)
    found = fields(word)

    assert len(word.encode()) <= 128
    assert len(found) == 7
    assert found[:3] == [str(seq), trigger, CODES[reason.verdict]]
    assert found[4] == str(defects)
    assert float(found[5]) == pytest.approx(min(score or 0, 999_999), abs=0.001)
    assert all(char.isprintable() or ord(char) > 0x7F for char in found[6])


@given(trigger=HOSTILE)
@example(trigger="x" * 200)
def test_a_word_has_seven_fields_whatever_the_trigger_id(trigger: str) -> None:
    """An id from outside may be too long to come back whole, but it never pushes out the verdict."""
    found = fields(answer_word(7, trigger, Verdict.NG, 1, 2, 1.5, "4711"))

    assert len(found) == 7
    assert found[2:6] == ["2", "0", "2", "1.500"]


@pytest.mark.parametrize("verdict", Verdict)
def test_only_ok_has_the_code_that_accepts(verdict: Verdict) -> None:
    """1 is OK; an INVALID or ERROR part carries its reason's number."""
    found = fields(answer_word(1, "", verdict, 205, 0, None, ""))

    assert (found[2] == "1") == (verdict is Verdict.OK)
    assert found[3] == ("205" if verdict in (Verdict.INVALID, Verdict.ERROR) else "0")


def test_a_short_serial_arrives_whole() -> None:
    """The word as MQTT.md shows it."""
    word = answer_word(12, "34", Verdict.NG, 1, 2, 1.2345, "SN;47\n11")

    assert word.encode() == b"12;34;2;0;2;1.234;SN_47_11"


def test_the_busy_word_accepts_nothing() -> None:
    """It takes any earlier answer away and names the trigger that it acknowledges."""
    assert fields(busy_word(5, "99")) == ["5", "99", "0", "0", "0", "0.000", ""]


@given(seq=st.integers(0, SEQ_MAX))
def test_the_sequence_number_runs_from_1_and_is_never_0(seq: int) -> None:
    """2147483647 fits a PLC's DINT; after it comes 1."""
    following = next_seq(seq)

    assert 1 <= following <= SEQ_MAX
    assert (following - seq) % SEQ_MAX == 1


def test_the_sequence_number_wraps() -> None:
    """The newest number is told from the last by the difference modulo 2147483647."""
    assert next_seq(SEQ_MAX - 1) == SEQ_MAX
    assert next_seq(SEQ_MAX) == 1
    assert next_seq(0) == 1
