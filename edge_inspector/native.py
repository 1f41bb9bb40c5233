"""Paths for OpenVINO and OpenCV: inside either, a name that is not UTF-8 ends the process without a word."""

import os
from pathlib import Path

from edge_inspector.errors import DataError


def native_path(path: Path) -> str:
    """Return a path as text that a native library can take.

    Raises:
        DataError: it is not UTF-8.
    """
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = raw.decode("utf-8", "backslashreplace")
        raise DataError(f"{shown}: expected a path in UTF-8; rename the file or folder") from error
