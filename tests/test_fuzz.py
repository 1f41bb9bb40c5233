"""What comes from outside is taken as it is meant or refused in our own words; nothing crashes, nothing slips in."""

import hashlib
import json
import os
import string
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from factories import a_part, jpeg, png
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_inspector.bundle import MANIFEST, SEAL, Bundle, read_bundle
from edge_inspector.errors import DataError, EdgeInspectorError, SettingsError
from edge_inspector.inspection.header import MAX_PIXELS, UnreadableImageError, read_header
from edge_inspector.inspection.preprocess import decode
from edge_inspector.line.broker.state import _LAST_SEQ, _correlation_in, _parsed
from edge_inspector.line.pool.sender import _result_in
from edge_inspector.line.pool.spool import read_notice
from edge_inspector.line.pool.stamps import NO_IMAGES, StampError, camera_of, read_stamp
from edge_inspector.line.setup.approvals import approvals_file, read_approvals
from edge_inspector.line.setup.portable import import_station
from edge_inspector.line.sources.naming import Names, read_names
from edge_inspector.settings import NAMED, FolderSettings, Settings, read_settings
from edge_inspector.toml import to_toml
from edge_inspector.wire.messages import Command
from edge_inspector.wire.plcword import PlcWord
from edge_inspector.wire.topics import COMMANDS, check_name

EFFORTS = [pytest.param(40, id="few"), pytest.param(3000, id="many", marks=pytest.mark.slow)]
"""Examples for each parser."""

TEXTS = st.text(st.characters(), max_size=30)
"""Lone surrogates too: JSON and file names can hold them."""
FILE_NAMES = st.binary(max_size=30).map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_")))
"""Any bytes, as Python shows them."""
UNICODE = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, 10**30, -1, 0, 1e400])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
RAW = st.binary(max_size=200) | st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5000, b"\xff\xfe{}", b""])


