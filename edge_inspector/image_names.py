"""Which names are image files, and which are litter that computers leave beside them: one answer for lab and line."""

import os

ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Endings, in lower case, of the files that are read as images."""

UNREAD = frozenset(
    {".gif", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd"}
)
"""Endings, in lower case, of image formats that are not read: such a file is named, never passed over in silence."""

_STARTS = ((b"\xff\xd8", ".jpg"), (b"\x89P", ".png"), (b"BM", ".bmp"), (b"II", ".tif"), (b"MM", ".tif"))
"""What the files begin with, and the ending that such a file is given."""

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


def ending_for(content: bytes) -> str:
    """Return the ending that belongs to a file of these bytes; empty where they are no image that is read."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    return next((ending for start, ending in _STARTS if content.startswith(start)), "")


def in_words(name: str) -> str:
    """Return a name as it can be written anywhere: bytes that are not UTF-8 become replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
