"""The list of critical lines follows the code; that undoing each is noticed, `make undo` shows (minutes)."""

import shutil
from pathlib import Path

import pytest
from undo import LINES, ROOT, Line, failures, undo


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_every_critical_line_is_where_the_list_says(line: Line, tmp_path: Path) -> None:
    """A line that has moved would be undone by nobody, and its table row would say nothing."""
    target = tmp_path / "edge_inspector" / line.path
    target.parent.mkdir(parents=True)
    shutil.copy(ROOT / "edge_inspector" / line.path, target)
    before = target.read_text()

    undo(line, tmp_path)

    assert target.read_text() != before
    assert all((ROOT / test.partition("::")[0]).exists() for test in line.tests)


def test_a_line_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """Not a pass."""
    (tmp_path / "edge_inspector").mkdir()
    (tmp_path / "edge_inspector" / "a.py").write_text("x = 1\n")

    with pytest.raises(LookupError, match="found it 0 times"):
        undo(Line("gone", "a.py", "y = 1\n", "", ()), tmp_path)


def test_a_test_that_cannot_be_run_is_no_failure(tmp_path: Path) -> None:
    """A tree that does not even import proves nothing about the line."""
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / "test_broken.py").write_text("import there_is_no_such_module\n")

    with pytest.raises(LookupError, match="pytest ended with"):
        failures(("test_broken.py",), tmp_path)


@pytest.mark.slow
def test_undoing_a_line_is_noticed(tmp_path: Path) -> None:
    """The script itself works: one cheap line, undone in a real copy."""
    shutil.copytree(ROOT / "edge_inspector", tmp_path / "edge_inspector")
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    line = next(line for line in LINES if line.name == "NaN level is never OK")

    assert failures(line.tests, tmp_path) == []

    undo(line, tmp_path)

    assert failures(line.tests, tmp_path)