def tried(effort: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Check so many examples."""
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    settings(max_examples=effort, database=None, suppress_health_check=health)(given(strategy)(check))()


def mutated(whole: bytes) -> st.SearchStrategy[bytes]:
    """Return what damage makes of a file: some bytes are others, the end is missing, or something is put in."""
    change = st.tuples(st.integers(0, len(whole) - 1), st.binary(min_size=1, max_size=6), st.booleans())

    def damage(changes: list[tuple[int, bytes, bool]], end: int) -> bytes:
        data = bytearray(whole)
        for at, new, instead in changes:
            data[at : at + len(new) * instead] = new
        return bytes(data[: len(data) - end])

    ends = st.just(0) | st.integers(0, len(whole))
    return st.builds(damage, st.lists(change, min_size=1, max_size=4), ends)


STATION: dict[str, Any] = {
    "state_dir": "state",
    "mqtt": {"host": "h", "port": 1883, "tls": {"ca": "ca"}},
    "station": [
        {
            "name": "st1",
            "source": {"kind": "folder", "path": "in", "name_pattern": "(?P<serial>.*)", "settle_ms": 5},
            "part": [{"name": "washer", "bundle": "b", "quality_off": ["dark"]}],
        }
    ],
}
KEYS = ["name", "path", "bundle", "name_pattern", "kind", "host", "port", "exposure", "region", "part", "view",
        "_env_file", "_cli_parse_args", "_secrets_dir", "self", "state_dir", "metrics", "pixel_format"]  # fmt: skip
VALUES = (
    UNICODE
    | st.integers(-(2**64), 2**64)
    | st.booleans()
    | st.floats()
    | st.sampled_from(["(?P<serial>a{99999999999})", "(" * 500, "a\0b", "\u202e", "nan", [], {}, [[]], [{}], [1, 2]])
)


def _values() -> st.SearchStrategy[dict[str, Any]]:
    """Return settings in which some key, known or not, at some depth, has some other value."""

    def put(changes: list[tuple[int, str, Any]]) -> dict[str, Any]:
        table = json.loads(json.dumps(STATION))
        station = table["station"][0]
        places = [table, table["mqtt"], table["mqtt"]["tls"], station, station["source"], station["part"][0]]
        for place, key, value in changes:
            places[place][key] = value
        return table  # type: ignore[no-any-return]

    keys = st.sampled_from(KEYS) | st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
    return st.builds(put, st.lists(st.tuples(st.integers(0, 5), keys, VALUES), min_size=1, max_size=2))


def _written(table: dict[str, Any]) -> bytes:
    """Return settings as TOML, whose words for no number are not JSON's."""
    text = to_toml(table)
    for json_word, toml_word in (("NaN", "nan"), ("-Infinity", "-inf"), ("Infinity", "inf")):
        text = text.replace(f"= {json_word}\n", f"= {toml_word}\n")
    return text.encode()


@pytest.mark.parametrize("effort", EFFORTS)
def test_settings_are_valid_or_refused(tmp_path: Path, effort: int) -> None:
    """One message; what is valid has names that may become topics, and paths that a disk can hold."""
    file = tmp_path / "settings.toml"

    def check(content: bytes) -> None:
        file.write_bytes(content)
        try:
            found = read_settings(file)
        except SettingsError:
            return
        assert set(tomllib.loads(content.decode())) <= set(Settings.model_fields)
        for station in found.station:
            assert check_name(station.name, "station") == station.name
            for part in station.part:
                assert check_name(part.name, "part") == part.name
                assert not part.bundle.exists()
        assert not found.state_dir.exists()

    tried(effort, RAW | _values().map(_written) | mutated(to_toml(STATION).encode()), check)


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5000, "a = " + "9" * 5000, '_env_file = "x"', "_cli_parse_args = true"]
)
def test_settings_that_are_a_trap_are_refused(tmp_path: Path, text: str) -> None:
    """Each of these was a crash, or was taken for a wish to the settings library."""
    file = tmp_path / "settings.toml"
    file.write_text(f"{text}\n{to_toml(STATION)}")

    with pytest.raises(SettingsError):
        read_settings(file)


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_manifest_is_valid_or_refused(bundle: Bundle, tmp_path: Path, effort: int) -> None:
    """Also when whoever changed it has sealed it again: no field that is none, no number that is none."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in bundle.manifest.files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).hardlink_to(bundle.path / name)
    whole = (bundle.path / MANIFEST).read_bytes()
    table = json.loads(whole)

    def sealed(content: bytes) -> None:
        (folder / MANIFEST).write_bytes(content)
        (folder / SEAL).write_text(hashlib.sha256(content).hexdigest())
        try:
            found = read_bundle(folder)
        except DataError:
            return
        text = found.manifest.model_dump_json()
        assert "NaN" not in content.decode()
        assert found.recipe.decision.threshold > 0
        assert all((folder / name).is_file() and ".." not in name for name in json.loads(text)["files"])

    def put(section: str, key: str, value: object) -> bytes:
        changed = json.loads(whole)
        (changed[section] if isinstance(changed[section], dict) else changed)[key] = value
        return json.dumps(changed).encode()

    sections = st.sampled_from(sorted(table))
    keys = sections.flatmap(
        lambda section: st.tuples(
            st.just(section), st.sampled_from(sorted(table[section])) if isinstance(table[section], dict) else TEXTS
        )
    )
    tried(effort, RAW | mutated(whole) | st.builds(lambda key, value: put(*key, value), keys, JSON), sealed)


def test_a_golden_score_that_is_no_number_refuses_the_bundle(bundle: Bundle) -> None:
    """NaN is within every tolerance, so such a golden image would always pass."""
    table = json.loads((bundle.path / MANIFEST).read_text())
    table["golden"][0]["score"] = float("nan")

    with pytest.raises(ValidationError, match="finite"):
        type(bundle.manifest).model_validate_json(json.dumps(table))


class _Heard:
    """A message as the broker brought it."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.retained = False


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_command_is_valid_or_refused(effort: int) -> None:
    """A refusal is a sentence, and what is answered to can be published."""
    commands = st.fixed_dictionaries(
        {}, optional={"correlation_id": JSON, "by": JSON, "args": JSON, "expires": JSON, "schema_version": JSON}
    )

    def check(payload: bytes) -> None:
        _correlation_in(payload.decode("utf-8", "replace")).encode()
        try:
            command = _parsed("pause", _Heard(payload))  # type: ignore[arg-type]
        except ValueError:
            return
        assert 1 <= len(command.correlation_id) <= 128
        assert 1 <= len(command.by) <= 128
        assert command.model_dump_json().encode()
        assert Command.model_validate_json(payload) == command

    tried(effort, RAW | commands.map(lambda command: json.dumps(command).encode()), check)
    for name in ("", "trigger/", "../part", *COMMANDS):
        with suppress(ValueError):
            assert _parsed(name, _Heard(b'{"correlation_id": "1", "by": "M"}')).by == "M"  # type: ignore[arg-type]
            assert name in COMMANDS
    assert _LAST_SEQ < 2**63


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_name_is_trusted_or_a_fault(effort: int) -> None:
    """From folder, file name and sidecar: what is let through may be a topic, a path, a line of a log, and JSON."""
    folder = FolderSettings(
        kind="folder",
        path=Path("in"),
        name_pattern="(?P<serial>[^_]*)(_(?P<view>.+))?",
        subfolders=("lot",),
        sidecar_ms=100,
    )
    sidecars = RAW | st.dictionaries(st.sampled_from([*NAMED, "x"]), JSON | TEXTS).map(lambda j: json.dumps(j).encode())

    def check(said: tuple[str, str, bytes | None]) -> None:
        lot, stem, sidecar = said
        found = read_names(f"{lot}/{stem}.png", sidecar, folder)
        assert isinstance(found, Names)
        for name in NAMED:
            value = getattr(found, name)
            assert value.encode().decode() == value
            assert value.isprintable()
            assert found.fault or ("/" not in value and value not in (".", ".."))
        if found.part and not found.fault:
            assert check_name(found.part, "part") == found.part
        assert found.in_words()

    names = FILE_NAMES | UNICODE
    tried(effort, st.tuples(names, names, st.none() | sidecars), check)


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_plc_word_is_one_line_of_seven_fields(effort: int) -> None:
    """Whatever a trigger or a serial is called."""

    def check(said: tuple[str, str, float]) -> None:
        trigger, serial, score = said
        line = PlcWord(1, trigger, 2, 0, 3, score, serial).encode()
        assert len(line) <= 128
        assert line.decode().count(";") == 6
        assert not set(line) & set(range(32))

    tried(effort, st.tuples(UNICODE, UNICODE, st.floats(0, 999_999)), check)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_an_image_is_decoded_or_refused(kind: str, effort: int) -> None:
    """Damaged anywhere: no crash, no memory beyond what is allowed."""
    whole = jpeg(a_part(0)) if kind == ".jpg" else png(a_part(0))

    def check(data: bytes) -> None:
        try:
            header = read_header(data)
            image = decode(data, 1)
        except UnreadableImageError:
            return
        assert 0 < header.width * header.height <= MAX_PIXELS
        assert image.shape in ((header.height, header.width), (header.width, header.height))

    tried(effort, RAW | mutated(whole), check)


