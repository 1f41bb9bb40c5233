"""Read what an image file claims to be, and whether it is all there, before anything is decoded.

A decoder trusts the header with memory (20,000 x 20,000 pixels in 100 bytes), fills what is missing with grey, which
a detector would take for a part, and shows the first of several images. All three are found here, in microseconds.
Sources: ITU-T T.81 (JPEG), CIPA DC-007 (MPO), W3C PNG, Microsoft BITMAPFILEHEADER, TIFF 6.0, RFC 9649 (WebP).
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_inspector.inspection.model import Reason

MAX_PIXELS = 100_000_000
"""Larger images are refused; the largest industrial area cameras have 150 million, and none of them sends JPEG."""

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_IN_BITS = np.isin(np.arange(256), [0x00, 0xFF, *range(0xD0, 0xD8)])
"""What may follow 0xFF in the packed bits of a JPEG scan: it is packed itself, filled up, or a restart."""
_BETWEEN_SCANS = frozenset({0xC4, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_TIFF_REDUCED, _TIFF_MASK = 1, 4
"""Bits of NewSubfileType: a smaller copy of another image, and a transparency mask."""
_TIFF_OLD_REDUCED = 2
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TIFF_MAX_ENTRIES = 1_000_000


class UnreadableImageError(Exception):
    """The bytes cannot be made an image that one may judge."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Header:
    """The size that a complete image file claims."""

    width: int
    height: int


def read_header(data: bytes) -> Header:
    """Return the claimed size of a complete JPEG, PNG, BMP, TIFF or WebP file that holds one image.

    Raises:
        UnreadableImageError: empty, no such image, cut off, several images, or larger than `MAX_PIXELS`.
    """
    if not data:
        raise UnreadableImageError(Reason.EMPTY, "the file has 0 bytes")
    try:
        header = _reader_of(data)(data)
    except (struct.error, IndexError) as error:
        raise _truncated(data, "inside its header") from error
    if header.width * header.height > MAX_PIXELS:
        raise UnreadableImageError(
            Reason.TOO_LARGE, f"{header.width}x{header.height} pixels, at most {MAX_PIXELS:,} are allowed"
        )
    if not header.width * header.height:
        raise UnreadableImageError(Reason.NOT_AN_IMAGE, f"{header.width}x{header.height} pixels")
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
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _read_webp
    raise UnreadableImageError(Reason.NOT_AN_IMAGE, f"{len(data)} bytes that begin with {data[:8]!r}")


def _truncated(data: bytes, where: str) -> UnreadableImageError:
    return UnreadableImageError(Reason.TRUNCATED, f"{len(data)} bytes, the file ends {where}")


def _refuse_several(count: int) -> None:
    if count > 1:
        raise UnreadableImageError(Reason.WRONG_FORMAT, f"the file holds {count} images, expected one")


def _read_jpeg(data: bytes) -> Header:
    header, position = _read_jpeg_segments(data, 0)
    markers = _markers_in(data)
    end = _end_of_scans(data, position, markers)
    _refuse_several(1 + _count_behind(data, end, markers))
    return header


def _read_jpeg_segments(data: bytes, start: int) -> tuple[Header, int]:
    """Return the size of the JPEG that begins at `start`, and where its first scan begins."""
    header = None
    position = start + 2
    while True:
        if data[position] != 0xFF:
            raise UnreadableImageError(Reason.NOT_AN_IMAGE, f"no JPEG marker at byte {position}")
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
        raise UnreadableImageError(Reason.NOT_AN_IMAGE, "a JPEG scan without a frame header")
    return header, position


def _markers_in(data: bytes) -> NDArray[np.intp]:
    """Return every place where 0xFF is followed by what does not occur in packed bits."""
    values = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(values[:-1] == 0xFF)
    return places[~_IN_BITS[values[places + 1]]]


def _end_of_scans(data: bytes, position: int, markers: NDArray[np.intp]) -> int:
    """Return where a JPEG ends whose first scan begins at `position`.

    Raises:
        UnreadableImageError: it ends before its end marker, or holds a marker that no scan can be followed by.
    """
    while True:
        (length,) = struct.unpack_from(">H", data, position + 2)
        following = np.searchsorted(markers, position + 2 + length)
        if following == len(markers):
            raise _truncated(data, "before the end of the image")
        position = int(markers[following])
        marker = data[position + 1]
        if marker == 0xD9:
            return position + 2
        if marker == 0xD8:
            raise UnreadableImageError(
                Reason.TRUNCATED, f"another image begins at byte {position}, before the end of the first"
            )
        if marker not in _BETWEEN_SCANS:
            raise UnreadableImageError(
                Reason.NOT_AN_IMAGE, f"damaged JPEG: marker 0x{marker:02x} at byte {position}, inside the image data"
            )


def _count_behind(data: bytes, position: int, markers: NDArray[np.intp]) -> int:
    """Return how many images follow in a file behind its first: padding and a camera's own data are none."""
    count = 0
    while (position := data.find(b"\xff\xd8\xff", position)) >= 0:
        try:
            _, scan = _read_jpeg_segments(data, position)
            position = _end_of_scans(data, scan, markers)
        except UnreadableImageError as error:
            count += error.reason is Reason.TRUNCATED
            position += 2
        except (struct.error, IndexError):
            position += 2
        else:
            count += 1
    return count


