"""One file says what a daemon does; a typing error in it is found before a part is judged."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from edge_inspector.errors import SettingsError
from edge_inspector.settings import (
    CameraSettings,
    CaptureSettings,
    FolderSettings,
    MqttSettings,
    PoolSettings,
    Settings,
    TlsSettings,
    read_camera_settings,
    read_settings,
)

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.toml"))
STATION = """
[[station]]
name = "st1"
[station.source]
kind = "folder"
path = "in"
[[station.part]]
name = "washer"
bundle = "bundles/washer"
"""


POOLED = STATION.replace('kind = "folder"\npath = "in"', 'kind = "mqtt"\npool = "press"')
CAMERA = """
name = "cam-1"
pool = "press"
[source]
kind = "folder"
path = "in"
"""


def written(folder: Path, text: str) -> Path:
    """Write a settings file and return it."""
    (folder / "settings.toml").write_text(text, encoding="utf-8")
    return folder / "settings.toml"


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the sections that a key can hold: of tuples, unions and annotated types too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def keys_of(section: str) -> set[str]:
    """Return the keys that may stand in a section, such as `station.source`."""
    models: list[type[BaseModel]] = [Settings]
    for step in filter(None, section.split(".")):
        fields = [model.model_fields[step] for model in models if step in model.model_fields]
        models = [found for field in fields for found in models_in(field.annotation)]
    return {key for model in models for key in model.model_fields}


def test_a_station_needs_a_name_a_source_and_a_part(tmp_path: Path) -> None:
    """Everything else has a default."""
    settings = read_settings(written(tmp_path, STATION))
    (station,) = settings.station

    assert (station.name, station.deadline_ms, station.queue, station.thumbs) == ("st1", 2000, 16, "all")
    assert settings.mqtt == MqttSettings()
    assert settings.state_dir == Path("/var/lib/edge-inspector")


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to where somebody stood when the daemon was started; absolute ones stay."""
    extra = '[mqtt]\npassword_file = "secret"\n[mqtt.tls]\nca = "/etc/ca.pem"\n'
    file = written(tmp_path, f'state_dir = "state"\n{STATION}{extra}')
    monkeypatch.chdir("/")
    settings = read_settings(file)
    source = settings.station[0].source

    assert isinstance(source, FolderSettings)
    assert source.path == tmp_path / "in"
    assert settings.station[0].part[0].bundle == tmp_path / "bundles" / "washer"
    assert settings.state_dir == tmp_path / "state"
    assert settings.mqtt.password_file == tmp_path / "secret"
    assert settings.mqtt.tls == TlsSettings(ca=Path("/etc/ca.pem"))


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value is changed, its neighbours in the file stay."""
    monkeypatch.setenv("EDGE_INSPECTOR_MQTT__HOST", "broker.example")
    monkeypatch.setenv("EDGE_INSPECTOR_STATE_DIR", "/srv/state")
    settings = read_settings(written(tmp_path, f'{STATION}\n[mqtt]\nhost = "file.example"\nport = 8883\n'))

    assert (settings.mqtt.host, settings.mqtt.port) == ("broker.example", 8883)
    assert settings.state_dir == Path("/srv/state")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("EDGE_INSPECTOR_MQTT__HOSTT", "x", "EDGE_INSPECTOR_MQTT__HOSTT: .*did you mean `EDGE_INSPECTOR_MQTT__HOST`"),
        ("EDGE_INSPECTOR_MTQT__HOST", "x", "EDGE_INSPECTOR_MTQT__HOST: .*did you mean `EDGE_INSPECTOR_MQTT__HOST`"),
        ("EDGE_INSPECTOR_MQTT_HOST", "x", "EDGE_INSPECTOR_MQTT_HOST: .*did you mean `EDGE_INSPECTOR_MQTT__HOST`"),
        ("EDGE_INSPECTOR_MQTT__PASSWORD", "sesame", "did you mean `EDGE_INSPECTOR_MQTT__PASSWORD_FILE`"),
        ("EDGE_INSPECTOR_STATION__0__NAME", "x", "no setting has this name"),
        ("EDGE_INSPECTOR_MQTT__PORT", "many", r"mqtt\.port: expected a whole number, found 'many'"),
        ("EDGE_INSPECTOR_MQTT__PORT", "", r"mqtt\.port: expected a whole number, found ''"),
        ("EDGE_INSPECTOR_STATION", "not a list", "expected JSON"),
        ("EDGE_INSPECTOR_MQTT", "{", "expected JSON"),
        ("EDGE_INSPECTOR_MQTT", '{"prot": 1}', "mqtt: unknown setting `prot`, did you mean `port`"),
        ("edge_inspector_mqtt__prot", "1", "EDGE_INSPECTOR_MQTT__PROT: .*did you mean `EDGE_INSPECTOR_MQTT__PORT`"),
    ],
)
def test_a_wrong_environment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    """With one line that names the variable, never its value where that may be secret, and does not blame the file."""
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=words) as caught:
        read_settings(written(tmp_path, STATION))
    assert str(caught.value).startswith(f"environment variable {name.upper()}: ")
    assert "settings.toml" not in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_an_error_of_the_file_does_not_blame_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that tells another key of the section has nothing to do with it."""
    monkeypatch.setenv("EDGE_INSPECTOR_MQTT", '{"host": "h"}')
    file = written(tmp_path, f"{STATION}\n[mqtt]\nport = 0\n")

    with pytest.raises(SettingsError, match=rf"^{re.escape(str(file))}: mqtt\.port: expected 1 or more, found 0$"):
        read_settings(file)


