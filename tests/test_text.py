"""Text from Windows, editors and PLCs is understood without a guess, or refused in words."""

import pytest

from edge_inspector.text import composed, did_you_mean, read_text, shown


@pytest.mark.parametrize(
    "raw",
    ["Gehäuse".encode(), "Gehäuse".encode("utf-8-sig"), "Gehäuse".encode("utf-16"), "Gehäuse".encode() + b"\0\0"],
    ids=["plain", "BOM", "UTF-16 with BOM", "NULs at the end"],
)
def test_what_needs_no_guess_is_understood(raw: bytes) -> None:
    """Notepad's marks and a PLC's filling say nothing about the text."""
    assert read_text(raw) == "Gehäuse"


def test_big_endian_too() -> None:
    """As some editors save it."""
    assert read_text(b"\xfe\xff\0a\0b") == "ab"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("Gehäuse".encode("cp1252"), "byte 4 is not UTF-8: saved as ANSI"),
        ("Gehause".encode("utf-16-le"), "UTF-16"),
        ("Geh".encode("utf-16")[:-1], "UTF-16 that was cut off"),
        (b"disc\0left", "NULs"),
    ],
)
def test_what_needs_one_is_refused(raw: bytes, words: str) -> None:
    """The message says what it seems to be and shows none of it: it may be a password."""
    with pytest.raises(ValueError, match=words) as caught:
        read_text(raw)

    assert "Geh" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("deadline", "deadline_ms"),
        ("prot", "port"),
        ("Port", "port"),
        ("deadline-ms", "deadline_ms"),
        ("colour", ""),
        ("", ""),
    ],
)
def test_a_near_name_is_suggested_and_a_far_one_not(name: str, said: str) -> None:
    """A wrong suggestion costs more time than none."""
    words = did_you_mean(name, ["root", "port", "deadline_ms", "queue"])

    assert words == (f", did you mean `{said}`?" if said else "")


def test_nothing_is_near_where_nothing_is_known() -> None:
    """No crash."""
    assert did_you_mean("x", []) == ""


def test_names_have_one_spelling_and_can_be_printed() -> None:
    """NFC; bytes that are not UTF-8 and halves of characters become replacement characters."""
    assert composed("a\u0308") == "ä"
    assert shown("teil_\udce4.jpg") == "teil_\ufffd.jpg"
    assert shown("\ud83d").encode()