def _read_png(data: bytes) -> Header:
    header = Header(*struct.unpack_from(">II", data, 16))
    position = 8
    frames = 1
    while True:
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise _truncated(data, f"inside its {kind.decode('latin-1')} chunk")
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != checksum:
            raise UnreadableImageError(Reason.NOT_AN_IMAGE, f"damaged {kind.decode('latin-1')} chunk")
        if kind == b"acTL":  # an animated PNG says how many frames it has
            (frames,) = struct.unpack_from(">I", data, position + 8)
        if kind == b"IEND":
            _refuse_several(max(frames, 1 + data.count(b"\x89PNG\r\n\x1a\n", end)))
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
    end = offset + row * header.height
    if compression in (0, 3) and len(data) < end:
        raise _truncated(data, "before the last row")
    if compression in (0, 3) and data[end : end + 2] == b"BM" and data[end + 6 : end + 10] == bytes(4):
        _refuse_several(2)
    return header


def _read_tiff(data: bytes) -> Header:
    order = "<" if data[:2] == b"II" else ">"
    (place,) = struct.unpack_from(order + "I", data, 4)
    tags, following = _read_directory(data, order, place)
    if not tags.get(256) or not tags.get(257):
        raise UnreadableImageError(Reason.NOT_AN_IMAGE, "a TIFF without width and height")
    offsets, sizes = tags.get(273, ()) + tags.get(324, ()), tags.get(279, ()) + tags.get(325, ())
    if any(offset + size > len(data) for offset, size in zip(offsets, sizes, strict=False)):
        raise _truncated(data, "before the last strip")
    _refuse_several(1 + _count_full_size(data, order, following, {place}))
    return Header(tags[256][0], tags[257][0])


def _count_full_size(data: bytes, order: str, place: int, seen: set[int]) -> int:
    """Return how many directories from `place` on are images of their own: no thumbnails, no masks."""
    count = 0
    while place:
        if place in seen:
            raise UnreadableImageError(Reason.NOT_AN_IMAGE, "a TIFF whose list of images is a loop")
        seen.add(place)
        tags, place = _read_directory(data, order, place)
        new, old = tags.get(254, (0,))[:1], tags.get(255, (0,))[:1]
        count += not (new[0] & (_TIFF_REDUCED | _TIFF_MASK) or old[0] == _TIFF_OLD_REDUCED)
    return count


def _read_directory(data: bytes, order: str, place: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the tags of one TIFF directory that are looked at here, and where the next one is; 0 is nowhere."""
    (count,) = struct.unpack_from(order + "H", data, place)
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(count):
        tag, kind, number = struct.unpack_from(order + "HHI", data, place + 2 + 12 * entry)
        if tag in (254, 255, 256, 257, 273, 279, 324, 325):
            if tag in tags:
                raise UnreadableImageError(Reason.NOT_AN_IMAGE, f"a TIFF with tag {tag} twice")
            tags[tag] = tuple(_tiff_values(data, order, kind, number, place + 10 + 12 * entry))
    (following,) = struct.unpack_from(order + "I", data, place + 2 + 12 * count)
    return {tag: values for tag, values in tags.items() if values}, following


def _tiff_values(data: bytes, order: str, kind: int, number: int, position: int) -> Iterator[int]:
    size = _TIFF_SIZES.get(kind, 0) * number
    if kind not in (3, 4) or not 0 < number <= _TIFF_MAX_ENTRIES:
        return
    if size > 4:
        (position,) = struct.unpack_from(order + "I", data, position)
    yield from struct.unpack_from(f"{order}{number}{'H' if kind == 3 else 'I'}", data, position)


def _read_webp(data: bytes) -> Header:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise _truncated(data, f"before byte {end}")
    headers = {}
    frames = 0
    position = 12
    while position + 8 <= end:
        kind, length = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        if position + 8 + length > end:
            raise _truncated(data, f"inside its {kind.decode('latin-1')} chunk")
        if kind in _WEBP_SIZES and kind not in headers:
            headers[kind] = _WEBP_SIZES[kind](data, position + 8)
        frames += kind == b"ANMF"
        position += 8 + length + length % 2
    if not frames and not {b"VP8 ", b"VP8L"} & headers.keys():
        raise UnreadableImageError(Reason.NOT_AN_IMAGE, "a WebP file without an image")
    _refuse_several(max(1, frames) + (data[end : end + 4] == b"RIFF"))
    return max(headers.values(), key=lambda header: header.width * header.height)


def _read_vp8(data: bytes, position: int) -> Header:
    if data[position] & 1 or data[position + 3 : position + 6] != b"\x9d\x01\x2a":
        raise UnreadableImageError(Reason.NOT_AN_IMAGE, "a WebP file whose VP8 chunk is not an image")
    width, height = struct.unpack_from("<HH", data, position + 6)
    return Header(width & 0x3FFF, height & 0x3FFF)


def _read_vp8l(data: bytes, position: int) -> Header:
    signature, bits = struct.unpack_from("<BI", data, position)
    if signature != 0x2F:
        raise UnreadableImageError(Reason.NOT_AN_IMAGE, "a WebP file whose VP8L chunk is not an image")
    return Header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)


def _read_vp8x(data: bytes, position: int) -> Header:
    width, height = (int.from_bytes(data[at : at + 3], "little") for at in (position + 4, position + 7))
    return Header(width + 1, height + 1)


_WEBP_SIZES: dict[bytes, Callable[[bytes, int], Header]] = {
    b"VP8 ": _read_vp8,
    b"VP8L": _read_vp8l,
    b"VP8X": _read_vp8x,
}
"""What says how large a WebP is, by the name of its chunk: packed with losses, without, or the canvas."""
