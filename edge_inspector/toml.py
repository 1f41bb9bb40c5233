"""Settings as TOML, read and written."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from edge_inspector.text import read_text

_CONTROL = {code: f"\\u{code:04x}" for code in (*range(0x20), 0x7F)}


def read_toml(raw: bytes) -> dict[str, Any]:
    """Return the table of a TOML file, also of one that Notepad saved.

    Raises:
        ValueError, RecursionError: it is none.
    """
    return tomllib.loads(read_text(raw))


def to_toml(table: Mapping[str, object]) -> str:
    """Return the TOML of nested tables, arrays of tables, texts, numbers, truths and arrays of these.

    Raises:
        TypeError: a value that settings cannot hold.
    """
    return "\n".join(_lines(table, "")) + "\n"


def _lines(table: Mapping[str, object], name: str) -> Iterator[str]:
    yield from (f"{_key(key)} = {_value(value)}" for key, value in table.items() if not _sections(value))
    for key, value in table.items():
        path = f"{name}.{_key(key)}" if name else _key(key)
        for section in _sections(value):
            yield ""
            yield f"[{path}]" if isinstance(value, Mapping) else f"[[{path}]]"
            yield from _lines(section, path)


def _sections(value: object) -> tuple[Mapping[str, object], ...]:
    """Return the tables that a value is, or that it is an array of; none where it is a plain value."""
    if isinstance(value, Mapping):
        return (value,)
    if isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value):
        return tuple(value)
    return ()


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _text(key)


def _text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').translate(_CONTROL) + '"'


def _value(value: object) -> str:
    match value:
        case str():
            return _text(value)
        case bool() | int() | float():
            return json.dumps(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            raise TypeError(f"expected text, number, truth or array, got {type(value).__name__}")
