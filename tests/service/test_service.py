"""The technician's afternoon: an empty machine, README's commands, and a service that can be left alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import until
from factories import a_part, png, write_parts
from machine import INSTALL_S, Machine, NoMachineError

from edge_inspector.bundle import Bundle

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
STICK = "/media/stick"
UNIT = "edge-inspector@press-1"
CONFIG = "/etc/edge-inspector/press-1.toml"
INSTALLER = "/opt/edge-inspector/current/systemd/install.sh"
WATCHDOG_S = 6
SECRET = "correct-horse-battery-staple"  # noqa: S105 - looked for where it must not be

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Path:
    """Give what a technician carries: the offline folder, a bundle trained elsewhere, good images it never saw."""
    folder = tmp_path_factory.mktemp("stick")
    offline = folder / "edge-inspector-offline"
    made = os.environ.get("EDGE_INSPECTOR_OFFLINE_BUNDLE")  # spares two minutes to who works on this test
    if made:
        shutil.copytree(made, offline)
    else:
        words = [REPOSITORY / "systemd" / "offline-bundle.sh", offline]
        environment = {**os.environ, "PYTHON": sys.executable}
        found = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr[-2000:]
    shutil.copytree(bundle.path, folder / "bundles" / "bracket")
    write_parts(folder / "good", 60, first=5000)
    (folder / "ng.png").write_bytes(png(a_part(7001, scratched=True)))
    return folder


@pytest.fixture(scope="module")
def machine(stick: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Give a machine on which README's commands were run, and nothing else."""
    try:
        with Machine(tmp_path_factory.mktemp("machine"), {stick: STICK}) as machine:
            machine.run(" && ".join(readme_commands()), seconds=INSTALL_S)
            yield machine
    except NoMachineError as error:
        pytest.skip(str(error))


