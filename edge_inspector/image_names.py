"""Which names are image files, and which are litter that computers leave beside them: one answer for lab and line."""

import os

ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Endings, in lower case, of the files that are read as images."""

_BINS = frozenset({"$recycle.bin", "@eadir", "#recycle", "__macosx", "system volume information"})
"""Folders that Windows, NAS boxes and macOS make: bins, thumbnails and copies of attributes."""


def is_image(name: str) -> bool:
    """Say whether a file of this name is read as an image: a known ending in any case, and not hidden."""
    return not is_litter(name) and os.path.splitext(name)[1].lower() in ENDINGS  # noqa: PTH122 (asked for every file of a scan)


def is_litter(name: str) -> bool:
    """Say whether a file or folder of this name is passed over: hidden (`.Trash-1000`, `._x.jpg`, `.done`) or a bin."""
    return name.startswith(".") or name.lower() in _BINS
