"""Real mosquitto, real Node-RED, real Chromium: everything a dashboard test needs, each ended by its own process id."""

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/ is not a package

from brokers import Mosquitto, find_mosquitto, free_port, until
from playwright.sync_api import Browser, Page, sync_playwright
from station import Station

NODERED = Path(__file__).parents[2] / "nodered"
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROOT = "edge-inspector/v1"


class NodeRed:
    """The bundled dashboard as one process, with its own port and user folder; `url` is its line page."""

    def __init__(self, folder: Path, broker_port: int, root: str = ROOT, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/dashboard/line"
        variables = {"MQTT_PORT": str(broker_port), "ROOT": root, "UI_PORT": str(self.port)}
        named = {f"EDGE_INSPECTOR_{name}": value for name, value in variables.items()}
        self.environment = os.environ | named | environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "NodeRed":
        """Start Node-RED and return when it answers, be it only with a request to log in."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["node", str(NODERED / "start.js"), str(self.folder)], env=self.environment, stdout=log, stderr=log
            )
        until(lambda: self.status("/dashboard/line") in {200, 401}, f"Node-RED answers, see {self.log}", 60)
        return self

    @property
    def log(self) -> Path:
        """What Node-RED has printed."""
        return self.folder / "node-red.log"

    def status(self, path: str, **headers: str) -> int:
        """Return the HTTP status of `path`, 0 when nobody answers."""
        try:
            request = urllib.request.Request(self.origin + path, headers=headers)  # noqa: S310 - always http, always 127.0.0.1
            with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    @property
    def memory_mb(self) -> float:
        """The resident memory of the process."""
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        """End the process this object started."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None


def missing() -> str:
    """Say what a dashboard test lacks on this machine, or nothing."""
    if not (NODERED / "node_modules/node-red").is_dir():
        return "nodered/node_modules is missing: run npm ci in nodered/"
    if shutil.which("node") is None:
        return "node is not installed"
    if find_mosquitto() is None:
        return "mosquitto is not installed"
    return "" if Path(CHROMIUM).exists() else f"{CHROMIUM} is not installed"


def skip_where_something_is_missing() -> None:
    """Skip, with the reason, where a program is missing."""
    reason = missing()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def programs() -> None:
    """For tests that start Node themselves."""
    skip_where_something_is_missing()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests."""
    skip_where_something_is_missing()
    with sync_playwright() as playwright:
        playwright.selectors.set_test_id_attribute("data-test")
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page as large as an operator's panel; an exception in it fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark", locale="en-GB")
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
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


def show(page: Page, dashboard: NodeRed, station: Station, name: str = "line") -> Page:
    """Open a page on one station and return when the station is on it."""
    page.goto(f"{dashboard.origin}/dashboard/{name}?station={station.name}")
    page.locator(".ei-station[aria-selected=true]", has_text=station.name).wait_for()
    return page
