"""A decoder trusts the header with memory and paints what is missing grey; neither reaches a detector."""

import io
import os
import struct
import threading
import time
import zlib

import cv2
import numpy as np
import pytest
from factories import a_part, jpeg, png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from edge_inspector.inspection.header import Header, UnreadableImageError, read_header
from edge_inspector.inspection.model import Image, Reason, Verdict
from edge_inspector.inspection.preprocess import decode

SMALL = a_part(0, width=24, height=16)
MAGIC = (
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"RIFF\x40\0\0\0WEBPVP8L",
    b"RIFF\x40\0\0\0WEBPVP8X",
    b"\xff\xd8",
    b"\xff\xd8\xff\xe0\x00\x10",
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"",
)


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
    "webp": by_pillow("WEBP", quality=90),
    "webp without losses": by_pillow("WEBP", lossless=True),
    "webp with a profile": by_pillow("WEBP", exif=Pillow.Exif().tobytes() + b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"),
}


def several(kind: str, count: int = 2, **options: object) -> bytes:
    """Return different parts in one file, as another program writes them."""
    first, *rest = (Pillow.fromarray(a_part(seed, width=24, height=16)[..., ::-1]) for seed in range(count))
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=rest, **options)
    return buffer.getvalue()


SEVERAL = {
    "tiff of two pages": (several("TIFF"), 2),
    "tiff of three packed pages": (several("TIFF", 3, compression="tiff_lzw"), 3),
    "tiff of opencv": (bytes(cv2.imencodemulti(".tiff", [SMALL, a_part(1, width=24, height=16)])[1]), 2),
    "two jpegs": (FILES["jpeg"] * 2, 2),
    "three jpegs with padding between": ((FILES["jpeg"] + bytes(40)) * 3, 3),
    "mpo": (several("MPO"), 2),
    "a jpeg and half of another": (FILES["jpeg"] + FILES["jpeg"][:-40], 2),
    "animated webp": (several("WEBP", 3, duration=100), 3),
    "two webps": (FILES["webp"] * 2, 2),
    "animated png": (several("PNG", 2), 2),
    "two pngs": (FILES["png"] * 2, 2),
    "two bmps": (FILES["bmp"] * 2, 2),
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
    """Return a TIFF directory of LONG tags, followed by a few bytes of image."""
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + bytes(200)


def decoded(data: bytes, channels: int) -> Image | Reason:
    """Return the image, or why there is none; any other exception is a fault."""
    try:
        return decode(data, channels)
    except UnreadableImageError as error:
        return error.reason


@pytest.mark.parametrize("name", FILES)
def test_a_complete_file_tells_its_size(name: str) -> None:
    """Whatever program wrote it."""
    assert read_header(FILES[name]) == Header(24, 16)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_off_anywhere_is_never_judged_as_if_it_were_whole(name: str) -> None:
    """A camera that is still writing, or died: refused at every byte, or nothing of the image is missing."""
    data = FILES[name]
    whole = decode(data, 3)
    for length in range(len(data)):
        try:
            found = decode(data[:length], 3)
        except UnreadableImageError:
            continue

        assert np.array_equal(found, whole), f"accepted when cut after {length} of {len(data)} bytes"


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "png", "bmp", "webp", "webp without losses"])
def test_a_file_without_its_last_byte_is_truncated(name: str) -> None:
    """The reason says what to do: write elsewhere, then rename."""
    with pytest.raises(UnreadableImageError) as caught:
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
    with pytest.raises(UnreadableImageError) as caught:
        decode(data, 1)

    assert caught.value.reason is Reason.TOO_LARGE
    assert time.process_time() - start < 0.2


