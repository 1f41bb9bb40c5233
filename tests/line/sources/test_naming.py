"""What an image is called is somebody else's word: read by setting, checked before it is used."""

import json
import unicodedata
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_inspector.line.sources.naming import Names, is_sidecar, read_names, with_part
from edge_inspector.settings import FolderSettings
from edge_inspector.wire.topics import check_name


def a_folder(**keys: Any) -> FolderSettings:  # noqa: ANN401 - a test factory
    """Return the settings of a watched folder."""
    return FolderSettings(kind="folder", path=Path("/in"), **keys)


BY_FOLDER = {"subfolders": ("part", "lot")}
BY_NAME = {"name_pattern": r"^(?P<part>[a-z]+)_(?P<serial>\d+)_(?P<view>\w+)$"}
BY_SIDECAR = {"sidecar_ms": 1000}


@pytest.mark.parametrize(
    ("keys", "path", "sidecar", "expected"),
    [
        ({}, "S1.png", None, Names(serial="S1")),
        (BY_FOLDER, "nut/L7/S1.png", None, Names(part="nut", lot="L7", serial="S1")),
        (BY_NAME, "nut_17_top.png", None, Names(part="nut", serial="17", view="top")),
        (
            BY_SIDECAR,
            "S1.png",
            {"part": "nut", "serial": 4711, "group": "g1", "exposure": 3.5, "lot": None},
            Names(part="nut", serial="4711", group="g1"),
        ),
        (BY_FOLDER | BY_SIDECAR, "nut/L7/S1.png", {"lot": "L8"}, Names(part="nut", lot="L8", serial="S1")),
    ],
    ids=["plain", "folder", "name", "sidecar", "sidecar-wins"],
)
def test_names_come_from_where_the_settings_say(
    keys: dict[str, Any], path: str, sidecar: dict[str, Any] | None, expected: Names
) -> None:
    """A camera that cannot write JSON may still make sub-folders."""
    content = None if sidecar is None else json.dumps(sidecar).encode()

    assert read_names(path, content, a_folder(**keys)) == expected


@pytest.mark.parametrize(
    ("keys", "path", "sidecar", "said"),
    [
        (BY_FOLDER, "S1.png", None, "sub-folder 'none', expected part/lot"),
        (BY_FOLDER, "nut/S1.png", None, "sub-folder 'nut', expected part/lot"),
        (BY_FOLDER, "n+t/L7/S1.png", None, "part 'n+t'"),
        (BY_NAME, "whatever.png", None, "does not match"),
        (BY_SIDECAR, "S1.png", None, "nothing"),
        (BY_SIDECAR, "S1.png", b"{", "no JSON object"),
        (BY_SIDECAR, "S1.png", b"[" * 100_000, "no JSON object"),
        (BY_SIDECAR, "S1.png", b'{"serial": {"a": 1}}', "expected text"),
        (BY_SIDECAR, "S1.png", b'{"serial": true}', "expected text"),
        (BY_SIDECAR, "S1.png", b'{"part": "../../etc"}', "part '../../etc'"),
        (BY_SIDECAR, "S1.png", b'{"serial": "../../etc"}', "serial '../../etc'"),
        (BY_SIDECAR, "S1.png", b'{"group": ".."}', "group '..'"),
        (BY_SIDECAR, "S1.png", b'{"lot": "a\\u0000b"}', "lot"),
        (BY_SIDECAR, "S1.png", b'{"view": "' + b"x" * 256 + b'"}', "view"),
    ],
)
def test_what_cannot_be_trusted_is_a_fault(keys: dict[str, Any], path: str, sidecar: bytes | None, said: str) -> None:
    """The part is answered, INVALID, under the file's own name, and the reason says what was found."""
    names = read_names(path, sidecar, a_folder(**keys))

    assert said in names.fault
    assert names.in_words() == names.fault
    assert (names.part, names.serial) == ("", path.rpartition("/")[2].removesuffix(".png"))


@given(st.binary(max_size=80), st.text(max_size=40))
def test_whatever_comes_is_a_name_or_a_fault(sidecar: bytes, stem: str) -> None:
    """No name from outside makes a path, a topic or an exception."""
    names = read_names(f"{stem.replace('/', '')}.png", sidecar, a_folder(**BY_SIDECAR))

    assert names.fault or check_name(names.part or "x", "part")
    assert all(value.isprintable() and "/" not in value for value in (names.serial, names.lot, names.view))


