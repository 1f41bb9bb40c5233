"""The committed schemas are the code's, and hold what a reader may rely on."""

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from edge_inspector.cli import app
from edge_inspector.wire.messages import Alarms, Command
from edge_inspector.wire.schema import documents, schema_of
from edge_inspector.wire.topics import COMMANDS, PLC_COMMANDS, TOPICS

COMMITTED = files("edge_inspector.wire") / "schemas"
SCHEMAS = sorted(name for name in documents() if name.endswith(".schema.json"))


def committed(name: str) -> dict[str, object]:
    """Return a schema as it is in the package."""
    found: dict[str, object] = json.loads((COMMITTED / name).read_text())
    return found


def test_the_committed_files_are_the_code_s(tmp_path: Path) -> None:
    """`edge-inspector schema --out edge_inspector/wire/schemas` was run after the last change of the contract."""
    written = CliRunner().invoke(app, ["schema", "--out", str(tmp_path)], catch_exceptions=False)

    assert written.exit_code == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in COMMITTED.iterdir()
    }
    assert {path.name for path in tmp_path.iterdir()} == set(documents())


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_valid_2020_12(name: str) -> None:
    """Any validator takes it."""
    jsonschema.Draft202012Validator.check_schema(committed(name))

    assert committed(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", [name for name in SCHEMAS if not name.startswith("command")])
def test_readers_may_meet_fields_they_do_not_know(name: str) -> None:
    """A later version may say more; a reader that validates goes on working. What was promised stays required."""
    schema = committed(name)

    assert '"additionalProperties": false' not in json.dumps(schema)
    assert "schema_version" in schema["required"]  # type: ignore[operator]


def test_a_field_more_is_valid_and_a_field_less_is_not() -> None:
    """By the schema as a reader in another language would use it."""
    validator = jsonschema.Draft202012Validator(committed("alarms.schema.json"))
    alarms = json.loads(Alarms(active=("source",)).encode())

    assert validator.is_valid(alarms | {"colour": "red"})
    assert not validator.is_valid({"schema_version": 1})
    assert not validator.is_valid(alarms | {"active": [1]})


def test_the_command_schema_takes_what_the_daemon_takes() -> None:
    """What comes in is checked strictly: a misspelt `expires` must not be silently without effect."""
    validator = jsonschema.Draft202012Validator(committed("command.schema.json"))
    command = {"correlation_id": "1", "by": "me", "args": {"part": "washer"}, "expires": "2026-01-01T00:00:00.000Z"}

    assert validator.is_valid(command)
    assert Command.model_validate(command)
    assert not validator.is_valid(command | {"expire": "2026-01-01T00:00:00.000Z"})


def test_every_topic_and_command_is_listed() -> None:
    """`topics.json` is the whole tree, and names a schema for each JSON payload."""
    listed = documents()["topics.json"]
    published = {row["topic"]: row for row in listed["published"]}  # type: ignore[union-attr,call-overload,index]

    assert list(published) == [topic.name for topic in TOPICS]
    assert [row["topic"] for row in listed["commands"]] == [f"cmd/{name}" for name in COMMANDS]  # type: ignore[union-attr,call-overload,index]
    assert [row["topic"] for row in listed["plc_commands"]] == [f"plc/cmd/{name}" for name in PLC_COMMANDS]  # type: ignore[union-attr,call-overload,index]
    assert all(bool(schema_of(topic.name)) == topic.payload.startswith("JSON") for topic in TOPICS)
    assert {f"{row['schema']}.schema.json" for row in published.values() if "schema" in row} <= set(SCHEMAS)
