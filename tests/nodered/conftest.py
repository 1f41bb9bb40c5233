"""Real mosquitto, real Node-RED, real Chromium: everything a dashboard test needs, each ended by its own process id."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import PATIENCE_S, Mosquitto
from dashboards import ROOT, NodeRed, show, skip_where_something_is_missing
from fake_station import Station
from playwright.sync_api import Browser, Page, expect

expect.set_options(timeout=1000 * PATIENCE_S)


@pytest.fixture(scope="session")
def programs() -> None:
    """For tests that start Node themselves."""
    skip_where_something_is_missing()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page as large as an operator's panel; an exception in it, caught by Vue or not, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark", locale="en-GB")
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if said.text.startswith("errorCaptured") else None)
    yield opened
    context.close()
    assert errors == []


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker of this test's own, to kill as it likes."""
    skip_where_something_is_missing()
    with Mosquitto(tmp_path / "broker") as started:
        yield started


@pytest.fixture
def node_red(tmp_path: Path) -> Iterator[Callable[..., NodeRed]]:
    """Start dashboards of this test's own: `node_red(broker_port, root, EDGE_INSPECTOR_X="...")` returns it running."""
    skip_where_something_is_missing()
    started: list[NodeRed] = []

    def start(broker_port: int, root: str = ROOT, **environment: str) -> NodeRed:
        started.append(NodeRed(tmp_path / f"node-red-{len(started)}", broker_port, root, **environment))
        return started[-1].start()

    yield start
    for each in started:
        each.stop()


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """One broker for all tests that leave it alone."""
    skip_where_something_is_missing()
    with Mosquitto(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory, shared_broker: Mosquitto) -> Iterator[NodeRed]:
    """One dashboard for all tests that leave it alone."""
    started = NodeRed(tmp_path_factory.mktemp("node-red"), shared_broker.port).start()
    yield started
    started.stop()


@pytest.fixture
def station(shared_broker: Mosquitto) -> Iterator[Station]:
    """A station of this test's own on the shared broker: online, running, without a daemon."""
    with Station(shared_broker.port, name=f"press-{uuid.uuid4().hex[:6]}") as online:
        online.health()
        online.recipe()
        yield online


@pytest.fixture
def line_page(page: Page, dashboard: NodeRed, station: Station) -> Page:
    """The line page of the shared dashboard, showing this test's station."""
    return show(page, dashboard, station)
