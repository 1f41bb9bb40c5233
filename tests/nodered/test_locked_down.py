"""Nobody gets in who should not, and nothing is open that nobody needs."""

import base64
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import PATIENCE_S, Mosquitto, until
from dashboards import NODERED, NodeRed
from fake_station import Station
from playwright.sync_api import Browser, expect

USER, PASSWORD = "operator", "a secret of the plant: ü"
LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
PAGE = "ei_page_control"


def hash_password(password: str) -> str:
    """Return the bcrypt hash, made as README says."""
    program = "process.stdout.write(require('bcryptjs').hashSync(process.argv[1], 8))"
    return subprocess.run(
        ["node", "-e", program, password], cwd=NODERED, capture_output=True, text=True, check=True
    ).stdout


class Socket:
    """The dashboard's socket.io by plain HTTP polling, as an attacker would script it."""

    def __init__(self, origin: str, **headers: str) -> None:
        self.address = f"{origin}/dashboard/socket.io/?EIO=4&transport=polling"
        self.headers = headers
        self.address += "&sid=" + json.loads(self.ask()[1:])["sid"]

    def ask(self, body: str | None = None) -> str:
        """Send `body`, or fetch what waits."""
        request = urllib.request.Request(self.address, body.encode() if body else None, self.headers)  # noqa: S310
        if body:
            request.add_header("Content-Type", "text/plain")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:  # noqa: S310
            return str(response.read().decode())

    def enter(self) -> str:
        """Ask to be let in and return the answer."""
        self.ask("40")
        return self.ask()

    def press(self, station: str) -> None:
        """Press the trigger button of `station`."""
        command = {"payload": {"kind": "command", "station": station, "command": "trigger"}}
        self.ask("42" + json.dumps(["widget-action", PAGE, command]))


@pytest.fixture
def guarded(broker: Mosquitto, node_red: Callable[..., NodeRed]) -> Iterator[tuple[NodeRed, Station]]:
    """A dashboard with a login, and a station."""
    login = {"EDGE_INSPECTOR_UI_USER": USER, "EDGE_INSPECTOR_UI_PASSWORD_HASH": hash_password(PASSWORD)}
    dashboard = node_red(broker.port, **login)
    with Station(broker.port) as station:
        station.health()
        until(lambda: dashboard.status("/dashboard/line", Authorization=LOGIN) == 200, "the login works")
        yield dashboard, station


def test_without_the_password_there_is_no_page_no_picture_and_no_socket(guarded: tuple[NodeRed, Station]) -> None:
    """The dashboard's socket is behind the same login as its pages, which Node-RED's own login does not do."""
    dashboard, station = guarded
    wrong = "Basic " + base64.b64encode(f"{USER}:guess".encode()).decode()
    for path in ("/", "/dashboard", "/dashboard/line", "/dashboard/_setup", "/operator", f"/picture/{station.name}/x"):
        assert dashboard.status(path) == 401
        assert dashboard.status(path, Authorization=wrong) == 401
    for headers in ({}, {"Authorization": wrong}, {"Authorization": "Basic !"}, {"Authorization": "Bearer x"}):
        socket = Socket(dashboard.origin, **headers)

        assert "unauthorized" in socket.enter()
        try:
            socket.press(station.name)
        except urllib.error.HTTPError as refused:
            refused.close()

    insider = Socket(dashboard.origin, Authorization=LOGIN)
    assert "unauthorized" not in insider.enter()
    insider.press(station.name)
    until(lambda: station.heard, "the insider's command")
    assert len(station.heard) == 1


def test_a_page_of_another_origin_cannot_press_buttons(guarded: tuple[NodeRed, Station]) -> None:
    """A browser sends the operator's login along with any page's requests; the socket looks where the page is from."""
    dashboard, _ = guarded

    assert "other origin" in Socket(dashboard.origin, Authorization=LOGIN, Origin="http://evil.example").enter()
    assert "other origin" in Socket(dashboard.origin, Authorization=LOGIN, Origin="null").enter()


def test_with_the_password_the_page_works(browser: Browser, guarded: tuple[NodeRed, Station]) -> None:
    """Logged in, the operator sees parts and pictures."""
    dashboard, station = guarded
    context = browser.new_context(http_credentials={"username": USER, "password": PASSWORD})
    page = context.new_page()
    page.goto(dashboard.url)
    page.locator(".ei-station").wait_for()
    part = station.part("NG", ((700, 300, 130, 70),))

    expect(page.get_by_test_id("picture")).to_have_attribute("data-id", part["id"])
    context.close()


def test_there_is_no_editor_and_no_debug_door(dashboard: NodeRed) -> None:
    """A factory PC shows the dashboard and nothing else."""
    for path in (
        "/editor",
        "/flows",
        "/nodes",
        "/settings",
        "/auth/token",
        "/red/red.js",
        "/dashboard/_debug/datastore/ei_page_line",
    ):
        assert dashboard.status(path) == 404
    assert dashboard.status("/") == 200  # leads to the line page