def test_the_dashboard_s_variables_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may share one environment among both."""
    monkeypatch.setenv("EDGE_INSPECTOR_UI_LANGUAGE", "de")

    assert read_settings(written(tmp_path, STATION)).station


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(STATION.encode("utf-8-sig"), id="UTF-8 with BOM"),
        pytest.param(STATION.replace("\n", "\r\n").encode("utf-16"), id="UTF-16 with BOM"),
        pytest.param(STATION.encode() + b"\0\0", id="NULs at the end"),
    ],
)
def test_a_file_that_windows_saved_is_read(tmp_path: Path, content: bytes) -> None:
    """Notepad puts a mark in front that nobody sees."""
    (tmp_path / "settings.toml").write_bytes(content)

    assert read_settings(tmp_path / "settings.toml").station[0].name == "st1"


@pytest.mark.parametrize(
    ("content", "words"),
    [(STATION.encode("utf-16-le"), "UTF-16"), (b'name = "Geh\xe4use"', "byte 12 is not UTF-8: saved as ANSI")],
)
def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    """Which code page it was nobody can know."""
    (tmp_path / "settings.toml").write_bytes(content)

    with pytest.raises(SettingsError, match=f"settings.toml is not TOML: .*{words}"):
        read_settings(tmp_path / "settings.toml")


def test_a_part_s_name_has_one_spelling(tmp_path: Path) -> None:
    """A Mac writes the umlaut as two characters."""
    text = STATION.replace("washer", unicodedata.normalize("NFD", "Gehäuse"))

    assert read_settings(written(tmp_path, text)).station[0].part[0].name == unicodedata.normalize("NFC", "Gehäuse")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1\n" + STATION, "unknown setting `colour`"),
        (STATION + "[mqtt]\nprot = 1883\n", "mqtt: unknown setting `prot`, did you mean `port`"),
        (STATION.replace('path = "in"', 'path = "in"\nsettle = 5'), "source: .*`settle`, did you mean `settle_ms`"),
        (STATION.replace('name = "st1"', 'name = "st 1"'), r"station 1, name: .*no space"),
        (STATION.replace('name = "washer"', 'name = "a/b"'), r"station 1, part 1, name: .*expected 1 to 64"),
        (
            STATION.replace('kind = "folder"', 'kind = "usb"'),
            "source: .*'folder', .*, found 'usb'",
        ),
        (STATION.replace('path = "in"', ""), r"station 1, source\.path: is missing"),
        (STATION + "[mqtt]\nport = 70000\n", r"mqtt\.port: expected 65535 or less, found 70000"),
        (STATION + '[mqtt]\nport = "1883x"\n', r"mqtt\.port: expected a whole number, found '1883x'"),
        (STATION + '[mqtt]\nlegacy = "perhaps"\n', r"mqtt\.legacy: expected true or false, found 'perhaps'"),
        (STATION + "[mqtt]\nhost = 7\n", r"mqtt\.host: expected text, found 7"),
        (STATION + "[mqtt]\nusername = 12345\n", r"mqtt\.username: expected text, found \(hidden\)"),
        (STATION.replace('kind = "folder"\n', ""), r"station 1, source\.kind: is missing"),
        ("mqtt = 5\n" + STATION, "mqtt: expected a table, found 5"),
        (STATION + "[mqtt]\nprot = 1\nhots = 2\n", "`prot`, did you mean `port`.*`hots`, did you mean `host`"),
        (STATION + "[mqtt]\nversion = 3\n", r"mqtt\.version: "),
        (STATION + '[mqtt]\nroot = "acme/+/line3"\n', r"mqtt\.root: .*topic root level"),
        (STATION.replace('path = "in"', 'path = "in"\nname_pattern = "(?P<number>.*)"'), "expected named groups"),
        (STATION.replace('path = "in"', 'path = "in"\nname_pattern = ".*"'), "expected named groups"),
        (STATION.replace('path = "in"', 'path = "in"\nname_pattern = "(?P<serial>"'), "name_pattern"),
        (STATION + STATION, "two stations have the same name: st1, st1"),
        (STATION + STATION.replace("st1", "st2"), "two stations watch the same folder"),
        (STATION + '[[station.part]]\nname = "washer"\nbundle = "other"\n', "two parts have the same name: washer"),
        ("[mqtt]\nport = 1883\n", "station: is missing"),
        (POOLED.replace('pool = "press"', 'pool = "a/b"'), r"source\.pool: .*no space"),
        (POOLED.replace('pool = "press"', "max_mb = 1"), r"source\.pool: is missing"),
        (POOLED + "[mqtt]\nversion = 4\n", "needs mqtt.version = 5"),
        (POOLED + '[[station.part.view]]\nname = "a"\n[[station.part.view]]\nname = "b"\n', "views need a folder"),
        ("station = []\n", "station: "),
        ("[[station\n", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    """File, key and what was expected, in one line."""
    file = written(tmp_path, text)

    with pytest.raises(SettingsError, match=f"(?s){re.escape(str(file))}.*{words}"):
        read_settings(file)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    """Also a folder given by mistake."""
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')

    with pytest.raises(SettingsError, match="No such file"):
        read_settings(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="Is a directory"):
        read_settings(tmp_path)
    with pytest.raises(SettingsError, match="is not TOML"):
        read_settings(tmp_path / "latin.toml")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_a_settings_file_of_ours_is_valid(config: Path) -> None:
    """What is copied from here starts."""
    assert read_settings(config).station


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_every_key_that_a_settings_file_of_ours_shows_exists(config: Path) -> None:
    """Keys that are commented out too: taking the # away must not stop the daemon."""
    section, unknown = "", []
    for line in config.read_text(encoding="utf-8").splitlines():
        header = re.match(r"#?\s*\[+([a-z_.]+)\]+\s*(#.*)?$", line)
        key = re.match(r"#?\s*([a-z_]+) = ", line)
        if header:
            section = header[1]
        elif key and key[1] not in keys_of(section):
            unknown.append(f"[{section}] {key[1]}")

    assert not unknown