def _reads_its_own_inbox(table: Any) -> bool:  # noqa: ANN401 - whatever a fuzzer makes of settings
    """Say whether the one station's images would come from a folder of the test's own."""
    try:
        return bool(table["station"][0]["source"]["path"] == "in")
    except (KeyError, IndexError, TypeError):
        return False


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_station_file_is_taken_whole_or_refused(tmp_path: Path, effort: int) -> None:
    """An archive that is none, is damaged, or whose settings are not: one message, and nothing beside its place."""
    archive, home = tmp_path / "x.station", tmp_path / "home"
    home.mkdir()

    def packed(table: dict[str, Any], name: str) -> bytes:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr("station.toml", _written(table))
            out.writestr(name or "x", "content")
        return archive.read_bytes()

    inside = {**STATION, "station": [{**STATION["station"][0], "part": []}]}
    whole = packed(inside, "bundles/b/manifest.json")
    names = st.sampled_from(["../evil", "/evil", "bundles/../evil", "bundles/b/../../evil", "bundles/b/manifest.json"])
    # The inbox is made, as it should be; it must lie where the settings say.
    tables = _values().filter(_reads_its_own_inbox)

    def check(content: bytes) -> None:
        archive.write_bytes(content)
        config = home / "st.toml"
        with suppress(EdgeInspectorError):
            import_station(archive, config, None)
            assert read_settings(config)
        assert not list(home.rglob("*.json"))
        assert {path.name for path in home.iterdir()} <= {"st.toml", "in", "bundles"}
        config.unlink(missing_ok=True)

    tried(effort, RAW | mutated(whole) | st.builds(packed, tables, names), check)