@pytest.mark.parametrize(("first", "second"), [(20_000, 8), (8, 20_000)])
def test_a_tiff_that_claims_two_sizes_is_refused(first: int, second: int) -> None:
    """Decoders take the first, so a header bomb must not hide behind a second."""
    with pytest.raises(UnreadableImageError):
        read_header(a_tiff((256, first), (256, second), (257, first), (257, second)))


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image() -> None:
    """EXIF holds a complete little JPEG; an image cut off behind it is still cut off."""
    thumbnail = b"Exif\0\0" + jpeg(a_part(1, width=16, height=16))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = FILES["jpeg"][:2] + segment + FILES["jpeg"][2:]

    assert read_header(whole) == Header(24, 16)
    with pytest.raises(UnreadableImageError) as caught:
        read_header(whole[:-2])
    assert caught.value.reason is Reason.TRUNCATED


def test_bytes_behind_the_end_do_no_harm() -> None:
    """Some cameras append their own data to a JPEG."""
    assert read_header(FILES["jpeg"] + b"camera 7") == Header(24, 16)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"serial;verdict\n4711;OK\n", Reason.NOT_AN_IMAGE),
        (b"GIF89a" + bytes(50), Reason.NOT_AN_IMAGE),
        (b"\xff\xd8", Reason.TRUNCATED),
        (b"\xff\xd8\xff", Reason.TRUNCATED),
        (b"\xff\xd8not a marker", Reason.NOT_AN_IMAGE),
        (b"BM", Reason.TRUNCATED),
        (a_jpeg_that_claims(0, 16), Reason.NOT_AN_IMAGE),
        (a_png_that_claims(16, 0), Reason.NOT_AN_IMAGE),
        (a_tiff((258, 8)), Reason.NOT_AN_IMAGE),
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
def test_what_is_no_image_is_refused_by_name(data: bytes, reason: Reason) -> None:
    """A renamed text file, a format that is not taken, a header without a size: each says what it is."""
    with pytest.raises(UnreadableImageError) as caught:
        read_header(data)

    assert caught.value.reason is reason
    assert caught.value.detail


