"""What an instance's unit is allowed beyond the common one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_inspector.errors import SettingsError
from edge_inspector.line.setup.dropin import drop_in, obstacles
from edge_inspector.settings import Settings

PASSWORD_FILE = "/etc/edge-inspector/pw"  # noqa: S105 - a place
UNIT = Path(__file__).parents[3] / "systemd" / "edge-inspector@.service"


def a_station(path: str | Path = "/srv/camera/press-1", **source: object) -> Settings:
    """Return settings of a station that watches a folder."""
    station = {
        "name": "st1",
        "source": {"kind": "folder", "path": path, **source},
        "part": [{"name": "washer", "bundle": "/etc/edge-inspector/bundles/washer"}],
    }
    return Settings(station=[station])  # type: ignore[list-item]


def with_mqtt(**mqtt: object) -> Settings:
    """Return settings with a broker of its own."""
    return Settings(**{**a_station().model_dump(), "mqtt": mqtt})


def test_the_camera_folder_may_be_written() -> None:
    """A folder that is away at boot (a share) makes the station DEGRADED, not the service fail."""
    assert "ReadWritePaths=-/srv/camera/press-1" in drop_in(a_station()).splitlines()


def test_done_elsewhere_may_be_written_too() -> None:
    """What is moved there must arrive there."""
    lines = drop_in(a_station(done="/srv/camera/done")).splitlines()

    assert "ReadWritePaths=-/srv/camera/done" in lines


def test_a_folder_that_is_only_read_stays_read_only() -> None:
    """`after = keep` is for shares that nobody may change."""
    assert "ReadWritePaths" not in drop_in(a_station(after="keep"))


def test_secrets_come_as_credentials() -> None:
    """Files that root alone can read reach the service, and the settings find them where systemd puts them."""
    tls = {"ca": "/etc/edge-inspector/ca.crt", "key": "/etc/edge-inspector/st.key"}
    lines = drop_in(with_mqtt(password_file=PASSWORD_FILE, tls=tls)).splitlines()

    assert "LoadCredential=mqtt-password:/etc/edge-inspector/pw" in lines
    assert "Environment=EDGE_INSPECTOR_MQTT__PASSWORD_FILE=%d/mqtt-password" in lines
    assert "LoadCredential=mqtt-key:/etc/edge-inspector/st.key" in lines
    assert "Environment=EDGE_INSPECTOR_MQTT__TLS__KEY=%d/mqtt-key" in lines


@pytest.mark.parametrize(
    "path", ["/srv/a b", "/srv/a\nExecStartPre=/bin/rm", "/srv/%i", "/srv/a:b", '/srv/"a"', "relative", "/srv/é\u2028"]
)
def test_a_path_that_is_more_than_a_path_is_refused(path: str) -> None:
    """A unit file runs as root: nothing from settings becomes a second line of it."""
    with pytest.raises(SettingsError, match="rename it"):
        drop_in(a_station(path))


@pytest.mark.parametrize("path", ["/home/ftp/in", "/tmp/in", "/root/in", "/run/user/1000/in"])  # noqa: S108
def test_a_path_that_the_service_cannot_see_is_refused(path: str) -> None:
    """ProtectHome and PrivateTmp hide it; better said now than DEGRADED later."""
    with pytest.raises(SettingsError, match="sees nothing below"):
        drop_in(a_station(path))


def test_the_folder_s_group_comes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FTP and SMB folders belong to others; their group is how the service comes in."""
    inbox = tmp_path / "in"
    inbox.mkdir()
    monkeypatch.setattr("edge_inspector.line.setup.dropin._HIDDEN", ())
    if os.geteuid() != 0:
        pytest.skip("only root gives a folder to another group")
    os.chown(inbox, -1, 50)  # `staff` on every Debian
    inbox.chmod(0o2770)

    assert "SupplementaryGroups=staff" in drop_in(a_station(inbox)).splitlines()
    assert list(obstacles(a_station(inbox))) == []

    inbox.chmod(0o2750)

    assert "closed to its group staff: chmod 2770" in next(iter(obstacles(a_station(inbox))))


def test_a_folder_that_is_missing_is_an_obstacle(tmp_path: Path) -> None:
    """Said at installation."""
    assert "is not there" in next(iter(obstacles(a_station(tmp_path / "none"))))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_unit_and_drop_in(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say."""
    unit = tmp_path / "edge-inspector@press-1.service"
    unit.write_text(UNIT.read_text().replace("/opt/edge-inspector/current/bin/edge-inspector", "/bin/true"))
    folder = tmp_path / f"{unit.name}.d"
    folder.mkdir()
    (folder / "station.conf").write_text(drop_in(with_mqtt(password_file=PASSWORD_FILE)))
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stderr) == (0, "")
