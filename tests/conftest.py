"""What many tests share: a bundle that was really trained, from parts that are drawn."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest
from browsers import CHROMIUM, CHROMIUM_ARGS
from factories import ROUGH_GRAIN, a_part, png, write_parts
from footing import clear_cut
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, sync_playwright

from edge_inspector import cli
from edge_inspector.bundle import Bundle
from edge_inspector.detectors.settings import CaeSettings
from edge_inspector.detectors.training_data import Budget
from edge_inspector.lab.train import train
from edge_inspector.lab.training.train_part import TrainingRequest

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what trains: all that a trained bundle is given to, whoever asked for it."""
    for item in items:
        if {"bundle", "teach_washer"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.trains)


@pytest.fixture(scope="session")
def good_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of 60 good parts, rougher than those that tests judge."""
    return write_parts(tmp_path_factory.mktemp("good"), 60, grain=ROUGH_GRAIN)


@pytest.fixture(scope="session")
def train_washer() -> Callable[..., Bundle]:
    """Give a function that trains `cae:my` at 64 x 64 for a few seconds; good enough to tell a scratched part."""

    def train_detector(images: Path, out: Path, **changes: object) -> Bundle:
        request = TrainingRequest(
            images=images,
            part="washer",
            out=out,
            detector=CaeSettings(),
            created=datetime(2026, 1, 1, tzinfo=UTC),
            clock=monotonic,
            report=lambda _words, _share: None,
            width=64,
            height=64,
            budget=Budget(epochs=15, seconds=None),
        )
        return train(replace(request, **changes))  # type: ignore[arg-type]

    return train_detector


@pytest.fixture(scope="session")
def bundle(good_parts: Path, tmp_path_factory: pytest.TempPathFactory, train_washer: Callable[..., Bundle]) -> Bundle:
    """Train a washer in float32; good parts lie clearly below its limit and scratched ones clearly above."""
    good = [png(a_part(seed)) for seed in (*range(10), *range(1000, 1020), 1500)]
    bad = [png(a_part(seed, scratched=True)) for seed in (*range(2000, 2010), 1500)]
    return clear_cut(train_washer(good_parts, tmp_path_factory.mktemp("bundles") / "washer"), good, bad)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Give the folder of the real image sets; the test is skipped where they are not."""
    if not SHARED.is_dir():
        pytest.skip(f"the real image sets are not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Give one headless Chromium for all tests; a second playwright in one process is refused."""
    if not CHROMIUM.is_file():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        playwright.selectors.set_test_id_attribute("data-test")
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Give a function that runs a command in this process: exit status, output, complaints."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edge-inspector", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        told = capsys.readouterr()
        return int(str(caught.value.code or 0)), told.out, told.err

    return call
