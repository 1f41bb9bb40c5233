"""Which names are image files, and which are litter that computers leave beside them: one answer for lab and line."""

import os

ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Endings, in lower case, of the files that are read as images."""

UNREAD = frozenset(
    {".gif", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd"}
)
"""Endings, in lower case, of image formats that are not read: such a file is named, never passed over in silence."""

_BINS = frozenset(
    {
        *("$recycle.bin", "recycler", "system volume information"),
        *("@eadir", "@recycle", "#recycle", "#snapshot", "__macosx"),
    }
)
"""Folders that Windows, NAS boxes, macOS and file systems make: bins, thumbnails and copies of attributes."""


def is_image(name: str) -> bool:
    """Say whether a file of this name is read as an image: a known ending in any case, and not hidden."""
    return not is_litter(name) and ending_of(name) in ENDINGS


def is_unread_image(name: str) -> bool:
    """Say whether a file of this name is an image of a format that is not read."""
    return not is_litter(name) and ending_of(name) in UNREAD


def is_litter(name: str) -> bool:
    """Say whether a file or folder of this name is passed over: hidden (`.Trash-1000`, `._x.jpg`, `.done`) or a bin."""
    return name.startswith(".") or name.lower() in _BINS


def ending_of(name: str) -> str:
    """Return a name's ending in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (asked for every file of a scan)


def in_words(name: str) -> str:
    """Return a name as it can be written anywhere: bytes that are not UTF-8 become replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
