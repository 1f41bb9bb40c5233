"""The demo, as a stranger runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_answers_every_solar_cell_once(tmp_path: Path) -> None:
    """Real cells, broker and daemon: 200 parts, 200 answers of each station, no duplicate, a report."""
    page = tmp_path / "report.html"
    command = [sys.executable, "-m", "edge_inspector.cli", "demo", "--seconds", "60", "--json", "--report", str(page)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    summary = json.loads(found.stdout)

    assert found.returncode == 0, found.stderr[-2000:]
    assert (summary["parts"], summary["answered"], summary["duplicates"]) == (200, 200, 0)
    assert summary["image_auroc"] >= 0.90
    assert [one["detector"] for one in summary["stations"].values()] == ["memory", "cae:my"]
    for one in summary["stations"].values():
        assert (one["answered"], one["duplicates"]) == (200, 0)
    assert summary["report"] == str(page)
    assert "200 test images" in page.read_text()