@pytest.mark.parametrize(
    ("device", "anchored"),
    [
        ("belt.avi", True),
        ("clips/belt.avi", True),
        ("0", False),
        ("/dev/video0", False),
        ("rtsp://10.0.0.7/main", False),
    ],
)
def test_a_video_file_is_beside_the_settings(tmp_path: Path, device: str, *, anchored: bool) -> None:
    """Like every other relative path; a camera's number and a URL are none."""
    text = STATION.replace('kind = "folder"\npath = "in"', f'kind = "capture"\ndevice = "{device}"')
    source = read_settings(written(tmp_path, text)).station[0].source

    assert isinstance(source, CaptureSettings)
    assert source.device == (str(tmp_path / device) if anchored else device)


@pytest.mark.parametrize("region", ["[0, 0, 4, 4]", "[-1, 0, 100, 100]", "[0, 0, 100]"])
def test_a_region_must_be_one(tmp_path: Path, region: str) -> None:
    """Found before the camera is opened."""
    keys = f'kind = "capture"\ndevice = "0"\nregion = {region}'
    with pytest.raises(SettingsError, match="region"):
        read_settings(written(tmp_path, STATION.replace('kind = "folder"\npath = "in"', keys)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CAMERA.replace('pool = "press"', ""), "pool: is missing"),
        (CAMERA + "[mqtt]\nversion = 4\n", "a camera needs mqtt.version = 5"),
        (CAMERA + 'after = "keep"\n', "after = move or delete"),
        (CAMERA.replace('kind = "folder"\npath = "in"', 'kind = "capture"\ndevice = "0"\ntrigger = "mqtt"'), "no PLC"),
        (
            CAMERA.replace('kind = "folder"\npath = "in"', 'kind = "mqtt"\npool = "press"'),
            "source: .*'folder'.*'capture'",
        ),
        ("resend_s = 0\n" + CAMERA, "resend_s: "),
        ('station = "st1"\n' + CAMERA, "unknown setting `station`"),
    ],
)
def test_what_is_wrong_with_a_camera_s_settings_is_named(tmp_path: Path, text: str, words: str) -> None:
    """As with a daemon's."""
    with pytest.raises(SettingsError, match=words):
        read_camera_settings(written(tmp_path, text))


