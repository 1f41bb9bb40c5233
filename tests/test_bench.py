"""`bench`: not a timed test, but it must run and name its figures."""

import json
import subprocess
import sys

import pytest

from edge_inspector.bundle import Bundle


@pytest.mark.slow
def test_bench_reports_every_figure_of_the_contract(bundle: Bundle) -> None:
    """Stages, ratios, memory, start and throughput, with the real daemon and a broker of its own."""
    command = [sys.executable, "-m", "edge_inspector.cli", "bench", str(bundle.path), "--json"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    figures = json.loads(found.stdout)

    assert found.returncode == 0, found.stderr[-2000:]
    assert {"decode", "resize", "network", "residual", "decide", "thumbnail", "commit"} <= figures["stages"].keys()
    assert {"rest_to_imdecode", "graph_to_f32_floor", "commit_to_fsync", "total_to_graph"} == figures["ratios"].keys()
    assert figures["rss_mb"] > 0
    assert figures["parts_per_s"] > 0
