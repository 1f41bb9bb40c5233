"""Settings that are written are the settings that are read."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.toml import to_toml

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
PLAIN = TEXTS | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    PLAIN | st.lists(PLAIN, min_size=1, max_size=3),
    lambda inner: (
        st.dictionaries(TEXTS, inner, max_size=4)
        | st.lists(st.dictionaries(TEXTS, inner, max_size=3), min_size=1, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_what_is_written_is_read(table: dict[str, Any]) -> None:
    """Any nesting, any text: quotes, line ends and control characters cannot become a key of their own."""
    assert tomllib.loads(to_toml(table)) == table


def test_what_settings_cannot_hold_is_refused() -> None:
    """None is no value in TOML; leaving it out silently would be a guess."""
    with pytest.raises(TypeError, match="NoneType"):
        to_toml({"password_file": None})
