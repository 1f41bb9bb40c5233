"""What images a folder holds, and what in it was passed over: litter, formats that are not read, links that loop."""

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_inspector.errors import DataError
from edge_inspector.image_names import in_words, is_image, is_litter, is_unread_image


@dataclass(frozen=True, slots=True)
class Listing:
    """The images below a folder, sorted by path, and in words what was passed over."""

    images: tuple[Path, ...]
    passed_over: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """What a walk has gathered so far."""

    images: list[Path] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)
    """Links to nowhere, or to a folder that was looked at already; sockets and the like with an image's name."""
    closed: list[str] = field(default_factory=list)
    """Folders that cannot be opened."""
    bins: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Files by the name of the hidden folder or bin that they lie in."""


def list_images(folder: Path) -> Listing:
    """Return the images below a folder, in sub-folders and behind links too, each folder looked at once.

    Raises:
        DataError: a name that is not UTF-8, which no card, report or JSON could say.
    """
    found = _Found()
    seen: set[tuple[int, int]] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        here = folders.pop() if folders else links.pop(0)  # what really lies here comes before what is linked
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:
            found.astray.append(here.name)
            continue
        seen.add((status.st_dev, status.st_ino))
        for path in _look(here, found):
            (links if path.is_symlink() else folders).append(path)
    _refuse_names(found.images)
    return Listing(tuple(sorted(found.images)), tuple(_in_words(found)))


def _look(folder: Path, found: _Found) -> Iterator[Path]:
    """Sort a folder's entries into what was found, and yield the folders in it."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        found.closed.append(folder.name)
        return
    for entry in entries:
        if is_litter(entry.name):
            _count_litter(entry, found)
        elif _is(stat.S_ISDIR, entry):
            yield Path(entry.path)
        elif is_image(entry.name) and _is(stat.S_ISREG, entry):
            found.images.append(Path(entry.path))
        elif is_image(entry.name) or (entry.is_symlink() and not _is(stat.S_ISREG, entry)):
            found.astray.append(entry.name)
        elif is_unread_image(entry.name):
            found.unread.append(entry.name)


def _is(kind: Callable[[int], bool], entry: os.DirEntry[str]) -> bool:
    """Say whether an entry, or what it links to, is of a kind; a link to nowhere or to itself is of none."""
    try:
        return kind(entry.stat().st_mode)
    except OSError:
        return False


def _count_litter(entry: os.DirEntry[str], found: _Found) -> None:
    if entry.is_dir(follow_symlinks=False):
        found.bins[entry.name] += sum(len(files) for _, _, files in os.walk(entry.path))
    else:
        found.hidden.append(entry.name)


def _refuse_names(paths: Sequence[Path]) -> None:
    odd = [path for path in paths if in_words(str(path)) != str(path)]
    if odd:
        raise DataError(
            f"{len(odd)} of {len(paths)} images have names that are not UTF-8 (for instance {in_words(str(odd[0]))}), "
            "which cards and reports cannot say: rename them, for instance with "
            "`convmv -r --notest -f cp1252 -t utf8 FOLDER`"
        )


def _in_words(found: _Found) -> Iterator[str]:
    for name, count in sorted(found.bins.items()):
        yield f"{_counted(count, 'file')} in {in_words(name)}"
    kinds = (
        (found.hidden, "hidden file", ""),
        (found.unread, "image", " of a format that is not read: convert to PNG"),
        (found.astray, "link or special file", ": to nowhere, or to what was looked at already"),
        (found.closed, "closed folder", ""),
    )
    for names, noun, what in kinds:
        if names:
            yield f"{_counted(len(names), noun)}{what} (for instance {in_words(names[0])})"


def _counted(count: int, noun: str) -> str:
    """Return a count with its noun; each word that is counted before an `or` has a plural too."""
    return f"{count} {noun if count == 1 else noun.replace(' or ', 's or ') + 's'}"