def test_the_editor_asks_for_its_own_password(broker: Mosquitto, node_red: Callable[..., NodeRed]) -> None:
    """Where a plant wants the editor, it is behind a login."""
    dashboard = node_red(broker.port, EDGE_INSPECTOR_UI_EDITOR_HASH=hash_password(PASSWORD))

    assert dashboard.status("/editor/flows") == 401
    assert dashboard.status("/dashboard/line") == 200


def test_the_broker_login_comes_from_the_environment(tmp_path: Path, node_red: Callable[..., NodeRed]) -> None:
    """The password is in no file of the repository, and a wrong one leads nowhere."""
    passwords = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(passwords), "dashboard", PASSWORD], check=True, capture_output=True
    )
    passwords.chmod(0o600)
    with Mosquitto(tmp_path / "closed", f"allow_anonymous false\npassword_file {passwords}") as broker:
        user = {"EDGE_INSPECTOR_MQTT_USER": "dashboard"}
        good = node_red(broker.port, **user, EDGE_INSPECTOR_MQTT_PASSWORD=PASSWORD)
        bad = node_red(broker.port, **user, EDGE_INSPECTOR_MQTT_PASSWORD=PASSWORD[::-1])

        until(lambda: "Connected to broker" in good.log.read_text(), "the dashboard's login is accepted")
        assert "Connected to broker" not in bad.log.read_text()


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, Path]:
    """A plant's authority and what it signed for the broker and the dashboard, and a stranger's."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    files = {name: tmp_path / name for name in ("plant.crt", "plant.key", "stranger.crt", "stranger.key")}
    for owner in ("plant", "stranger"):
        make = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={owner} -keyout {owner}.key -out {owner}.crt"
        subprocess.run([openssl, *make.split()], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for who in ("broker", "dashboard"):
        ask = f"req -newkey rsa:2048 -nodes -subj /CN={who} -keyout {who}.key -out {who}.csr"
        signer = "-CA plant.crt -CAkey plant.key -CAcreateserial -extfile names"
        sign = f"x509 -req -in {who}.csr {signer} -days 2 -out {who}.crt"
        for step in (ask, sign):
            subprocess.run([openssl, *step.split()], cwd=tmp_path, check=True, capture_output=True)
        files |= {f"{who}.crt": tmp_path / f"{who}.crt", f"{who}.key": tmp_path / f"{who}.key"}
    return files


def test_only_the_plants_own_broker_is_spoken_to(
    tmp_path: Path, node_red: Callable[..., NodeRed], certificates: dict[str, Path]
) -> None:
    """With a CA the connection is TLS, the broker must be signed by it, and the dashboard shows its own certificate."""
    files = {name: str(path) for name, path in certificates.items()}
    own = {"EDGE_INSPECTOR_MQTT_CERT": files["dashboard.crt"], "EDGE_INSPECTOR_MQTT_KEY": files["dashboard.key"]}
    tls = f"cafile {files['plant.crt']}\ncertfile {files['broker.crt']}\nkeyfile {files['broker.key']}\n"
    with Mosquitto(tmp_path / "tls", tls + "allow_anonymous true\nrequire_certificate true") as broker:
        good = node_red(broker.port, **own, EDGE_INSPECTOR_MQTT_CA=files["plant.crt"])
        trusts_another = node_red(broker.port, **own, EDGE_INSPECTOR_MQTT_CA=files["stranger.crt"])
        shows_nothing = node_red(broker.port, EDGE_INSPECTOR_MQTT_CA=files["plant.crt"])

        until(lambda: "Connected to broker" in good.log.read_text(), "the TLS connection")
        for refused in (trusts_another, shows_nothing):
            until(lambda refused=refused: "Connection failed" in refused.log.read_text(), "the refusal")  # type: ignore[misc]
            assert "Connected to broker" not in refused.log.read_text()


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"EDGE_INSPECTOR_UI_USER": "operator"}, "expected both or neither"),
        ({"EDGE_INSPECTOR_UI_USER": "operator", "EDGE_INSPECTOR_UI_PASSWORD_HASH": "plain"}, "not a bcrypt hash"),
        ({"EDGE_INSPECTOR_UI_HOST": "0.0.0.0"}, "opens the dashboard to the network"),
    ],
)
def test_an_open_door_is_refused_at_start(environment: dict[str, str], complaint: str) -> None:
    """A half-made login does not start a dashboard without one."""
    command = ["node", "-e", "require('./settings.js')"]
    ended = subprocess.run(
        command, cwd=NODERED, env=os.environ | environment, capture_output=True, text=True, check=False
    )

    assert ended.returncode != 0
    assert complaint in ended.stderr
