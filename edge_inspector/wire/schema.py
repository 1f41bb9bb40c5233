"""The contract as files: a JSON Schema (2020-12) for each message, and the list of topics."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, JsonValue

from edge_inspector.atomic import write_file
from edge_inspector.wire import messages
from edge_inspector.wire.topics import COMMANDS, CONTRACT_VERSION, DEFAULT_ROOT, PLC_COMMANDS, TOPICS, Topic

Document: TypeAlias = dict[str, JsonValue]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SAID: Mapping[str, type[BaseModel]] = {
    "result": messages.Result,
    "event": messages.Event,
    "health": messages.Health,
    "info": messages.Info,
    "counters": messages.Counters,
    "shift-counters": messages.ShiftCounters,
    "recipe": messages.RecipeMessage,
    "alarms": messages.Alarms,
    "collection": messages.Collection,
    "ack": messages.Ack,
}
"""What the daemon writes: readers ignore fields that they do not know."""
_SCHEMA_OF = {"last/result": "result", "counters/shift/{name}": "shift-counters"}
_ARGS: Mapping[str, dict[str, JsonValue]] = {
    "part": {"part": "name of an available part"},
    "feedback": {"id": "of a result", "agree": "true or false", "comment": "optional"},
    "resend": {"from_seq": "first", "to_seq": "last"},
    "challenge": {"cancel": "true takes the announcement back"},
    "monitor": {"minutes": "1 to 10080; 0 ends it"},
    "collect": {
        "count": "1 to 2000 images; 0 ends it",
        "part": "optional, the active one; a name that is new is a part that the station does not know yet",
        "group": "optional, of all of them",
        "serial": "optional, of all of them",
    },
}
_PLC_PAYLOADS = {"trigger": "1 to 2147483647", "part": "name of an available part", "reset": "1"}


def documents() -> dict[str, Document]:
    """Return every file of the contract by name: `<message>.schema.json` and `topics.json`."""
    said = {name: _open(model.model_json_schema(mode="serialization")) for name, model in _SAID.items()}
    heard = {"command": dict(messages.Command.model_json_schema(mode="validation"))}
    schemas = {f"{name}.schema.json": _titled(name, schema) for name, schema in {**said, **heard}.items()}
    return {**schemas, "topics.json": _topics()}


def write_documents(folder: Path) -> tuple[Path, ...]:
    """Write the contract's files into `folder` and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, document in documents().items():
        paths.append(folder / name)
        write_file(paths[-1], encode(document))
    return tuple(paths)


def encode(document: Document) -> bytes:
    """Return a document as its file holds it."""
    return (json.dumps(document, indent=1) + "\n").encode()


def schema_of(topic: str) -> str:
    """Return the name of the schema for a row of the topic table; empty where the payload is not JSON."""
    name = _SCHEMA_OF.get(topic, topic)
    return name if name in _SAID else ""


def _titled(name: str, schema: Document) -> Document:
    return {"$schema": _DIALECT, "$id": f"urn:edge-inspector:v{CONTRACT_VERSION}:{name}", **schema}


def _open(schema: Document) -> Document:
    """Let further fields pass: our models forbid them when we write, a reader must not when it reads."""
    closed = schema.get("additionalProperties") is False
    return {key: _opened(value) for key, value in schema.items() if not (closed and key == "additionalProperties")}


def _opened(value: JsonValue) -> JsonValue:
    match value:
        case dict():
            return _open(value)
        case list():
            return [_opened(inner) for inner in value]
        case _:
            return value


def _topics() -> Document:
    return {
        "contract": CONTRACT_VERSION,
        "base": "{root}/{station}",
        "default_root": DEFAULT_ROOT,
        "published": [_published(topic) for topic in TOPICS],
        "commands": [
            {"topic": f"cmd/{name}", "qos": 1, "retain": False, "schema": "command", "args": _ARGS.get(name, {})}
            for name in COMMANDS
        ],
        "plc_commands": [
            {"topic": f"plc/cmd/{name}", "qos": 1, "retain": False, "payload": _PLC_PAYLOADS[name]}
            for name in PLC_COMMANDS
        ],
    }


def _published(topic: Topic) -> Document:
    row: Document = {"topic": topic.name, "qos": topic.qos, "retain": topic.retain}
    schema: Document = {"schema": schema_of(topic.name)} if schema_of(topic.name) else {}
    return row | {"payload": topic.payload, "when": topic.when} | schema
