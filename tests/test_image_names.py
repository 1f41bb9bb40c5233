"""One answer for lab and line to what an image file is."""

import pytest

from edge_inspector.image_names import ENDINGS, ending_for, in_words, is_image, is_litter, is_unread_image


@pytest.mark.parametrize("name", ["1.jpg", "1.JPE", "1.jfif", "1.webp", "teil.TIFF", "a.b.png", "teil_\udce4.bmp"])
def test_every_ending_that_is_read_is_an_image_in_any_case(name: str) -> None:
    """Cameras on Windows write upper case, phones and browsers .jfif and .webp."""
    assert is_image(name)


@pytest.mark.parametrize("name", ["1.txt", "1.jpg.part", "jpg", "._1.jpg", ".hidden.png", "Thumbs.db", ""])
def test_what_no_camera_wrote_is_no_image(name: str) -> None:
    """A Mac's attribute copies end in .jpg and are not images."""
    assert not is_image(name)


@pytest.mark.parametrize("name", ["1.gif", "1.HEIC", "1.avif", "1.raw", "a.NEF"])
def test_an_image_of_a_format_that_is_not_read_is_known_as_one(name: str) -> None:
    """So that it can be named: it is no litter, and no image that could be judged."""
    assert is_unread_image(name)
    assert not is_image(name)
    assert not is_unread_image(f".{name}")


def test_a_name_that_is_no_utf_8_can_be_written_down() -> None:
    """With replacement characters for the bytes that say nothing."""
    assert in_words("teil_\udce4_ü.jpg").encode().decode() == "teil_\ufffd_ü.jpg"


@pytest.mark.parametrize("name", [".Trash-1000", "$RECYCLE.BIN", "@eaDir", "#recycle", ".done", "__MACOSX", "._x.jpg"])
def test_bins_and_hidden_folders_are_litter(name: str) -> None:
    """What lies in a bin was thrown away, and must not be trained on."""
    assert is_litter(name)


@pytest.mark.parametrize(
    ("start", "ending"),
    [
        (b"\xff\xd8\xff", ".jpg"),
        (b"\x89PNG", ".png"),
        (b"BM", ".bmp"),
        (b"II*\x00", ".tif"),
        (b"MM\x00*", ".tif"),
        (b"RIFF\x10\x00\x00\x00WEBP", ".webp"),
        (b"RIFF\x10\x00\x00\x00WAVE", ""),
        (b"", ""),
    ],
)
def test_a_kept_image_is_named_after_its_bytes(start: bytes, ending: str) -> None:
    """Archive and collection keep the camera's bytes: whatever opens the file later must find them as what they are."""
    assert ending_for(start) == ending
    assert not ending or ending in ENDINGS
