"""`bench`: not a timed test, but it must run, name its figures, and see a slow-down."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_inspector.bundle import Bundle


@pytest.mark.slow
def test_bench_reports_every_figure_and_keeps_them(bundle: Bundle, tmp_path: Path) -> None:
    """Stages, floors, the real daemon with 1, 2 and 4 stations, and what is wanted beside each."""
    history = tmp_path / "history.jsonl"
    command = [sys.executable, "-m", "edge_inspector.cli", "bench", bundle.path.name, "--json", "--history"]
    found = subprocess.run(
        [*command, str(history)], capture_output=True, text=True, timeout=1800, check=False, cwd=bundle.path.parent
    )
    figures = json.loads(found.stdout)
    stages = {"read", "decode", "resize", "quality", "network", "residual", "decide", "thumbnail", "commit", "encode"}

    assert found.returncode == 0, found.stderr[-2000:]
    assert {"1 megapixel", "5 megapixels"} == figures["pictures"].keys()
    assert stages == figures["pictures"]["1 megapixel"]["stages"].keys()
    assert all(value > 0 for value in figures["pictures"]["1 megapixel"]["floors_ms"].values() if value is not None)
    assert figures["daemon"]["parts_per_s"].keys() == {"1", "2", "4"}
    assert 0 < figures["daemon"]["answered_ms"]["p50"] <= figures["daemon"]["answered_ms"]["p99"]
    assert figures["daemon"]["rss_mb"] > 0
    assert figures["plc"]["busy_ms"]["p50"] < figures["plc"]["verdict_ms"]["p50"]
    assert len(figures["targets"]) == 9
    assert json.loads(history.read_text())["figures"].keys() == {row["what"] for row in figures["targets"]}