def test_the_example_of_a_pool_starts() -> None:
    """A camera and two workers of one pool, with names of their own, told alike what to judge."""
    folder = CONFIGS[0].parent / "pool"
    camera = read_camera_settings(folder / "camera.toml")
    workers = [read_settings(folder / f"worker-{number}.toml").station[0] for number in (1, 2)]

    assert [worker.source for worker in workers] == [PoolSettings(kind="mqtt", pool=camera.pool)] * 2
    assert workers[0].part == workers[1].part
    assert workers[0].name != workers[1].name
    for key, field in CameraSettings.model_fields.items():
        value = getattr(camera, key)
        assert field.is_required() or key == "source" or value == field.default


@pytest.mark.parametrize(
    ("device", "shown"),
    [
        ("0", "0"),
        ("/dev/video0", "/dev/video0"),
        ("rtsp://10.0.0.5:554/stream/1", "rtsp://10.0.0.5:554/stream/1"),
        ("http://[fe80::1]:8080/video", "http://[fe80::1]:8080/video"),
        ("rtsp://admin:5ecret@cam/s", "rtsp://(hidden)@cam/s"),
        ("rtsp://admin:it's 5ecret@cam/s", "rtsp://(hidden)@cam/s"),
        ("rtsp://admin:5e@cret@cam:554/s", "rtsp://(hidden)@cam:554/s"),
        ("rtsp://admin:5e/cret@cam/s", "rtsp://(hidden)@cam/s"),
        ("rtsp://admin:5e?cret@cam/s", "rtsp://(hidden)"),
        ("rtsp://ad@min:5e?cr@et@cam/s", "rtsp://(hidden)"),
        ("rtsp://admin:5e#cret@cam/s", "rtsp://(hidden)"),
        ("http://cam/video.cgi?user=admin&pwd=5ecret", "http://cam/video.cgi"),
        ("http://cam/video.cgi?user=a@b&pwd=5ecret", "http://(hidden)"),
        ("http://cam/video#5ecret", "http://cam/video"),
        ("rtsp://cam/user=admin&password=5ecret&channel=1/s", "rtsp://cam/(hidden)/s"),
        ("rtsp://5ecret 5ecret/s", "rtsp://(hidden)"),
        ("http://[5ecret/s", "http://(hidden)"),
        ("http://", "http://(hidden)"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(device: str, shown: str) -> None:
    """Scheme, host, port and path; what cannot be told apart is hidden with the rest."""
    assert CaptureSettings(kind="capture", device=device).shown == shown
    assert not any(secret in shown for secret in ("5ec", "5e", "cret", "admin"))
