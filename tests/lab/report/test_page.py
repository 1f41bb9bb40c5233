"""The report opens in a browser by itself, fetches nothing, and holds the figures of the JSON."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from factories import write_masks, write_parts
from playwright.sync_api import Browser, Page
from typer.testing import CliRunner

from edge_inspector.bundle import Bundle, open_inspector, read_bundle, write_bundle
from edge_inspector.cli import app
from edge_inspector.lab.evaluation.evaluate import evaluate
from edge_inspector.lab.report.page import write_report

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HISTORY = b"step,loss,val_loss,quality\n1,0.9,0.95,0\n2,0.5,0.6,0.7\n3,0.4,0.45,0.9\n"


@dataclass(frozen=True, slots=True)
class Opened:
    """A page in a browser, and what it did that it should not."""

    page: Page
    said: list[str]
    asked: list[str]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give good and scratched parts with masks; one file has a name that is HTML."""
    folder = tmp_path_factory.mktemp("known")
    write_parts(folder / "test" / "good", 5, first=1000)
    write_parts(folder / "test" / "scratch", 5, scratched=True, first=2000)
    write_masks(folder / "ground_truth" / "scratch", 5, first=2000)
    (folder / "test" / "scratch" / "<img src=x onerror=alert(1)>.png").write_bytes(b"torn")
    shutil.copy(folder / "test" / "good" / "part-1000.png", folder / "test" / "scratch" / "looks good.png")
    return folder


@pytest.fixture(scope="module")
def report(bundle: Bundle, known: Path) -> tuple[Path, dict[str, object]]:
    """Give the report that the command writes, and the JSON that it prints."""
    page = known / "report.html"
    command = ["evaluate", str(bundle.path), str(known), "--report", str(page), "--json", "--prevalence", "0.02"]
    ran = CliRunner().invoke(app, command, catch_exceptions=False)
    assert ran.exit_code == 0
    return page, json.loads(ran.stdout)


@pytest.fixture(scope="module")
def opened(report: tuple[Path, dict[str, object]], browser: Browser) -> Iterator[Opened]:
    """Give the report in headless Chromium, without JavaScript."""
    said: list[str] = []
    asked: list[str] = []
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report[0].as_uri(), wait_until="load")
    yield Opened(page, said, asked)
    context.close()


def test_it_fetches_nothing_and_complains_of_nothing(report: tuple[Path, dict[str, object]], opened: Opened) -> None:
    """One file, for ever."""
    fetched = [url for url in opened.asked if not url.startswith("data:")]

    assert fetched == [report[0].as_uri()]
    assert opened.said == []


def test_it_holds_the_figures_of_the_json(report: tuple[Path, dict[str, object]], opened: Opened) -> None:
    """What is printed and what is handed over are the same."""
    figures, words = report[1], opened.page.inner_text("main")

    assert f"{figures['image_auroc']:.3f}" in words
    assert f"{figures['aupro']:.3f}" in words
    assert f"{figures['iou_mean']:.3f}" in words
    assert (
        f"{figures['miss_rate']:.1%} 1 of 6; {figures['miss_rate_low']:.1%} to {figures['miss_rate_high']:.1%}" in words
    )
    assert "PRECISION AT 2%" in words.upper()
    assert f"{figures['precision']:.1%}" in words
    assert "Passed: 1 of 6 defective parts." in words


def test_it_shows_what_was_judged_wrongly(opened: Opened) -> None:
    """The part, the map over it, the map, the reconstruction; a torn file has nothing to show but is named."""
    miss = opened.page.locator(".strip").first

    assert "1 files cannot be read, neither found nor missed: scratch/<img src=x" in opened.page.inner_text("main")
    assert "scratch/looks good.png" in miss.inner_text()
    assert miss.locator("img").count() == 4
    assert miss.locator("figcaption").all_inner_texts() == [
        "part", "map over part", "anomaly map (residual)", "reconstruction",
    ]  # fmt: skip
    assert all(
        box is not None and box["width"] > 50 for box in (img.bounding_box() for img in miss.locator("img").all())
    )


def test_it_tells_where_the_bundle_comes_from(bundle: Bundle, opened: Opened) -> None:
    """The promise in words, the synthetic defects, and what is needed to get the same figures again."""
    words = opened.page.inner_text("main")

    assert bundle.manifest.calibration.in_words() in words
    assert bundle.id in words
    assert bundle.manifest.files["network.onnx"] in words
    assert bundle.manifest.provenance.processor in words
    assert opened.page.locator(".synthetic tbody tr").count() == 1 + len(
        {p.kind for p in bundle.manifest.calibration.synthetic}
    )


def test_nothing_is_drawn_outside_its_column(opened: Opened) -> None:
    """Neither at a desk nor on a phone does the page scroll sideways."""
    for width in (1200, 390):
        opened.page.set_viewport_size({"width": width, "height": 900})
        boxes = [part.bounding_box() for part in opened.page.locator("section, figure, svg, blockquote, dl").all()]

        assert boxes
        assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)


def test_a_name_is_never_html(report: tuple[Path, dict[str, object]]) -> None:
    """A file may be called anything."""
    text = report[0].read_text()

    assert "<img src=x" not in text
    assert "<script" not in text


def test_training_curves_are_drawn_where_the_bundle_has_a_history(bundle: Bundle, known: Path, tmp_path: Path) -> None:
    """Each quantity by itself, the held-out one beside it; without a history there is no such section."""
    contents = {
        name: (bundle.path / name).read_bytes() for name in bundle.manifest.files if not name.startswith("history.")
    }
    write_bundle(tmp_path / "none", bundle.manifest, contents)
    write_bundle(tmp_path / "kept", bundle.manifest, {**contents, "history.csv": HISTORY})
    texts = []
    for place in (tmp_path / "none", tmp_path / "kept"):
        opened = read_bundle(place)
        inspector = open_inspector(opened, threads=1, clock_ns=lambda: 0)
        found = evaluate(opened, inspector, known, "calibrated", lambda _words, _share: None)
        write_report(tmp_path / "report.html", opened, inspector, found, data=known, now=NOW)
        texts.append((tmp_path / "report.html").read_text())

    assert "<h2>Training</h2>" not in texts[0]
    assert re.findall(r'aria-label="(loss|val_loss|quality)"', texts[1]) == ["loss", "quality"]


def test_a_report_into_a_folder_that_does_not_exist_is_refused_at_once(bundle: Bundle, known: Path) -> None:
    """Not after a quarter of an hour."""
    command = ["evaluate", str(bundle.path), str(known), "--report", str(known / "nowhere" / "report.html")]
    ran = CliRunner().invoke(app, command)

    assert ran.exit_code != 0
    assert "is not a folder" in str(ran.exception)
