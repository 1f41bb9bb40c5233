"""Is the clock kept right."""

import re

import pytest

from edge_inspector.line.station.clock import describe_clock, read_clock_error_us


@pytest.mark.parametrize(
    ("error_us", "right", "words"),
    [
        (1500, True, "synchronised, wrong by 2 ms at most"),
        (15_999_999, True, "synchronised"),
        (16_000_000, False, "not synchronised; .*chrony"),
        (None, False, "the kernel does not say"),
    ],
)
def test_what_the_kernel_says_is_put_into_words(error_us: int | None, right: bool, words: str) -> None:  # noqa: FBT001
    """Sixteen seconds is where the kernel itself gives up."""
    found, said = describe_clock(error_us)

    assert found is right
    assert re.match(words, said)


def test_the_kernel_is_asked() -> None:
    """The figure is the kernel's: between right now and its limit of sixteen seconds."""
    error = read_clock_error_us()

    assert error is not None
    assert 0 <= error <= 16_000_000
