"""The exit status says what kind of fault it is."""

import pytest

from edge_inspector.errors import DataError, DiskError, EdgeInspectorError, SettingsError, UsageError


@pytest.mark.parametrize(
    ("error", "status"),
    [(UsageError, 64), (DataError, 65), (DiskError, 74), (SettingsError, 78), (EdgeInspectorError, 1)],
)
def test_each_fault_has_its_exit_status(error: type[EdgeInspectorError], status: int) -> None:
    """A script can tell a wrong option from a bad image, a full disk and wrong settings (sysexits.h)."""
    assert error.exit_status == status
