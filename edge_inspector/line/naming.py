"""What a picture's place, name and sidecar file say about its part; all of it is somebody else's and is checked."""

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
    """What a picture is a picture of; empty is what nothing said."""

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
    """What names a picture may not become a topic, a path or a line of a log."""


def read_names(path: str, sidecar: bytes | None, settings: FolderSettings) -> Names:
    """Return what is known of a picture: sub-folders say least, then the file's name, then the sidecar.

    Args:
        path: the picture's, below the watched folder.
        sidecar: the JSON file's content; None where there is none.
        settings: says which sub-folder and which part of the name means what.

    What does not fit the settings, or may not become a topic or a path, is a `fault`: the part is not to be judged.
    """
    folder, file = os.path.split(path)
    stem = printable(os.path.splitext(file)[0])  # noqa: PTH122 - the name may hold bytes that are no text
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
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False


def printable(text: str) -> str:
    """Return a name that can be published: bytes that are no UTF-8 and control characters become `_`."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
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
    if content is None or not is_sidecar(content):
        raise WrongNameError(f"no JSON object beside it: {'nothing' if content is None else content[:40]!r}")
    found = {name: value for name, value in json.loads(content).items() if name in NAMED and value not in (None, "")}
    wrong = {
        name: value for name, value in found.items() if isinstance(value, bool) or not isinstance(value, str | int)
    }
    if wrong:
        raise WrongNameError(f"the JSON file says {str(wrong)[:80]}, expected text")
    return {name: str(value) for name, value in found.items()}


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
