"""The unit files, judged by systemd's own tools."""

import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = tuple(sorted(SYSTEMD.glob("*.service")))
UNIT = SYSTEMD / "edge-inspector@.service"
ANALYZE = shutil.which("systemd-analyze")
pytestmark = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_unit(tmp_path: Path, unit: Path) -> None:
    """`systemd-analyze verify` has nothing to say; only the program's place is another here."""
    copy = tmp_path / unit.name
    text = unit.read_text().replace("/opt/edge-inspector/current/bin/edge-inspector", "/bin/true")
    copy.write_text(text.replace("/usr/bin/node", "/bin/true"))
    found = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_service_is_locked_down(unit: Path) -> None:
    """Systemd's exposure score is 1.7 or better out of 10."""
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=17", str(unit)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout[-200:]


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'",
        "WatchdogSec=30",
        "DynamicUser=yes",
        "RestartPreventExitStatus=65 78",
    ],
)
def test_the_service_is_supervised(line: str) -> None:
    """What the daemon's own behaviour relies on is in the unit."""
    assert line in UNIT.read_text().splitlines()
