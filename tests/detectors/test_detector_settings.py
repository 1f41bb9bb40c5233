"""What can be set on a detector is written down, and nothing else is taken."""

import pytest

from edge_inspector.detectors.settings import DEFAULT_KIND, CaeSettings, parse_settings
from edge_inspector.errors import UsageError


def test_settings_are_taken_as_they_are_typed() -> None:
    """Words from the command line become numbers and switches; what is not named keeps its default."""
    found = parse_settings("cae:mvtec", {"rate": "0.0003", "tolerance": "False", "batch": "4"})

    assert found == CaeSettings(kind="cae:mvtec", rate=0.0003, tolerance=False, batch=4)
    assert parse_settings(DEFAULT_KIND, {}) == CaeSettings()


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("patchcore", {}, "kind"),
        ("cae:my", {"colour": "1"}, "colour"),
        ("cae:my", {"rate": "fast"}, "rate"),
        ("cae:my", {"rate": "-1"}, "rate"),
        ("cae:my", {"smoothing": "nan"}, "smoothing"),
        ("cae:my", {"residual": "l3"}, "residual"),
        ("cae:my", {"batch": "0"}, "batch"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(kind: str, changes: dict[str, str], words: str) -> None:
    """The message names the setting and lists those that exist."""
    with pytest.raises(UsageError, match=rf"detector setting {words}: .*smoothing.*batch"):
        parse_settings(kind, changes)
