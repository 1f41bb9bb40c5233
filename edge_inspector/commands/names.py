"""Names of commands and options: what was called otherwise once, and what was meant by a misspelt one."""

from collections.abc import Iterable

from edge_inspector.text import did_you_mean

RETIRED = {
    "max-turn": "max-rotation",
    "pictures": "images",
    "repeat": "repeatability",
    "take-out": "exclude",
    "turn": "rotation",
}
"""Old name of a command or of an option (without its dashes): the name it has now. Scripts go on with the old one."""


def present_name(name: str) -> str:
    """Return the name that a command or option has now; click asks for each word it reads and each it knows."""
    return RETIRED.get(name, name)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean ...?` for a word that is nearly one of `known`, whatever dashes stand before it."""
    bare = {one.lstrip("-"): one for one in known}
    near = did_you_mean(word.lstrip("-"), bare)
    return next((near.replace(f"`{name}`", f"`{one}`") for name, one in bare.items() if f"`{name}`" in near), "")
