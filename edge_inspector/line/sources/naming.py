"""What an image's place, name and sidecar file say about its part; all of it is somebody else's and is checked."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from edge_inspector.errors import SettingsError
from edge_inspector.settings import NAMED, FolderSettings
from edge_inspector.text import composed
from edge_inspector.wire.topics import check_name

_LONGEST = 255
"""Characters of a serial, lot, view or group: a file name is no longer."""


@dataclass(frozen=True, slots=True)
class Names:
    """What an image is an image of; empty is what nothing said."""

    part: str = ""
    serial: str = ""
    lot: str = ""
    view: str = ""
    group: str = ""
    fault: str = ""
    """Why none of it can be trusted; empty when it can."""

    def in_words(self) -> str:
        """Return what is known, for a technician."""
        said = ", ".join(f"{name} {getattr(self, name)!r}" for name in NAMED if getattr(self, name))
        return self.fault or said or "no name at all"


class WrongNameError(ValueError):
    """What names an image may not become a topic, a path or a line of a log."""


def read_names(path: str, sidecar: bytes | None, settings: FolderSettings) -> Names:
    """Return what is known of an image: sub-folders say least, then the file's name, then the sidecar.

    Args:
        path: the image's, below the watched folder.
        sidecar: the JSON file's content; None where there is none.
        settings: says which sub-folder and which part of the name means what.

    What does not fit the settings, or may not become a topic or a path, is a `fault`: the part is not to be judged.
    """
    folder, file = os.path.split(path)
    stem = printable(os.path.splitext(file)[0])  # noqa: PTH122 - the name may hold bytes that are not text
    try:
        found = dict(_from_folders(folder, settings.subfolders))
        found |= _from_stem(stem, settings.name_pattern)
        if settings.sidecar_ms:
            found |= _from_sidecar(sidecar)
        return Names(**{name: checked(name, value) for name, value in found.items()})
    except WrongNameError as error:
        return Names(serial=stem, fault=str(error))


def is_sidecar(content: bytes) -> bool:
    """Say whether a sidecar file is all there: half-written JSON is none."""
    return _object_in(content) is not None


def _object_in(content: bytes) -> dict[str, object] | None:
    """Return the JSON object in a sidecar file, however a Windows PC or a PLC has written it down; None for none."""
    try:
        found = json.loads(_decoded(content).strip("\ufeff\0 \t\r\n"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _decoded(content: bytes) -> str:
    """Return the text of a file: UTF-8, UTF-16 or UTF-32, or the ANSI of Western Windows.

    Raises:
        UnicodeError: it is UTF-16 or UTF-32, and damaged.
    """
    encoding = json.detect_encoding(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        if not encoding.startswith("utf-8"):
            raise
        return content.decode("cp1252", "replace")


def printable(text: str) -> str:
    """Return a name that can be published: bytes that are not UTF-8 and control characters become `_`.

    Composed, as everything that is compared: a Mac writes a and two dots where Windows writes ä.
    """
    text = composed(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    return "".join(char if char.isprintable() and char != "\ufffd" else "_" for char in text)


def with_part(names: Names, part: str) -> Names:
    """Return the names with the active part, where nothing said which part it is."""
    return names if names.part and not names.fault else replace(names, part=part)


def _from_folders(folder: str, meanings: Sequence[str]) -> Iterator[tuple[str, str]]:
    steps = [printable(step) for step in folder.split("/") if step]
    if len(steps) != len(meanings):
        expected = "/".join(meanings) or "none"
        raise WrongNameError(f"lies in sub-folder {'/'.join(steps) or 'none'!r}, expected {expected}")
    yield from zip(meanings, steps, strict=True)


def _from_stem(stem: str, pattern: str) -> dict[str, str]:
    match = re.search(pattern, stem)
    if match is None:
        raise WrongNameError(f"the file name {stem!r} does not match name_pattern {pattern!r}")
    return {name: value for name, value in match.groupdict().items() if value}


def _from_sidecar(content: bytes | None) -> dict[str, str]:
    """Return what a sidecar says; its further keys are the camera's own business."""
    said = None if content is None else _object_in(content)
    if said is None:
        raise WrongNameError(f"no JSON object beside it: {'nothing' if content is None else content[:40]!r}")
    known = _known_keys(said)
    found = {name: said[key] for name, key in known.items() if said[key] not in (None, "")}
    wrong = {
        name: value for name, value in found.items() if isinstance(value, bool) or not isinstance(value, str | int)
    }
    if wrong:
        raise WrongNameError(f"the JSON file says {str(wrong)[:80]}, expected text")
    return {name: str(value) for name, value in found.items()}


def _known_keys(said: dict[str, object]) -> dict[str, str]:
    """Return which key of a sidecar says what, in any case; its further keys are the camera's own business.

    Raises:
        WrongNameError: a thing is said twice, or there are keys and nobody knows one of them.
    """
    spelled = [(key.lower(), key) for key in said if key.lower() in NAMED]
    if len(dict(spelled)) < len(spelled):
        raise WrongNameError(f"the JSON file says one thing twice: {', '.join(key for _, key in spelled)}")
    if said and not spelled:
        keys = ", ".join(map(repr, said))[:80]
        raise WrongNameError(f"the JSON file has unknown keys alone: {keys}; expected some of {', '.join(NAMED)}")
    return dict(spelled)


def checked(name: str, value: str) -> str:
    """Return a part's name, serial, lot, view or group that may become a topic, a path or a line of a log.

    Raises:
        WrongNameError: it may not.
    """
    value = composed(value)
    if name == "part":
        try:
            return check_name(value, "part")
        except SettingsError as error:
            raise WrongNameError(str(error)) from error
    if len(value) > _LONGEST or not value.isprintable() or "/" in value or value in (".", ".."):
        raise WrongNameError(f"{name} {value[:64]!r}: expected 1 to {_LONGEST} printable characters, no /")
    return value
