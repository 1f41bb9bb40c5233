"""The table of `make undo` is about the code as it stands."""

import pytest
from undo import LINES, ROOT, Line


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_each_critical_line_stands_where_the_table_says(line: Line) -> None:
    """A line that has moved would be watched by nobody until the next `make undo`."""
    text = (ROOT / "edge_inspector" / line.path).read_text(encoding="utf-8")

    assert text.count(line.stands) == 1


@pytest.mark.parametrize("test", sorted({test for line in LINES for test in line.tests}))
def test_each_guard_exists(test: str) -> None:
    """A renamed test guards nothing."""
    path, _, name = test.partition("::")

    assert (ROOT / path).exists()
    assert not name or f"def {name.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8")