def test_a_damaged_chunk_is_found() -> None:
    """PNG carries checksums; one wrong bit inside is refused."""
    data = bytearray(FILES["png"])
    data[len(data) // 2] ^= 1

    with pytest.raises(UnreadableImageError, match="damaged"):
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
def test_a_damaged_image_crashes_nothing(name: str, changes: list[tuple[float, int]]) -> None:
    """Bytes changed at random in a real file: decoded or refused."""
    data = bytearray(FILES[name])
    for place, value in changes:
        data[int(place * len(data))] = value
    found = decoded(bytes(data), 3)

    assert found.verdict is Verdict.INVALID if isinstance(found, Reason) else found.ndim == 3


def test_a_png_with_rows_missing_is_refused() -> None:
    """All chunks are there and their checksums right, but the packed data ends early."""
    with pytest.raises(UnreadableImageError):
        decode(a_png_that_claims(24, 16), 1)


def test_the_largest_allowed_image_is_allowed() -> None:
    """100 million pixels are an image, one row more is not."""
    assert read_header(a_png_that_claims(10_000, 10_000)) == Header(10_000, 10_000)
    with pytest.raises(UnreadableImageError, match="at most 100,000,000"):
        read_header(a_png_that_claims(10_000, 10_001))


def test_a_real_png_is_not_refused() -> None:
    """The checks above let a good file through."""
    assert read_header(png(a_part(3))) == Header(160, 120)


@pytest.mark.parametrize("name", SEVERAL)
def test_a_file_of_several_images_is_invalid(name: str) -> None:
    """A decoder shows the first alone; the defect may be on the second."""
    data, count = SEVERAL[name]
    with pytest.raises(UnreadableImageError) as caught:
        decode(data, 3)

    assert caught.value.reason is Reason.WRONG_FORMAT
    assert f"holds {count} images" in caught.value.detail


def test_a_thumbnail_is_no_second_image() -> None:
    """In EXIF, or as a reduced copy in a TIFF; nor are a camera's own data or padding behind the image."""
    thumbnail = b"Exif\0\0" + jpeg(a_part(1, width=16, height=16))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    exif = FILES["jpeg"][:2] + segment + FILES["jpeg"][2:]

    for data in (
        exif,
        *(FILES["jpeg"] + rest for rest in (bytes(4096), b"\xff" * 512, b"\xff\xd8\xff", b"camera \xff\xd8")),
    ):
        assert read_header(data) == Header(24, 16)


@pytest.mark.parametrize(("tag", "value"), [(254, 1), (254, 4), (255, 2)], ids=["reduced", "mask", "old reduced"])
def test_a_reduced_copy_in_a_tiff_is_no_second_image(tag: int, value: int) -> None:
    """Second in the list and marked so; unmarked it counts."""
    rows = [(256, 24), (257, 16)]
    size = 2 + 12 * len(rows) + 4

    def two(marks: list[tuple[int, int]]) -> bytes:
        first = a_tiff(*rows)[: 8 + size - 4] + struct.pack("<I", 8 + size)
        return first + a_tiff(*marks, (256, 12), (257, 8))[8:]

    assert read_header(two([(tag, value)])) == Header(24, 16)
    with pytest.raises(UnreadableImageError, match="holds 2 images"):
        read_header(two([]))


def test_a_tiff_that_begins_with_its_thumbnail_is_refused() -> None:
    """A decoder takes the first: the part would be judged by its thumbnail."""
    rows = [(254, 1), (256, 12), (257, 8)]
    size = 2 + 12 * len(rows) + 4
    first = a_tiff(*rows)[: 8 + size - 4] + struct.pack("<I", 8 + size)

    with pytest.raises(UnreadableImageError, match="holds 2 images"):
        read_header(first + a_tiff((256, 24), (257, 16))[8:])


def noisy_jpeg(seed: int, *options: int) -> bytes:
    """Return a JPEG with the noise of a real camera."""
    noise = np.random.default_rng(seed).normal(0, 3, (120, 160, 3))
    return bytes(cv2.imencode(".jpg", np.clip(a_part(seed) + noise, 0, 255).astype(np.uint8), options)[1])


@pytest.mark.parametrize(
    "options",
    [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_OPTIMIZE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 5)],
    ids=["baseline", "progressive", "optimised", "with restarts"],
)
@pytest.mark.parametrize("damage", ["holed", "zeroed"])
def test_a_jpeg_without_some_of_its_bits_is_refused(damage: str, options: tuple[int, ...]) -> None:
    """Beginning and end are there, the header is right, and the decoder makes something up for the rest."""
    for seed in range(8):
        data = noisy_jpeg(seed, *options)
        assert decode(data, 3).shape == (120, 160, 3)
        start, length = len(data) // 3, len(data) // 4
        damaged = data[:start] + (bytes(length) if damage == "zeroed" else b"") + data[start + length :]
        with pytest.raises(UnreadableImageError) as caught:
            decode(damaged, 3)

        assert caught.value.reason.verdict is Verdict.INVALID


def test_padding_before_the_end_of_a_jpeg_does_no_harm() -> None:
    """Some cameras fill their packets up."""
    data = noisy_jpeg(1)

    for padding in (bytes(7), bytes(900)):
        assert np.array_equal(decode(data[:-2] + padding + data[-2:], 3), decode(data, 3))


def test_what_others_write_on_standard_error_while_a_jpeg_is_decoded_is_not_lost(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The decoder is listened to there; a log line in that moment comes out after it."""
    data = noisy_jpeg(2)

    def talk() -> None:
        for number in range(2000):
            os.write(2, f"line {number}\n".encode())

    talker = threading.Thread(target=talk)
    talker.start()
    while talker.is_alive():
        decode(data, 3)
        with pytest.raises(UnreadableImageError):
            decode(data[: len(data) // 2] + data[3 * len(data) // 4 :], 3)
    talker.join()

    heard = capfd.readouterr().err
    assert heard.splitlines() == [f"line {number}" for number in range(2000)]
