"""The unit file, judged by systemd's own tools."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "edge-inspector@.service"
ANALYZE = shutil.which("systemd-analyze")
pytestmark = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say; only the program's place is another here."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/edge-inspector/bin/edge-inspector", "/bin/true"))
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stderr) == (0, "")


def test_the_service_is_locked_down() -> None:
    """Systemd's exposure score is 1.7 or better out of 10."""
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=17", str(UNIT)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout[-200:]


@pytest.mark.parametrize("line", ["Type=notify", "WatchdogSec=30", "DynamicUser=yes", "RestartPreventExitStatus=65 78"])
def test_the_service_is_supervised(line: str) -> None:
    """What the daemon's own behaviour relies on is in the unit."""
    assert line in UNIT.read_text().splitlines()
