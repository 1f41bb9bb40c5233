"""What is published can be read back, is valid by its own schema, and says what was decided."""

import json
import math
from datetime import UTC, datetime

import jsonschema
import pytest
from factories import a_blob, a_judgement, an_identity
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_inspector.inspection.model import Reason
from edge_inspector.wire.messages import (
    MAX_BLOBS,
    Ack,
    Alarms,
    AvailablePart,
    BundleMessage,
    Command,
    Counters,
    Event,
    Health,
    ImageMessage,
    Info,
    Message,
    RecipeMessage,
    Result,
    SourceHealth,
    Undelivered,
    result_of,
    utc,
)

NOW = "2026-01-01T00:00:00.000Z"
NOW_NS = 1_767_225_600_000_000_000
COUNTERS = Counters.model_validate(
    {
        "since": NOW, "total": 6, "ok": 3, "ng": 1, "review": 0, "invalid": 1, "error": 1, "replayed": 1,
        "yield": 0.75, "parts_per_minute": 12.5, "by_part": {"washer": {"OK": 3}},
    }
)  # fmt: skip
MESSAGES: tuple[Message, ...] = (
    COUNTERS,
    Health(
        state="RUNNING", since=NOW, stages={"inspect": 0.1}, broker="connected",
        undelivered=Undelivered(count=0, oldest_s=0), disk_free_mb=5, engine="openvino 2026.4.1",
        source=SourceHealth(open=True, detail=""), last_error="",
    ),
    Info(version="0.1.0", host="pc", station="st1", source="folder", parts=("washer",)),
    RecipeMessage(active="washer", available=(AvailablePart(part="washer", bundle="b1", threshold=2.5),)),
    Event(code="source_lost", severity="warning", active=True, message="the share is away", since=NOW),
    Alarms(active=("source_lost",)),
    Ack(command="pause", correlation_id="c1", status="done", reason=""),
)  # fmt: skip
SCORES = st.none() | st.floats(-1e6, 1e6)


def a_result(reason: Reason = Reason.WITHIN_LIMIT, **changes: object) -> Result:
    """Return the result of a judged part."""
    judgement = a_judgement(reason, **{key: changes.pop(key) for key in ("score", "blobs") if key in changes})
    return result_of(
        an_identity(**changes),
        judgement,
        ledger="l1",
        seq=1,
        bundle=BundleMessage(id="b1", detector="cae:my", calibration="c1"),
        images=(ImageMessage(kind="thumb", topic="t", width=4, height=3, camera_width=40, camera_height=30),),
        decided_ns=NOW_NS,
        timing_ms={"decode": 1.23456},
    )


def valid(message: Message) -> bool:
    """Say whether a message is what its JSON Schema says."""
    schema = type(message).model_json_schema(mode="serialization", by_alias=True)
    jsonschema.validate(json.loads(message.encode()), schema)
    return True


@settings(deadline=None)
@given(
    reason=st.sampled_from(list(Reason)),
    score=SCORES,
    serial=st.text(max_size=50),
    blobs=st.integers(0, 100),
    captured=st.integers(-(10**18), 15 * 10**18),
)
def test_a_result_comes_back_as_it_was_sent(
    reason: Reason, score: float | None, serial: str, blobs: int, captured: int
) -> None:
    """Every reason, any serial, any number of blobs, any file date that a disk can hold."""
    result = a_result(reason, score=score, serial=serial, blobs=(a_blob(),) * blobs, captured_ns=captured)

    assert Result.model_validate_json(result.encode()) == result
    assert valid(result)
    assert result.accept == (result.verdict == "OK") == (result.reason_code == 0)
    assert len(result.blobs) == min(blobs, MAX_BLOBS)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was_sent(message: Message) -> None:
    """And is valid by its own schema."""
    assert type(message).model_validate_json(message.encode()) == message
    assert valid(message)
    assert json.loads(message.encode())["schema_version"] == 1


@given(score=st.floats(0, 2) | st.sampled_from([math.nextafter(1, 0), 0.9999996, 1.0, math.nextafter(1, 2)]))
def test_a_published_score_is_on_the_side_of_the_limit_where_the_verdict_is(score: float) -> None:
    """1.0 is the limit: no OK part is ever shown with a score of 1, and no NG part with less."""
    result = a_result(Reason.DEFECT if score >= 1 else Reason.WITHIN_LIMIT, score=score)

    assert result.score is not None
    assert (result.verdict == "NG") == (result.score >= 1)
    assert result.margin == pytest.approx(1 - result.score)


def test_what_was_measured_of_the_image_is_published() -> None:
    """By name, also where the image could not be judged: with its score."""
    result = result_of(
        an_identity(),
        a_judgement(Reason.BLURRED, quality=(("focus", 0.03), ("brightness", 120.5))),
        ledger="l",
        seq=1,
        bundle=None,
        images=(),
        decided_ns=0,
        timing_ms={},
    )

    assert (result.verdict, result.accept, result.score) == ("INVALID", False, 0.5)
    assert result.quality == {"focus": 0.03, "brightness": 120.5}


def test_the_yield_is_called_yield() -> None:
    """The word is taken in Python, not in JSON."""
    assert json.loads(COUNTERS.encode())["yield"] == 0.75
    assert "yield_" not in json.loads(COUNTERS.encode())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_never_published(bad: float) -> None:
    """JSON has no NaN, and readers that take it do as they like."""
    with pytest.raises(ValidationError):
        a_result(score=bad)


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOW_NS, NOW),
        (NOW_NS + 999_999_999, "2026-01-01T00:00:00.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_utc_with_milliseconds(nanoseconds: int, expected: str) -> None:
    """Cut, never rounded up into the next second; a date before 1970 is a date."""
    assert utc(nanoseconds) == expected


@given(nanoseconds=st.integers(-11_644_473_600 * 10**9, 253_402_300_799 * 10**9))
def test_any_date_that_a_disk_can_hold_can_be_published(nanoseconds: int) -> None:
    """From Windows' year 1601 to 9999: a camera with an empty clock battery does not stop the line."""
    found = datetime.fromisoformat(utc(nanoseconds))

    assert abs(found.timestamp() - nanoseconds / 1e9) < 0.002
    assert found.tzinfo == UTC


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b'{"correlation_id": "", "by": "me"}',
        b'{"correlation_id": "c", "by": "me", "also": 1}',
        b'{"correlation_id": "c", "by": "me", "args": {"a": NaN}}',
        b'{"correlation_id": "c", "by": "me", "args": {"a": [1]}}',
        b'{"correlation_id": "c", "by": "me", "expires": "soon"}',
        b'{"correlation_id": "c", "by": "me", "schema_version": 2}',
        b"\xff\xfe",
    ],
)
def test_a_command_that_is_none_is_refused(raw: bytes) -> None:
    """Empty, of another version, with a field too many: a ValidationError, and nothing else."""
    with pytest.raises(ValidationError):
        Command.model_validate_json(raw)


def test_a_command_needs_an_id_and_a_name() -> None:
    """Who asked, under which number, until when."""
    raw = f'{{"correlation_id": "c1", "by": "operator", "expires": "{NOW}"}}'.encode()
    command = Command.model_validate_json(raw)

    assert (command.correlation_id, command.by, command.args) == ("c1", "operator", {})
    assert command.expires == datetime(2026, 1, 1, tzinfo=UTC)
