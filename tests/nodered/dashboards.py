"""The bundled dashboard as a process of its own, and a page of it in a browser."""

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from brokers import PATIENCE_S, find_mosquitto, free_port, until
from browsers import CHROMIUM
from fake_station import Station
from playwright.sync_api import Page

NODERED = Path(__file__).parents[2] / "nodered"
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
        until(lambda: self.status("/dashboard/line") in {200, 401}, f"Node-RED answers, see {self.log}")
        return self

    @property
    def log(self) -> Path:
        """What Node-RED has printed."""
        return self.folder / "node-red.log"

    def status(self, path: str, **headers: str) -> int:
        """Return the HTTP status of `path`, 0 when nobody answers."""
        try:
            request = urllib.request.Request(self.origin + path, headers=headers)  # noqa: S310 - always http, always 127.0.0.1
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:  # noqa: S310
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
            self._process.wait(PATIENCE_S)
            self._process = None


def missing() -> str:
    """Say what a dashboard test lacks on this machine, or nothing."""
    if not (NODERED / "node_modules/node-red").is_dir():
        return "nodered/node_modules is missing: run npm ci in nodered/"
    if shutil.which("node") is None:
        return "node is not installed"
    if find_mosquitto() is None:
        return "mosquitto is not installed"
    return "" if CHROMIUM.is_file() else f"{CHROMIUM} is not installed"


def skip_where_something_is_missing() -> None:
    """Skip, with the reason, where a program is missing."""
    reason = missing()
    if reason:
        pytest.skip(reason)


def show(page: Page, dashboard: NodeRed, station: Station, name: str = "line") -> Page:
    """Open a page on one station and return when the station is on it."""
    page.goto(f"{dashboard.origin}/dashboard/{name}?station={station.name}")
    page.locator(".ei-station[aria-selected=true]", has_text=station.name).wait_for()
    return page
