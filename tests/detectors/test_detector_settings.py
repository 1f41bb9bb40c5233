"""What can be set on a detector is written down, and nothing else is taken."""

import pytest

from edge_inspector.detectors import settings
from edge_inspector.detectors.settings import (
    KINDS,
    CaeSettings,
    PatchSettings,
    UnetSettings,
    choose_kind,
    parse_settings,
)
from edge_inspector.errors import UsageError


def test_settings_are_taken_as_they_are_typed() -> None:
    """Words from the command line become numbers and switches; what is not named keeps its default."""
    found = parse_settings("cae:mvtec", {"rate": "0.0003", "tolerance": "False", "batch": "4"})

    assert found == CaeSettings(kind="cae:mvtec", rate=0.0003, tolerance=False, batch=4)
    assert parse_settings("cae:my", {}) == CaeSettings()
    assert parse_settings("unet", {"residual": "l2"}) == UnetSettings(residual="l2")
    assert parse_settings("patch", {"boxes": "pixel", "k": "3"}) == PatchSettings(boxes="pixel", k=3)


@pytest.mark.parametrize(
    ("installed", "autoencoder", "kind", "why"),
    [
        (True, False, "memory", "--detector takes another"),
        (False, False, "cae:my", "pip install 'edge-inspector[backbone]'"),
        (True, True, "cae:my", "are for autoencoders"),
    ],
)
def test_the_default_is_the_best_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
    *,
    installed: bool,
    autoencoder: bool,
    kind: str,
    why: str,
) -> None:
    """And why it is that one is said."""
    monkeypatch.setattr(settings, "find_spec", lambda _name: object() if installed else None)
    found, words = choose_kind(autoencoder=autoencoder)

    assert found == kind
    assert why in words


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_settings(kind: str) -> None:
    """With a default for each."""
    assert parse_settings(kind, {}).kind == kind


def test_a_kind_that_does_not_exist_is_refused() -> None:
    """The message lists those that exist."""
    with pytest.raises(UsageError, match=r"--detector magic: expected one of cae:my, .*patch, padim, "):
        parse_settings("magic", {})


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("cae:my", {"colour": "1"}, "colour"),
        ("cae:my", {"rate": "fast"}, "rate"),
        ("cae:my", {"rate": "-1"}, "rate"),
        ("cae:my", {"smoothing": "nan"}, "smoothing"),
        ("cae:my", {"residual": "l3"}, "residual"),
        ("cae:my", {"batch": "0"}, "batch"),
        ("cae:skip", {"loss": "l1"}, "loss"),
        ("unet", {"patch": "40"}, "patch"),
        ("patch", {"residual": "l1"}, "residual"),
        ("patch", {"smoothing": "1"}, "smoothing"),
        ("patch", {"patch": "1"}, "patch"),
        ("padim", {"residual": "l1"}, "residual"),
        ("padim", {"neighbourhood": "2"}, "neighbourhood"),
        ("padim", {"augment": "melt"}, "augment"),
        ("patch", {"boxes": "both"}, "boxes"),
        ("patch", {"k": "0"}, "k"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(kind: str, changes: dict[str, str], words: str) -> None:
    """The message names the setting and lists those that exist."""
    with pytest.raises(UsageError, match=rf"--set: .*\b{words}\b.*settings of {kind}: augment, tile, overlap, .*"):
        parse_settings(kind, changes)