@given(st.dictionaries(st.sampled_from(["part", "serial", "lot", "view", "group"]), st.text()))
def test_a_part_that_a_sidecar_names_may_become_a_topic(said: dict[str, str]) -> None:
    """Or it is no part."""
    names = read_names("S1.png", json.dumps(said).encode(), a_folder(**BY_SIDECAR))

    if not names.fault and names.part:
        assert check_name(names.part, "part") == said["part"]
    if not names.fault and said.get("group"):
        assert names.group not in (".", "..")


def test_the_active_part_is_meant_where_nothing_says_it() -> None:
    """What is faulty is answered under the active part: it has no other."""
    assert with_part(Names(serial="S1"), "washer").part == "washer"
    assert with_part(Names(part="nut"), "washer").part == "nut"
    assert with_part(Names(fault="no"), "washer").part == "washer"


def test_half_a_sidecar_is_none() -> None:
    """The camera may still be writing it."""
    whole = b'{"serial": "S1"}'

    assert is_sidecar(whole)
    assert not any(is_sidecar(whole[:length]) for length in range(len(whole)))


def test_a_name_is_said_in_one_place() -> None:
    """Sub-folder and file name that disagree would leave it to chance whose part it is."""
    with pytest.raises(ValidationError, match="both name serial"):
        a_folder(subfolders=("serial",))
    with pytest.raises(ValidationError, match="both name lot"):
        a_folder(subfolders=("lot", "lot"))


@pytest.mark.parametrize(
    "content",
    [
        b'{"serial": "A1"}\0\0',
        b'\xef\xbb\xbf{"serial": "A1"}\r\n',
        b'{"SERIAL": "A1"}',
        b'{"Serial": "A1", "Exposure": 3}',
        '{"serial": "A1"}'.encode("utf-16"),
        '{"serial": "A1"}\0'.encode("utf-16-le"),
        b' \n{"serial": "A1"} \0 ',
    ],
    ids=["nul", "bom", "upper", "mixed", "utf-16", "utf-16-nul", "blanks"],
)
def test_a_sidecar_is_read_however_a_windows_pc_or_a_plc_writes_it(content: bytes) -> None:
    """They pad with NUL, begin with a byte order mark and shout."""
    names = read_names("S1.png", content, a_folder(**BY_SIDECAR))

    assert is_sidecar(content)
    assert (names.serial, names.fault) == ("A1", "")


def test_a_sidecar_in_ansi_is_read() -> None:
    """As Windows in Western Europe writes it."""
    content = '{"serial": "Gehäuse", "lot": "5 €"}'.encode("cp1252")
    names = read_names("S1.png", content, a_folder(**BY_SIDECAR))

    assert (names.serial, names.lot) == ("Gehäuse", "5 €")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"serialnr": "A1"}', "unknown keys alone: 'serialnr'; expected some of part, serial"),
        (b'{"serial": "A1", "SERIAL": "A2"}', "one thing twice: serial, SERIAL"),
        ('{"serial": "A1"}'.encode("utf-16")[:-3], "no JSON object"),
    ],
)
def test_a_sidecar_that_is_not_understood_is_named(content: bytes, said: str) -> None:
    """The part would go to whatever is active, and nobody would know why."""
    assert said in read_names("S1.png", content, a_folder(**BY_SIDECAR)).fault


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("keys", [BY_FOLDER, BY_SIDECAR | {"subfolders": ("part", "lot")}])
def test_a_mac_s_names_are_windows_s(form: Literal["NFC", "NFD"], keys: dict[str, Any]) -> None:
    """ä is one character or two, and looks the same: as a folder, a name and in a sidecar."""
    name = unicodedata.normalize(form, "Gehäuse")
    sidecar = json.dumps({"part": name}, ensure_ascii=False).encode()

    names = read_names(f"{name}/L7/{name}.png", sidecar, a_folder(**keys))

    assert (names.part, names.serial) == ("Gehäuse", "Gehäuse")
