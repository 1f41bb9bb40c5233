"""A decoder trusts the header with memory and paints what is missing grey; neither reaches a detector."""

import io
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from factories import a_part, jpeg, png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from edge_inspector.inspection.header import Header, UnreadablePictureError, read_header
from edge_inspector.inspection.model import Image, Reason, Verdict
from edge_inspector.inspection.preprocess import decode

SMALL = a_part(0, width=24, height=16)
MAGIC = (b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x10", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"")


def encoded(suffix: str) -> bytes:
    """Return the small part as a file of that kind, as OpenCV writes it."""
    return bytes(cv2.imencode(suffix, SMALL)[1])


def by_pillow(kind: str, **options: object) -> bytes:
    """Return the small part as a file of that kind, as another program writes it."""
    buffer = io.BytesIO()
    Pillow.fromarray(SMALL[..., ::-1]).save(buffer, kind, **options)
    return buffer.getvalue()


FILES = {
    "jpeg": encoded(".jpg"),
    "progressive jpeg": by_pillow("JPEG", progressive=True),
    "png": encoded(".png"),
    "bmp": encoded(".bmp"),
    "tiff": encoded(".tiff"),
    "tiff of another program": by_pillow("TIFF"),
    "packed tiff": by_pillow("TIFF", compression="tiff_lzw"),
}


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return one PNG chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def a_png_that_claims(width: int, height: int) -> bytes:
    """Return a complete PNG of a hundred bytes that says it is this large."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(50))) + chunk(b"IEND", b"")


def a_jpeg_that_claims(width: int, height: int) -> bytes:
    """Return a small JPEG whose frame header says it is this large."""
    data = bytearray(FILES["jpeg"])
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def a_bmp_that_claims(width: int, height: int) -> bytes:
    """Return a small BMP that says it is this large, and packed, so that its length proves nothing."""
    data = bytearray(FILES["bmp"])
    struct.pack_into("<ii", data, 18, width, height)
    struct.pack_into("<I", data, 30, 1)
    return bytes(data)


def a_tiff(*tags: tuple[int, int]) -> bytes:
    """Return a TIFF directory of LONG tags, followed by a few bytes of picture."""
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + bytes(200)


def decoded(data: bytes, channels: int) -> Image | Reason:
    """Return the picture, or why there is none; any other exception is a fault."""
    try:
        return decode(data, channels)
    except UnreadablePictureError as error:
        return error.reason


@pytest.mark.parametrize("name", FILES)
def test_a_complete_file_tells_its_size(name: str) -> None:
    """Whatever program wrote it."""
    assert read_header(FILES[name]) == Header(24, 16)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_off_anywhere_is_never_judged_as_if_it_were_whole(name: str) -> None:
    """A camera that is still writing, or died: refused at every byte, or nothing of the picture is missing."""
    data = FILES[name]
    whole = decode(data, 3)
    for length in range(len(data)):
        try:
            found = decode(data[:length], 3)
        except UnreadablePictureError:
            continue

        assert np.array_equal(found, whole), f"accepted when cut after {length} of {len(data)} bytes"


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "png", "bmp"])
def test_a_file_without_its_last_byte_is_truncated(name: str) -> None:
    """The reason says what to do: write elsewhere, then rename."""
    with pytest.raises(UnreadablePictureError) as caught:
        read_header(FILES[name][:-1])

    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    "data",
    [
        a_png_that_claims(20_000, 20_000),
        a_jpeg_that_claims(20_000, 20_000),
        a_bmp_that_claims(20_000, 20_000),
        a_bmp_that_claims(20_000, -20_000),
        a_tiff((256, 20_000), (257, 20_000)),
    ],
    ids=["png", "jpeg", "bmp", "bmp upside down", "tiff"],
)
def test_a_header_bomb_is_refused_before_it_is_decoded(data: bytes) -> None:
    """A thousand bytes that claim 400 million pixels cost neither memory nor time."""
    start = time.process_time()
    with pytest.raises(UnreadablePictureError) as caught:
        decode(data, 1)

    assert caught.value.reason is Reason.TOO_LARGE
    assert time.process_time() - start < 0.2


@pytest.mark.parametrize(("first", "second"), [(20_000, 8), (8, 20_000)])
def test_a_tiff_that_claims_two_sizes_is_refused(first: int, second: int) -> None:
    """Decoders take the first, so a header bomb must not hide behind a second."""
    with pytest.raises(UnreadablePictureError):
        read_header(a_tiff((256, first), (256, second), (257, first), (257, second)))


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture() -> None:
    """EXIF holds a complete little JPEG; a picture cut off behind it is still cut off."""
    thumbnail = b"Exif\0\0" + jpeg(a_part(1, width=16, height=16))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = FILES["jpeg"][:2] + segment + FILES["jpeg"][2:]

    assert read_header(whole) == Header(24, 16)
    with pytest.raises(UnreadablePictureError) as caught:
        read_header(whole[:-2])
    assert caught.value.reason is Reason.TRUNCATED


def test_bytes_behind_the_end_do_no_harm() -> None:
    """Some cameras append their own data to a JPEG."""
    assert read_header(FILES["jpeg"] + b"camera 7") == Header(24, 16)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"serial;verdict\n4711;OK\n", Reason.NOT_A_PICTURE),
        (b"GIF89a" + bytes(50), Reason.NOT_A_PICTURE),
        (b"\xff\xd8", Reason.TRUNCATED),
        (b"\xff\xd8\xff", Reason.TRUNCATED),
        (b"\xff\xd8not a marker", Reason.NOT_A_PICTURE),
        (b"BM", Reason.TRUNCATED),
        (a_jpeg_that_claims(0, 16), Reason.NOT_A_PICTURE),
        (a_png_that_claims(16, 0), Reason.NOT_A_PICTURE),
        (a_tiff((258, 8)), Reason.NOT_A_PICTURE),
    ],
    ids=[
        "empty",
        "text",
        "gif",
        "start only",
        "start and a half",
        "no marker",
        "bm",
        "no width",
        "no height",
        "no size",
    ],
)
def test_what_is_no_picture_is_refused_by_name(data: bytes, reason: Reason) -> None:
    """A renamed text file, a format that is not taken, a header without a size: each says what it is."""
    with pytest.raises(UnreadablePictureError) as caught:
        read_header(data)

    assert caught.value.reason is reason
    assert caught.value.detail


def test_a_damaged_chunk_is_found() -> None:
    """PNG carries checksums; one wrong bit inside is refused."""
    data = bytearray(FILES["png"])
    data[len(data) // 2] ^= 1

    with pytest.raises(UnreadablePictureError, match="damaged"):
        read_header(bytes(data))


@settings(deadline=None, max_examples=300)
@given(start=st.sampled_from(MAGIC), rest=st.binary(max_size=300))
def test_random_bytes_are_refused_and_crash_nothing(start: bytes, rest: bytes) -> None:
    """Whatever lands in the folder, the answer is a reason and never an exception of another kind."""
    found = decoded(start + rest, 1)

    assert found.verdict is Verdict.INVALID if isinstance(found, Reason) else found.ndim == 2


@settings(deadline=None, max_examples=200)
@given(
    name=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_damaged_picture_crashes_nothing(name: str, changes: list[tuple[float, int]]) -> None:
    """Bytes changed at random in a real file: decoded or refused."""
    data = bytearray(FILES[name])
    for place, value in changes:
        data[int(place * len(data))] = value
    found = decoded(bytes(data), 3)

    assert found.verdict is Verdict.INVALID if isinstance(found, Reason) else found.ndim == 3


def test_a_png_with_rows_missing_is_refused() -> None:
    """All chunks are there and their checksums right, but the packed data ends early."""
    with pytest.raises(UnreadablePictureError):
        decode(a_png_that_claims(24, 16), 1)


def test_the_largest_allowed_picture_is_allowed() -> None:
    """100 million pixels are a picture, one row more is not."""
    assert read_header(a_png_that_claims(10_000, 10_000)) == Header(10_000, 10_000)
    with pytest.raises(UnreadablePictureError, match="at most 100,000,000"):
        read_header(a_png_that_claims(10_000, 10_001))


def test_a_real_png_is_not_refused() -> None:
    """The checks above let a good file through."""
    assert read_header(png(a_part(3))) == Header(160, 120)
