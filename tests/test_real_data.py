"""What the default detector is worth on real parts; each test teaches it as a technician would."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.trains]


def run(*arguments: object) -> dict[str, Any]:
    """Run a command of ours and return its JSON."""
    command = [sys.executable, "-m", "edge_inspector.cli", *map(str, arguments), "--json"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


@pytest.mark.parametrize("name", ["bottle", "ball_screw"])
def test_the_default_detector_tells_defects_from_good_parts(name: str, real_data: Path, tmp_path: Path) -> None:
    """Taught with the defaults from good pictures only, image AUROC is 0.97 or better."""
    run("train", real_data / name / "train" / "good", "--part", name, "--out", tmp_path / "bundle")
    figures = run("evaluate", tmp_path / "bundle", real_data / name)

    assert figures["image_auroc"] >= 0.97
    assert figures["miss_rate"] <= 0.15