def readme_commands() -> list[str]:
    """Return the commands of README's ten-minute path; in the machine we are root already."""
    block = re.search(r"<!-- service: [^\n]*-->\n```\n(.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    return [line.removeprefix("sudo ") for line in block[1].splitlines()]


def drop(machine: Machine, serial: str, *, scratched: bool = False) -> None:
    """Put an image into the inbox as an FTP server does: of another user, readable by the folder's group."""
    inbox = machine.root / "srv/camera/press-1"
    part = inbox.with_name(f"{serial}.part")
    part.write_bytes(png(a_part(int(re.sub(r"\D", "", serial)), scratched=scratched)))
    part.chmod(0o640)
    os.chown(part, 1500, inbox.stat().st_gid)
    part.rename(inbox / f"{serial}.png")


def retained(machine: Machine, topic: str, login: str = "None") -> Any:  # noqa: ANN401 - JSON
    """Return what the broker in the machine keeps on a topic of the station; None where nothing is."""
    program = (
        f"import paho.mqtt.subscribe as s; "
        f"print(s.simple('edge-inspector/v1/press-1/{topic}', hostname='127.0.0.1', auth={login}).payload.decode())"
    )
    found = machine.run(f'timeout 5 /opt/edge-inspector/current/bin/python -c "{program}"', check=False)
    return json.loads(found.stdout) if found.returncode == 0 and found.stdout.strip() else None


def verdict_of(machine: Machine, serial: str, login: str = "None") -> str:
    """Return the verdict of the part that was dropped last, when it is there."""

    def look() -> str:
        result = retained(machine, "last/result", login)
        return str(result["verdict"]) if result and result["serial"] == serial else ""

    return until(look, f"a verdict of {serial}")


def restarts(machine: Machine) -> int:
    """Return how often systemd has started the service again."""
    return int(machine.show(UNIT, "NRestarts")["NRestarts"])


def versions(machine: Machine) -> tuple[str, ...]:
    """Return the versions that are installed."""
    return tuple(sorted(path.name for path in (machine.root / "opt/edge-inspector").glob("[0-9]*")))


def current(machine: Machine) -> str:
    """Return the version that runs."""
    return str((machine.root / "opt/edge-inspector/current").readlink())


@pytest.fixture
def watchful(machine: Machine) -> Iterator[None]:
    """Have systemd wait for seconds, not for half a minute, before it calls the service stuck."""
    place = f"/run/systemd/system/{UNIT}.service.d"
    machine.run(f"mkdir -p {place} && printf '[Service]\\nWatchdogSec={WATCHDOG_S}\\n' >{place}/watchdog.conf")
    machine.run(f"systemctl daemon-reload && systemctl restart {UNIT}")
    yield
    machine.run(f"rm {place}/watchdog.conf && systemctl daemon-reload && systemctl restart {UNIT}")


def test_readme_s_commands_end_with_a_service_that_judges(machine: Machine) -> None:
    """Ready, locked down, and a good and a scratched part of somebody else's files get their verdicts."""
    drop(machine, "good7000")
    good = verdict_of(machine, "good7000")
    drop(machine, "bad7001", scratched=True)
    bad = verdict_of(machine, "bad7001")
    until(lambda: machine.show(UNIT, "StatusText")["StatusText"].startswith("press-1 R"), "STATUS says how it is")
    state = machine.show(UNIT, "ActiveState", "DynamicUser", "NRestarts")

    assert (good, bad) == ("OK", "NG")
    assert state["ActiveState"] == "active"
    assert (state["DynamicUser"], state["NRestarts"]) == ("yes", "0")
    assert not list((machine.root / "srv/camera/press-1").glob("*.png"))


def test_the_machine_has_neither_torch_nor_network(machine: Machine) -> None:
    """What was installed came from the stick alone, and it is lean."""
    devices = machine.run("tail -n +3 /proc/net/dev").stdout
    torch = machine.run("/opt/edge-inspector/current/bin/python -c 'import torch'", check=False)
    packages = machine.run("/opt/edge-inspector/current/bin/pip list --format json").stdout
    size_mb = int(machine.run("du -sm /opt/edge-inspector/current/").stdout.split()[0])

    assert [line.split(":")[0].strip() for line in devices.splitlines()] == ["lo"]
    assert "No module named 'torch'" in torch.stderr
    assert len(json.loads(packages)) <= 26
    assert size_mb < 600


def test_the_service_is_locked_down_where_it_runs(machine: Machine) -> None:
    """Systemd's own figure, of the unit with its drop-in."""
    said = machine.run(f"systemd-analyze security --no-pager {UNIT} | tail -n 1").stdout
    found = re.search(r"([\d.]+) OK", said)

    assert found is not None, said
    assert float(found[1]) <= 1.7


def test_a_pc_without_torch_can_check_inspect_and_calibrate(machine: Machine) -> None:
    """Settings and broker are in order; a bad part is a finding; a new threshold needs no training PC."""
    machine.run(f"edge-inspector check --config {CONFIG}")
    inspected = machine.run(f"edge-inspector inspect {STICK}/bundles/bracket {STICK}/ng.png --json", check=False)
    machine.run(f"edge-inspector calibrate {STICK}/bundles/bracket --ok {STICK}/good --out /var/tmp/again", seconds=120)

    assert inspected.returncode == 1
    assert json.loads(inspected.stdout)[0]["verdict"] == "NG"
    assert (machine.root / "var/tmp/again/manifest.json").is_file()


@pytest.mark.usefixtures("watchful")
def test_a_stuck_process_is_killed_and_started_again(machine: Machine) -> None:
    """Systemd hears nothing for as long as its watchdog waits, and the next part is judged by a new process."""
    before = machine.show(UNIT, "MainPID")["MainPID"]
    machine.run(f"kill -STOP {before}")
    until(lambda: restarts(machine) == 1, "systemd starts the service again", WATCHDOG_S + 30)
    until(lambda: machine.show(UNIT, "ActiveState")["ActiveState"] == "active", "it is ready")
    drop(machine, "after7002")

    assert verdict_of(machine, "after7002") == "OK"
    assert machine.show(UNIT, "MainPID")["MainPID"] != before
    assert "Watchdog timeout" in machine.run(f"journalctl -u {UNIT} --no-pager").stdout


@pytest.mark.usefixtures("watchful")
def test_a_dead_broker_does_not_restart_the_service(machine: Machine) -> None:
    """Away for twice the watchdog's time; a part is judged meanwhile, and told when the broker is back."""
    before = machine.show(UNIT, "MainPID", "NRestarts")
    machine.run("systemctl stop mosquitto")
    away_since = time.monotonic()
    drop(machine, "away7003")
    until(lambda: list((machine.root / "srv/camera/press-1/.done").rglob("*away7003*")), "it is judged")
    until(lambda: time.monotonic() - away_since > 2 * WATCHDOG_S, "the broker was away for long")
    machine.run("systemctl start mosquitto")

    assert verdict_of(machine, "away7003") == "OK"
    assert machine.show(UNIT, "MainPID", "NRestarts") == before


@pytest.fixture
def login(machine: Machine) -> Iterator[str]:
    """Have the broker ask for a password that a file of root's holds; give what a subscriber needs to know."""
    machine.run(
        f"mosquitto_passwd -b -c /etc/mosquitto/passwords inspector {SECRET};chown mosquitto /etc/mosquitto/passwords;"
        "printf 'listener 1883 127.0.0.1\\nallow_anonymous false\\npassword_file /etc/mosquitto/passwords\\n'"
        " >/etc/mosquitto/conf.d/login.conf; systemctl restart mosquitto;"
        f"install -m 600 /dev/null /etc/edge-inspector/press-1.mqtt-password;"
        f"printf %s {SECRET} >/etc/edge-inspector/press-1.mqtt-password;"
        f'printf \'username = "inspector"\\npassword_file = "press-1.mqtt-password"\\n\' >>{CONFIG};'
        f"{INSTALLER} stations && systemctl restart {UNIT}"
    )
    yield f"dict(username='inspector', password='{SECRET}')"
    machine.run(f"sed -i '/^username/d; /^password_file/d' {CONFIG}; rm /etc/mosquitto/conf.d/login.conf")
    machine.run(f"systemctl restart mosquitto; {INSTALLER} stations && systemctl restart {UNIT}")


def test_the_password_comes_as_a_credential_and_is_nowhere_else(machine: Machine, login: str) -> None:
    """The broker asks for it; the file is root's; log, environment, command line and an exported station lack it."""
    drop(machine, "login7004")
    verdict = verdict_of(machine, "login7004", login)
    pid = machine.show(UNIT, "MainPID")["MainPID"]
    seen = machine.run(
        f"cat /proc/{pid}/environ /proc/{pid}/cmdline; journalctl --no-pager; systemctl show {UNIT};"
        f"edge-inspector check --config {CONFIG} --json; edge-inspector station export /srv/s --config {CONFIG};"
        "/usr/bin/python3 -m zipfile -e /srv/s /srv/exported; cat /srv/exported/station.toml;"
        "setpriv --reuid 65534 --clear-groups cat /etc/edge-inspector/press-1.mqtt-password || echo closed"
    ).stdout

    assert verdict == "OK"
    assert "/run/credentials/edge-inspector@press-1.service/mqtt-password" in seen
    assert 'username = "inspector"' in seen
    assert "closed" in seen
    assert SECRET not in seen


def test_a_stop_is_clean_and_a_start_finds_everything_again(machine: Machine) -> None:
    """Systemd sees success; numbering goes on where it was, as the user that systemd makes up."""
    drop(machine, "before7005")
    verdict_of(machine, "before7005")
    last = retained(machine, "last/result")["seq"]
    machine.run(f"systemctl stop {UNIT}")
    stopped = machine.show(UNIT, "Result", "ActiveState")
    machine.run(f"systemctl start {UNIT}")
    drop(machine, "again7006")

    assert verdict_of(machine, "again7006") == "OK"
    assert stopped == {"Result": "success", "ActiveState": "inactive"}
    assert retained(machine, "last/result")["seq"] == last + 1


def test_a_reload_is_refused_or_taken_while_parts_are_judged(machine: Machine) -> None:
    """Settings that are none change nothing but an alarm; the same process judges on, and takes good ones."""
    before = machine.show(UNIT, "MainPID", "NRestarts")
    settings = "/etc/edge-inspector/press-1.toml"
    machine.run(f"cp {settings} /root/kept.toml && echo 'nonsense = 1' >> {settings}")
    machine.run(f"systemctl reload {UNIT}")
    until(lambda: "reload" in retained(machine, "alarms")["active"], "the alarm")
    drop(machine, "reload7007")
    refused = verdict_of(machine, "reload7007")
    machine.run(f"cp /root/kept.toml {settings}")
    machine.run(f"systemctl reload {UNIT}")
    until(lambda: "reload" not in retained(machine, "alarms")["active"], "the alarm is over")
    drop(machine, "reload7008")

    assert (refused, verdict_of(machine, "reload7008")) == ("OK", "OK")
    assert machine.show(UNIT, "MainPID", "NRestarts") == before


def other_version(machine: Machine, name: str, change: str) -> str:
    """Return a folder in the machine with another offline installation, changed by a shell command inside it."""
    place = f"/srv/{name}"
    machine.run(
        f"cp -r {STICK}/edge-inspector-offline {place} && cd {place} && {change} && rm SHA256SUMS &&"
        " (find . -type f -print0 | sort -z | xargs -0 sha256sum) >/tmp/sums && mv /tmp/sums SHA256SUMS"
    )
    return place


def test_upgrade_a_bad_version_rollback_and_uninstall(machine: Machine) -> None:
    """Each leaves a service that judges, the last one leaves the data."""
    first = current(machine)
    machine.run(f"bash {STICK}/edge-inspector-offline/systemd/install.sh", seconds=INSTALL_S)  # again: nothing happens

    assert versions(machine) == (first,)

    newer = other_version(machine, "newer", "echo newer >>CHANGELOG.md")
    machine.run(f"bash {newer}/systemd/install.sh", seconds=INSTALL_S)
    second = current(machine)
    drop(machine, "upgraded7007")

    assert verdict_of(machine, "upgraded7007") == "OK"
    assert set(versions(machine)) == {first, second} != {first}

    bad = other_version(machine, "bad", "sed -i 's#%i.toml#%i.none#' systemd/*@.service")
    failed = machine.run(f"bash {bad}/systemd/install.sh", check=False, seconds=INSTALL_S)
    drop(machine, "kept7008")

    assert failed.returncode == 1
    assert f"went back to {second}" in failed.stderr
    assert verdict_of(machine, "kept7008") == "OK"
    assert current(machine) == second

    machine.run(f"{INSTALLER} rollback")
    drop(machine, "back7009")

    assert current(machine) == first
    assert verdict_of(machine, "back7009") == "OK"

    machine.run(f"{INSTALLER} uninstall")

    assert machine.run(f"systemctl is-active {UNIT}", check=False).stdout.strip() == "inactive"
    assert not (machine.root / "opt/edge-inspector").exists()
    assert not list((machine.root / "etc/systemd/system").rglob("*edge-inspector*"))
    assert (machine.root / CONFIG.lstrip("/")).is_file()
    assert (machine.root / "var/lib/private/edge-inspector/press-1/press-1/ledger.db").is_file()


def test_the_wheels_install_in_a_namespace_without_network(stick: Path, tmp_path: Path) -> None:
    """Also where no machine can be booted: nothing is asked of anybody, and a bundle from elsewhere is run."""
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    wheels = stick / "edge-inspector-offline" / "wheels"
    script = (
        f"{sys.executable} -m venv {tmp_path}/v && {tmp_path}/v/bin/pip install -q --no-index --find-links {wheels}"
        f" 'edge-inspector[metrics]' && cd / && {tmp_path}/v/bin/edge-inspector inspect {stick}/bundles/bracket"
        f" {stick}/ng.png --json"
    )
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        ["unshare", "-n", "bash", "-c", script], capture_output=True, text=True, check=False, env=clean
    )

    assert found.returncode == 1, found.stderr
    assert json.loads(found.stdout)[0]["verdict"] == "NG"
