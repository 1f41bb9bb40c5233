"""Text as Windows, editors and PLCs write it; what is understood without a guess is understood, the rest is refused."""

import codecs
import re
import unicodedata
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_TEXT = re.compile("[\ud800-\udfff]")
"""How Python keeps the bytes of a file name that are not UTF-8, and halves of characters that JSON can hold."""
_NEAR = 0.7
"""Share of letters that two names have in common; with less a suggestion misleads."""
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def read_text(raw: bytes) -> str:
    """Return the text of bytes from outside, without the mark (BOM) in front and the NULs at the end.

    Raises:
        ValueError: it is not UTF-8; the message says what it seems to be and what to do, and shows none of it.
    """
    encoding = next((name for mark, name in _UTF16.items() if raw.startswith(mark)), "utf-8-sig")
    try:
        text = raw.decode(encoding).removeprefix("\ufeff").rstrip("\0")
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise ValueError("it is UTF-16 that was cut off: save it as UTF-8") from error
        raise ValueError(f"byte {error.start + 1} is not UTF-8: saved as ANSI? Save it as UTF-8") from error
    if "\0" in text:
        raise ValueError("it holds NULs: saved as UTF-16? Save it as UTF-8")
    return text


def composed(text: str) -> str:
    """Return a name in one spelling (Unicode NFC): a Mac writes ä as a and two dots, a keyboard as one letter."""
    return unicodedata.normalize("NFC", text)


def shown(text: str) -> str:
    """Return a name that any program may print: bytes that are not UTF-8 become replacement characters."""
    return _NO_TEXT.sub("\ufffd", text)


def did_you_mean(name: str, known: "Iterable[str]") -> str:
    """Return `, did you mean ...?` for a name that is nearly a known one; empty where none is near."""
    wanted = _letters(name)

    def nearness(other: str) -> tuple[float, bool]:
        letters = _letters(other)
        return SequenceMatcher(None, wanted, letters).ratio(), sorted(wanted) == sorted(letters)

    near = max(known, key=nearness, default="")
    return f", did you mean `{near}`?" if near and nearness(near)[0] >= _NEAR else ""


def _letters(name: str) -> str:
    return name.casefold().replace("-", "_")
