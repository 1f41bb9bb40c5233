"""The table of all kinds on all sets: resumable, and what failed is in it too."""

import csv
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from factories import write_parts
from typer.testing import CliRunner

from edge_inspector.cli import app
from edge_inspector.lab.benchmark import table
from edge_inspector.lab.benchmark.table import TableRequest, as_markdown, measure, wrong

DONE = {
    "set": "a", "kind": "centroid", "budget": 1, "miss_rate": 0.1, "miss_rate_low": 0.05, "miss_rate_high": 0.2,
    "false_reject_rate": 0.0, "false_reject_rate_low": 0.0, "false_reject_rate_high": 0.04,
    "miss_rate_at_5": 0.15, "miss_rate_at_5_low": 0.09, "miss_rate_at_5_high": 0.22, "image_auroc": 0.9,
    "image_auroc_low": 0.85, "image_auroc_high": 0.95, "pixel_auroc": None, "aupro": None,
    "steps": 0, "seconds": 1.0, "graph_ms": 5.0, "bundle_mb": 20.0,
}  # fmt: skip


def an_order(folder: Path, kinds: tuple[str, ...]) -> TableRequest:
    """Return an order for the sets in a folder, at 64 pixels."""
    return TableRequest(
        root=folder,
        rows=folder / "rows",
        kinds=kinds,
        seconds=1,
        clock_ns=time.monotonic_ns,
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        report=lambda _words, _share: None,
        size=64,
    )


def a_set(folder: Path) -> None:
    """Write a set of drawn parts."""
    write_parts(folder / "train" / "good", 32)
    write_parts(folder / "test" / "good", 4, first=1000)
    write_parts(folder / "test" / "scratch", 4, first=2000, scratched=True)


@pytest.mark.trains
def test_a_row_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done before the table was ended is taken from its file; a kind that fails has a row that says why."""
    a_set(tmp_path / "a")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a-centroid.json").write_text(json.dumps(DONE))
    first = list(measure(an_order(tmp_path, ("centroid", "padim:pca"))))
    monkeypatch.setattr(table, "train", lambda _order: pytest.fail("measured again"))
    second = list(measure(an_order(tmp_path, ("centroid", "padim:pca"))))

    assert first == second
    assert first[0] == DONE
    assert first[1]["kind"] == "padim:pca"
    assert 0.5 < first[1]["image_auroc"] <= 1
    assert first[1]["graph_ms"] > 0
    assert first[1]["bundle_mb"] > 1


def test_the_table_is_kept_as_csv(tmp_path: Path) -> None:
    """A line for each kind and set, with every column, also of what failed."""
    (tmp_path / "a" / "test").mkdir(parents=True)
    for kind in ("good", "scratch"):
        write_parts(tmp_path / "a" / "test" / kind, 1)
    write_parts(tmp_path / "a" / "train" / "good", 1)
    (tmp_path / "rows").mkdir()
    for kind, row in (("centroid", DONE), ("padim", {"set": "a", "kind": "padim", "budget": 1, "failed": "why"})):
        (tmp_path / "rows" / f"a-{kind}.json").write_text(json.dumps(row))
    command = ["lab", "table", str(tmp_path), "--rows", str(tmp_path / "rows"), "--kinds", "centroid,padim"]
    ran = CliRunner().invoke(app, [*command, "--csv", "-"])
    first, second = csv.DictReader(ran.stdout.splitlines())

    assert first.keys() == {*DONE, "failed"}
    assert (first["image_auroc"], first["failed"]) == ("0.9", "")
    assert (second["kind"], second["image_auroc"], second["failed"]) == ("padim", "", "why")


def test_what_failed_stands_in_the_table(tmp_path: Path) -> None:
    """None is left out for looking bad: the reason is in its row, and it counts as chance."""
    for kind in ("train", "test"):
        write_parts(tmp_path / "b" / kind / "good", 4)
    (row,) = measure(an_order(tmp_path, ("centroid",)))

    assert "at least 5 parts are needed" in row["failed"]
    assert wrong([row, {**DONE}], "centroid") == pytest.approx((1.0 + 0.1) / 2)
    lines = list(as_markdown([row, {**DONE, "kind": "padim"}]))
    assert lines[2] == "| `padim` | mean of 1 | 10 % | 0 % | 15 % | 0.900 | | | | | | |"
    assert lines[3].startswith(
        "| | a | 10 % (5 to 20) | 0 % (0 to 4) | 15 % (9 to 22) | 0.900 (0.850 to 0.950) | - | - |"
    )
    assert lines[4].startswith("| `centroid` | mean of 1 | 100 % | 0 % | 95 % | 0.500 |")
    assert "at least 5 parts" in lines[5]
    assert {line.count("|") for line in lines} == {13}
