"""The demo, as a stranger runs it."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_demo_answers_every_solar_cell_once() -> None:
    """Real cells, real broker, real daemon: 200 parts, 200 answers, no duplicate, and good told from defective."""
    command = [sys.executable, "-m", "edge_inspector.cli", "demo", "--seconds", "25", "--json"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    summary = json.loads(found.stdout)

    assert found.returncode == 0, found.stderr[-2000:]
    assert (summary["parts"], summary["answered"], summary["duplicates"]) == (200, 200, 0)
    assert summary["image_auroc"] >= 0.90
