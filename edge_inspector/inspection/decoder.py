"""Decode an image, and hear what the decoder says against it.

libjpeg goes on where the packed bits make no sense, shows what it then makes of them (a shifted or grey rest), and
tells of it on standard error alone: OpenCV passes nothing on, and no check of headers can know. So the decoder is
listened to: while it works, standard error is a file in memory, and what others wrote meanwhile is written out after.
One image at a time, since a process has one standard error.
"""

import fcntl
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np
from numpy.typing import NDArray

_STANDARD_ERROR = 2
_ONE_AT_A_TIME = threading.Lock()
_OF_LIBJPEG = re.compile(
    rb"^(?:Corrupt JPEG data: .*|Premature end of JPEG file|Inconsistent progression sequence .*|Invalid SOS .*)\n",
    re.MULTILINE,
)
_PADDED = re.compile(rb"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9\n")
_PADDING = (b"\x00", b"\xff")


def imdecode(data: bytes, flags: int) -> tuple[NDArray[np.generic] | None, str]:
    """Return what OpenCV makes of a file, None where it is nothing, and what is wrong with it; empty when all is well.

    Raises:
        cv2.error: OpenCV's own complaint.
    """
    encoded = np.frombuffer(data, np.uint8)
    if data[:2] != b"\xff\xd8":
        return cv2.imdecode(encoded, flags), ""
    with _listening() as heard:
        image = cv2.imdecode(encoded, flags)
    complaint = _OF_LIBJPEG.search(heard)
    if complaint is None or _is_padded(data, complaint.group()):
        return image, ""
    return image, complaint.group().decode("ascii", "replace").strip().removeprefix("Corrupt JPEG data: ")


@contextmanager
def _listening() -> Iterator[bytearray]:
    """Collect what is written on standard error; what is not libjpeg's is written out in the end."""
    heard = bytearray()
    with _ONE_AT_A_TIME:
        ear = os.memfd_create("decoder", os.MFD_CLOEXEC)
        fcntl.fcntl(ear, fcntl.F_SETFL, os.O_APPEND)  # or two who write at once overwrite each other
        mouth = _moved_aside()
        try:
            os.dup2(ear, _STANDARD_ERROR)
            yield heard
        finally:
            _put_back(mouth)
            heard += os.pread(ear, os.fstat(ear).st_size, 0)
            os.close(ear)
    if rest := _OF_LIBJPEG.sub(b"", bytes(heard)):
        with suppress(OSError):  # where nobody reads it, nobody misses it
            os.write(_STANDARD_ERROR, rest)


def _moved_aside() -> int | None:
    """Return where standard error goes now; None where it is closed."""
    try:
        return os.dup(_STANDARD_ERROR)
    except OSError:
        return None


def _put_back(mouth: int | None) -> None:
    if mouth is None:
        os.close(_STANDARD_ERROR)
        return
    os.dup2(mouth, _STANDARD_ERROR)
    os.close(mouth)


def _is_padded(data: bytes, complaint: bytes) -> bool:
    """Say whether the decoder only passed over padding behind the image, as some cameras put it there."""
    found = _PADDED.fullmatch(complaint)
    if found is None:
        return False
    count = int(found.group(1))
    end = data.rfind(b"\xff\xd9")
    behind = data[max(0, end - count) : end]
    return any(behind == byte * count for byte in _PADDING)
