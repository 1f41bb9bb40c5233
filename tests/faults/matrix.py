"""The matrix of faults: what was tried on the real process, and what was seen. A pytest plugin, see `make faults`.

A test marked `fault("name")` is a row; what it writes with `record_property` are its cells.
"""

from collections.abc import Generator
from dataclasses import dataclass, field

import pytest

COLUMNS = ("parts in", "results out", "duplicates", "wrong verdicts", "errors", "wrong accepts", "recovery s")


@dataclass
class _Row:
    name: str
    outcome: str = "passed"
    cells: dict[str, object] = field(default_factory=dict)


class Matrix:
    """Collects rows while the tests run and prints them at the end."""

    def __init__(self) -> None:
        self.rows: list[_Row] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Take in what became of a row."""
        report = yield
        mark = item.get_closest_marker("fault")
        if mark is not None and (call.when == "call" or report.outcome != "passed"):
            row = _Row(str(mark.args[0]), report.outcome, dict(item.user_properties))
            if report.skipped and isinstance(report.longrepr, tuple):
                row.outcome = f"skipped: {report.longrepr[2].removeprefix('Skipped: ')}"
            self.rows.append(row)
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        write = terminalreporter.write_line
        write("")
        write(f"| fault | {' | '.join(COLUMNS)} | outcome |")
        write(f"|---|{'---|' * (len(COLUMNS) + 1)}")
        for row in self.rows:
            cells = " | ".join(str(row.cells.get(column, "")) for column in COLUMNS)
            write(f"| {row.name} | {cells} | {row.outcome} |")


def pytest_configure(config: pytest.Config) -> None:
    """Begin an empty table."""
    config.pluginmanager.register(Matrix(), "matrix-of-faults")
