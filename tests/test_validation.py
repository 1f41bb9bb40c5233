"""What is wrong with a value is said in the words of whoever has to mend it, never in those of a library."""

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from edge_inspector.detectors.settings import DetectorSettings
from edge_inspector.settings import CaptureSettings, Settings
from edge_inspector.validation import in_our_words
from edge_inspector.wire.messages import Command

STATION = {"name": "s", "source": {"kind": "folder", "path": "/in"}, "part": [{"name": "p", "bundle": "/b"}]}


def said(annotation: Any, value: object) -> str:  # noqa: ANN401 - any type that pydantic knows
    """Return what is said of a value that is wrong."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(annotation).validate_python(value)
    return in_our_words(caught.value, annotation)


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (
            Settings,
            {"station": [{**STATION, "deadline": 5}]},
            "station 1: unknown setting `deadline`, did you mean `deadline_ms`?",
        ),
        (Settings, {"station": [{**STATION, "queue": "x"}]}, "station 1, queue: expected a whole number, found 'x'"),
        (Settings, {"station": [{**STATION, "queue": 1.5}]}, "station 1, queue: expected a whole number, found 1.5"),
        (Settings, {"station": [{**STATION, "part": []}]}, "station 1, part: expected 1 or more, found a list of 0"),
        (Settings, {"station": [{**STATION, "part": 7}]}, "station 1, part: expected a list, found 7"),
        (
            Settings,
            {"station": [{**STATION, "thumbs": "some"}]},
            "station 1, thumbs: expected 'all', 'not_ok' or 'none', found 'some'",
        ),
        (Settings, {"station": [{**STATION, "source": 7}]}, "station 1, source: "),
        (CaptureSettings, {"kind": "capture", "device": 7}, "device: expected text, found (hidden)"),
        (
            CaptureSettings,
            {"kind": "capture", "device": "0", "exposure": float("nan")},
            "exposure: expected a finite number, found nan",
        ),
        (
            CaptureSettings,
            {"kind": "capture", "device": "0", "pixel_format": "toolong"},
            "pixel_format: expected text of the form ^[ -~]{4}$, found 'toolong'",
        ),
        (DetectorSettings, {"kind": "cae:my", "rates": 1}, "unknown setting `rates`, did you mean `rate`?"),
        (Command, {"correlation_id": "", "by": "me"}, "correlation_id: expected 1 characters or more, found ''"),
        (
            Command,
            {"correlation_id": "1", "by": "me", "args": {"x": [1]}},
            "args.x: expected text, a number or true or false, found a list of 1",
        ),
        (Command, {"correlation_id": "1", "by": "me", "expires": "soon"}, "expires: expected a time such as"),
    ],
)
def test_what_was_found_and_what_was_expected(annotation: Any, value: object, words: str) -> None:  # noqa: ANN401
    """The place counts from 1, as people do; secrets are not repeated."""
    assert said(annotation, value).startswith(words)


def test_no_more_than_three_at_once() -> None:
    """A line that can be read."""
    found = said(Settings, {"station": [{**STATION, "a1": 1, "b2": 1, "c3": 1, "d4": 1}, {}]})

    assert found.endswith(" more")
    assert "\n" not in found


def test_a_kind_of_fault_that_we_have_no_words_for_is_one_line_all_the_same() -> None:
    """A newer pydantic may have more."""

    class Model(BaseModel):
        value: bytes

    assert said(Model, {"value": 1}) == "value: input should be a valid bytes, found 1"
