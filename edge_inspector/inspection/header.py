"""Read what a picture file claims to be, and whether it is all there, before anything is decoded.

A decoder trusts the header with memory (20,000 x 20,000 pixels in 100 bytes) and fills what is missing with grey, which
a detector would take for a part. Both are found here, for a few microseconds.
Sources: ITU-T T.81 (JPEG), W3C PNG, Microsoft BITMAPFILEHEADER, TIFF 6.0.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_inspector.inspection.model import Reason

MAX_PIXELS = 100_000_000
"""Larger pictures are refused; the largest industrial area cameras have 150 million, and none of them sends JPEG."""

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TIFF_MAX_ENTRIES = 1_000_000


class UnreadablePictureError(Exception):
    """The bytes cannot be made a picture that one may judge."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Header:
    """The size that a complete picture file claims."""

    width: int
    height: int


def read_header(data: bytes) -> Header:
    """Return the claimed size of a complete JPEG, PNG, BMP or TIFF file.

    Raises:
        UnreadablePictureError: empty, no such picture, cut off, or larger than `MAX_PIXELS`.
    """
    if not data:
        raise UnreadablePictureError(Reason.EMPTY, "the file has 0 bytes")
    try:
        header = _reader_of(data)(data)
    except (struct.error, IndexError) as error:
        raise _truncated(data, "inside its header") from error
    if header.width * header.height > MAX_PIXELS:
        raise UnreadablePictureError(
            Reason.TOO_LARGE, f"{header.width}x{header.height} pixels, at most {MAX_PIXELS:,} are allowed"
        )
    if not header.width * header.height:
        raise UnreadablePictureError(Reason.NOT_A_PICTURE, f"{header.width}x{header.height} pixels")
    return header


def _reader_of(data: bytes) -> Callable[[bytes], Header]:
    if data[:2] == b"\xff\xd8":
        return _read_jpeg
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _read_png
    if data[:2] == b"BM":
        return _read_bmp
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _read_tiff
    raise UnreadablePictureError(Reason.NOT_A_PICTURE, f"{len(data)} bytes that begin with {data[:8]!r}")


def _truncated(data: bytes, where: str) -> UnreadablePictureError:
    return UnreadablePictureError(Reason.TRUNCATED, f"{len(data)} bytes, the file ends {where}")


def _read_jpeg(data: bytes) -> Header:
    header = None
    position = 2
    while True:
        if data[position] != 0xFF:
            raise UnreadablePictureError(Reason.NOT_A_PICTURE, f"no JPEG marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker == 0xDA:
            break
        else:
            (length,) = struct.unpack_from(">H", data, position + 2)
            if marker in _START_OF_FRAME:
                height, width = struct.unpack_from(">HH", data, position + 5)
                header = Header(width, height)
            position += 2 + length
    if header is None:
        raise UnreadablePictureError(Reason.NOT_A_PICTURE, "a JPEG scan without a frame header")
    # A thumbnail inside EXIF has an end marker too: only one behind the first scan counts.
    if data.rfind(b"\xff\xd9", position) < 0:
        raise _truncated(data, "before the end of the picture")
    return header


def _read_png(data: bytes) -> Header:
    header = Header(*struct.unpack_from(">II", data, 16))
    position = 8
    while True:
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise _truncated(data, f"inside its {kind.decode('latin-1')} chunk")
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != checksum:
            raise UnreadablePictureError(Reason.NOT_A_PICTURE, f"damaged {kind.decode('latin-1')} chunk")
        if kind == b"IEND":
            return header
        position = end


def _read_bmp(data: bytes) -> Header:
    offset, size = struct.unpack_from("<II", data, 10)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    header = Header(abs(width), abs(height))
    row = (header.width * bits + 31) // 32 * 4
    if compression in (0, 3) and len(data) < offset + row * header.height:
        raise _truncated(data, "before the last row")
    return header


def _read_tiff(data: bytes) -> Header:
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    tags = {}
    for entry in range(count):
        tag, kind, number = struct.unpack_from(order + "HHI", data, directory + 2 + 12 * entry)
        if tag in (256, 257, 273, 279, 324, 325):
            if tag in tags:
                raise UnreadablePictureError(Reason.NOT_A_PICTURE, f"a TIFF with tag {tag} twice")
            tags[tag] = tuple(_tiff_values(data, order, kind, number, directory + 10 + 12 * entry))
    if not tags.get(256) or not tags.get(257):
        raise UnreadablePictureError(Reason.NOT_A_PICTURE, "a TIFF without width and height")
    offsets, sizes = tags.get(273, ()) + tags.get(324, ()), tags.get(279, ()) + tags.get(325, ())
    if any(offset + size > len(data) for offset, size in zip(offsets, sizes, strict=False)):
        raise _truncated(data, "before the last strip")
    return Header(tags[256][0], tags[257][0])


def _tiff_values(data: bytes, order: str, kind: int, number: int, position: int) -> Iterator[int]:
    size = _TIFF_SIZES.get(kind, 0) * number
    if kind not in (3, 4) or not 0 < number <= _TIFF_MAX_ENTRIES:
        return
    if size > 4:
        (position,) = struct.unpack_from(order + "I", data, position)
    yield from struct.unpack_from(f"{order}{number}{'H' if kind == 3 else 'I'}", data, position)
