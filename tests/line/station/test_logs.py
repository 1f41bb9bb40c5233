"""Log lines for people, for machines, and for the journal."""

import io
import json
import logging

import pytest

from edge_inspector.line.station.logs import set_log_format


def logged(
    kind: str, *, journal: bool, level: int = logging.WARNING, words: str = "two\nlines", fault: bool = False
) -> str:
    """Return what one record becomes."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    set_log_format(kind, [handler], journal=journal)  # type: ignore[arg-type]
    error = ValueError("broken")
    handler.handle(
        logging.LogRecord("a.b", level, "f.py", 1, words, None, (ValueError, error, None) if fault else None)
    )
    return out.getvalue()


def test_json_is_one_object_a_line() -> None:
    """Line ends of the message stay inside it."""
    text = logged("json", journal=False, fault=True)
    line = json.loads(text)

    assert text.count("\n") == 1
    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "a.b", "two\nlines")
    assert line["exception"] == "ValueError: broken"
    assert line["time"].endswith("Z")


@pytest.mark.parametrize(
    ("level", "number"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_the_journal_learns_the_severity_of_each_line(level: int, number: int) -> None:
    """`journalctl -p warning` finds warnings, tracebacks whole."""
    lines = logged("text", journal=True, level=level).splitlines()

    assert [line[:3] for line in lines] == [f"<{number}>"] * 2


def test_text_is_for_people() -> None:
    """Nothing in front where nobody takes it away."""
    assert logged("text", journal=False, words="ready") == "WARNING a.b: ready\n"
