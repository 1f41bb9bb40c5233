"""Known weaknesses in what we install, by the advisory services; skipped, with the reason, where they do not answer."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SERIOUS = {"high", "critical"}
pytestmark = pytest.mark.slow


def asked(command: list[str], folder: Path) -> dict[str, Any]:
    """Return what an auditor prints as JSON; whatever else it says is why there is no answer."""
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    try:
        said = json.loads(found.stdout)
    except ValueError:
        said = {}
    if not isinstance(said, dict) or not {"dependencies", "vulnerabilities"} & said.keys():
        words = (found.stderr or found.stdout).strip().splitlines() or [f"exit {found.returncode}, no word"]
        why = next((line for line in words if "error" in line.lower()), words[-1])
        pytest.skip(f"{Path(command[0]).name}: no answer from the advisory service: {why[:200]}")
    return said


def test_no_python_package_has_a_known_weakness() -> None:
    """`pip-audit` looks at every package of this environment, ours apart."""
    program = Path(sys.executable).with_name("pip-audit")
    if not program.exists():
        pytest.skip("pip-audit is not installed: pip install -e '.[test]'")
    said = asked([str(program), "--format", "json", "--progress-spinner", "off", "--skip-editable"], ROOT)
    weak = {one["name"]: [v["id"] for v in one["vulns"]] for one in said["dependencies"] if one.get("vulns")}

    assert weak == {}


def test_no_node_module_has_a_serious_known_weakness() -> None:
    """`npm audit` looks at the dashboard's lock file."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    said = asked(["npm", "audit", "--json", "--omit=dev", "--package-lock-only"], ROOT / "nodered")
    weak = {name: one["severity"] for name, one in said["vulnerabilities"].items() if one["severity"] in SERIOUS}

    assert weak == {}