@pytest.mark.parametrize("effort", EFFORTS)
def test_the_approvals_are_read_or_refused(tmp_path: Path, effort: int) -> None:
    """Every line that counts names a folder beside the link and a person on one line."""
    link = tmp_path / "washer"
    line = {"at": "2026-01-01T00:00:00+00:00", "by": "J", "action": "approve", "part": "washer",
            "bundle": "0123456789ab", "folder": "washer-0123456789ab", "note": ""}  # fmt: skip
    lines = st.builds(
        lambda key, value: json.dumps({**line, key: value}).encode() + b"\n", st.sampled_from(sorted(line)), JSON
    )

    def check(content: bytes) -> None:
        approvals_file(link).write_bytes(content)
        try:
            found = read_approvals(link)
        except DataError:
            return
        for approval in found:
            assert approval.by.strip(string.whitespace) or approval.by
            assert "\n" not in approval.by + approval.note
            assert "/" not in approval.folder

    tried(effort, RAW | lines | mutated(json.dumps(line).encode() + b"\n"), check)


@pytest.mark.parametrize("effort", EFFORTS)
def test_what_a_sent_image_says_is_taken_or_refused(effort: int) -> None:
    """Anybody who may send to a pool may say anything: what is taken can be a topic, a path and a line of a log."""
    known = st.sampled_from(["capture", "captured_at", "captured_at_source", "again", "no_picture", "detail", *NAMED])
    values = TEXTS | st.sampled_from(["c1", "2026-01-01T12:00:00.000Z", "9999-12-31T23:59:59.999999Z", "true", "mtime"])
    least = [("capture", "c1"), ("captured_at", "2026-01-01T12:00:00.000Z")]

    def check(properties: list[tuple[str, str]]) -> None:
        for tried_ in (properties, [*least, *properties]):
            with suppress(StampError):
                stamp = read_stamp(tried_)
                said = [stamp.capture, stamp.detail, *(getattr(stamp, name) for name in NAMED)]
                assert all(not text or text.isprintable() for text in said)
                assert "/" not in "".join([stamp.capture, *said[2:]])
                assert stamp.no_image in {"", *NO_IMAGES}
                assert stamp.captured_ns >= 0

    tried(effort, st.lists(st.tuples(known | TEXTS, values), max_size=6), check)


@pytest.mark.parametrize("effort", EFFORTS)
def test_what_comes_back_to_a_camera_is_a_result_or_nothing(effort: int) -> None:
    """A camera's PC lives on, whatever is published to it."""

    def check(raw: bytes) -> None:
        assert isinstance(_result_in(raw).id, str)
        assert read_notice(raw) is None or raw.startswith(b"no image: ")
        with suppress(StampError):
            assert camera_of(raw.decode("utf-8", "replace")).isprintable()

    tried(effort, RAW | JSON.map(lambda value: json.dumps(value, allow_nan=True).encode()), check)
