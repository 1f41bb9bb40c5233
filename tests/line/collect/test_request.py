"""What is asked of a collection comes over MQTT: nothing of it is trusted."""

import pytest

from edge_inspector.line.collect.request import MOST, CollectionRequest, request_for

KNOWN = {"washer": "", "bracket": ""}


def an_order(**args: object) -> CollectionRequest:
    """Return an order of a station whose washers are inspected."""
    return request_for("Maria", args, active="washer", known=KNOWN, now_ns=0, monotonic_ns=1)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "expected count"),
        ({"count": -1}, "expected count"),
        ({"count": MOST + 1}, "expected count"),
        ({"count": True}, "expected count"),
        ({"count": "5"}, "expected count"),
        ({"count": 5, "part": "../x"}, "part '../x'"),
        ({"count": 5, "part": "a/b"}, "part 'a/b'"),
        ({"count": 5, "part": 7}, "part: expected"),
        ({"count": 5, "group": ".x"}, "cannot name a file"),
        ({"count": 5, "serial": "x" * 201}, "cannot name a file"),
        ({"count": 5, "folder": "/etc"}, "folder: expected count, part"),
    ],
)
def test_an_order_that_is_wrong_says_what_was_expected(args: dict[str, object], said: str) -> None:
    """Nothing that came over MQTT chooses a path."""
    with pytest.raises(ValueError, match=said):
        an_order(**args)


@pytest.mark.parametrize(
    ("part", "parts", "is_new"),
    [("", ("washer",), False), ("bracket", ("bracket",), False), ("flange", ("flange", "washer"), True)],
)
def test_a_new_part_comes_as_the_active_one(part: str, parts: tuple[str, ...], *, is_new: bool) -> None:
    """No bundle knows it; what is known comes as itself."""
    request = an_order(count=5, part=part)

    assert (request.part, request.parts, request.is_new) == (parts[0], parts, is_new)
