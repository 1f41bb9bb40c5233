"""What pydantic found wrong, in the words of whoever has to mend it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from edge_inspector.text import did_you_mean, shown

_SHOWN = 3
"""Problems that are told at once."""
_LONGEST = 60
"""Characters of what was found that are shown."""
_SECRET = frozenset({"device", "password", "password_file", "username"})
"""Keys whose values are not repeated: an address may hold a login."""
_SCALARS = frozenset({"str", "int", "float", "bool"})
"""What pydantic puts into the place of a fault where a value may be of several kinds."""
_EXPECTED = {
    "bool": "true or false",
    "datetime": "a time such as 2026-01-31T06:00:00Z",
    "dict": "a table",
    "finite": "a finite number",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "model": "a table",
    "path": "a path",
    "string": "text",
    "tuple": "a list",
}
"""By the first word of pydantic's name for a fault."""
_QUOTED = re.compile("'([^']+)'")
_LIMITS = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "{min_length} or more",
    "too_long": "{max_length} or fewer",
    "string_too_short": "{min_length} characters or more",
    "string_too_long": "{max_length} characters or fewer",
    "string_pattern_mismatch": "text of the form {pattern}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "union_tag_invalid": "one of {expected_tags}",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    keys: tuple[str | int, ...]
    """Where, from the outside in; entries of lists from 0."""
    words: str

    def __str__(self) -> str:
        """Return place and problem: `station 1, source.path: is missing`."""
        place = ""
        for key in self.keys:
            joint = ", " if place[-1:].isdigit() else "." if place else ""
            place += f" {key + 1}" if isinstance(key, int) else f"{joint}{key}"
        return shown(f"{place}: {self.words}" if place else self.words)


def in_our_words(error: ValidationError, annotation: object, noun: str = "setting") -> str:
    """Return the first problems in one line; `annotation` is the type that was expected, `noun` what its keys are."""
    found = problems(error, annotation, noun)
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(map(str, found[:_SHOWN])) + more


def problems(error: ValidationError, annotation: object, noun: str = "setting") -> tuple[Problem, ...]:
    """Return what is wrong, one problem for each place."""
    by_place: dict[tuple[str | int, ...], Problem] = {}
    for fault in error.errors(include_url=False):
        problem = _problem(fault, annotation, noun)
        before = by_place.setdefault(problem.keys, problem)
        if before is not problem and fault["loc"][-1] in _SCALARS:
            by_place[problem.keys] = Problem(problem.keys, f"expected text, a number or true or false{_found(fault)}")
        elif before is not problem and fault["type"] == "extra_forbidden":
            by_place[problem.keys] = Problem(problem.keys, f"{before.words}; {problem.words}")
    return tuple(by_place.values())


def fields_of(model: type[BaseModel]) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield each key of a section, and the types that its value may be of."""
    for name, field in model.model_fields.items():
        yield name, tuple(_members(field.annotation))


def table_in(types: Iterable[object]) -> bool:
    """Say whether a value of these types is a section or a list, so that no plain text can tell it."""
    return any(get_origin(one) in (tuple, list, dict) for one in types) or bool(_models(types))


def _problem(fault: Mapping[str, Any], annotation: object, noun: str) -> Problem:
    kind, context = fault["type"], fault.get("ctx", {})
    keys, _ = _walk(annotation, fault["loc"])
    match kind:
        case "extra_forbidden":
            _, types = _walk(annotation, fault["loc"][:-1])
            known = [name for model in _models(types) for name in model.model_fields]
            name = str(fault["loc"][-1])
            return Problem(keys[:-1], f"unknown {noun} `{name[:_LONGEST]}`{did_you_mean(name, known)}")
        case "missing":
            return Problem(keys, "is missing")
        case "union_tag_not_found":
            return Problem((*keys, str(context["discriminator"]).strip("'")), "is missing")
        case "value_error":
            return Problem(keys, str(context["error"]))
        case "json_invalid":
            return Problem(keys, f"it is not JSON: {context['error']}")
        case _:
            return Problem(keys, f"{_expected(kind, context, fault['msg'])}{_found(fault)}{_meant(fault)}")


def _expected(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in _LIMITS:
        return f"expected {_LIMITS[kind].format(**context)}"
    expected = _EXPECTED.get(kind.partition("_")[0])
    return f"expected {expected}" if expected else message[:1].lower() + message[1:]


def _found(fault: Mapping[str, Any]) -> str:
    """Return what was found, cut to what a line can hold; nothing of a secret or of a whole table."""
    value = fault["input"]
    if fault["type"] == "union_tag_invalid":
        value = fault["ctx"]["tag"]
    elif _SECRET & set(fault["loc"]):
        return ", found (hidden)"
    match value:
        case BaseModel() | Mapping():
            return ", found a table"
        case list() | tuple():
            return f", found a list of {len(value)}"
        case None:
            return ", found nothing"
        case _:
            return f", found {_cut(repr(value))}"


def _meant(fault: Mapping[str, Any]) -> str:
    """Return which of the names that are allowed was meant, where it can be only some."""
    context = fault.get("ctx", {})
    if fault["type"] not in ("literal_error", "enum", "union_tag_invalid"):
        return ""
    found = context.get("tag", fault["input"])
    known = _QUOTED.findall(context.get("expected_tags") or context["expected"])
    return did_you_mean(found, known) if isinstance(found, str) else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _walk(annotation: object, places: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], list[object]]:
    """Return the keys of a place, without the tags that pydantic puts in for the kinds of a union, and its types."""
    keys: list[str | int] = []
    types = list(_members(annotation))
    for place in places:
        models = _models(types)
        fields = [model.model_fields[place] for model in models if place in model.model_fields]
        tagged: list[object] = [model for model in models if _has_tag(model, place)]
        if not fields and (tagged or place in _SCALARS):
            types = tagged
            continue
        keys.append(place)
        inner = [field.annotation for field in fields] if fields else [arg for one in types for arg in get_args(one)]
        types = [member for one in inner for member in _members(one)]
    return tuple(keys), types


def _members(annotation: object) -> Iterator[object]:
    """Yield the types that a value may be of."""
    match get_origin(annotation):
        case origin if origin is Annotated:
            yield from _members(get_args(annotation)[0])
        case origin if origin is Union or origin is UnionType:
            for member in get_args(annotation):
                yield from _members(member)
        case _:
            yield annotation


def _models(types: Iterable[object]) -> list[type[BaseModel]]:
    return [one for one in types if isinstance(one, type) and issubclass(one, BaseModel)]


def _has_tag(model: type[BaseModel], tag: str | int) -> bool:
    return any(
        tag in get_args(field.annotation)
        for field in model.model_fields.values()
        if get_origin(field.annotation) is Literal
    )
