"""When a file is complete: an event's word at once, stillness otherwise."""

import os
from collections.abc import Sequence

import pytest

from edge_inspector.line.sources.settle import Patience, Settling

QUIET, CLOSED, UNFINISHED = 500, 100, 2000
PATIENCE = Patience(QUIET, CLOSED, UNFINISHED)


def status(size: int = 10, mtime_ns: int = 1) -> os.stat_result:
    """Return what a file system says of a file."""
    return os.stat_result((0, 0, 0, 0, 0, 0, size, 0, 0, 0), {"st_mtime_ns": mtime_ns})


def complete(settling: Settling, times: Sequence[int], *, whole: bool = True, **state: int) -> list[bool]:
    """Return whether `a.png` may be taken, at several times."""
    return [settling.is_complete("a.png", status(**state), now, lambda: whole) for now in times]


def test_a_file_that_was_renamed_into_its_place_never_waits() -> None:
    """Its sender says that it is complete, even where its content does not look so."""
    settling = Settling(PATIENCE)

    settling.vouch("a.png", moved=True)

    assert complete(settling, [0], whole=False) == [True]
    assert not settling.is_complete("b.png", status(), 0, lambda: True)


def test_a_file_that_was_closed_waits_a_moment() -> None:
    """A sender may open it again at once: to fill what it created, or to append."""
    settling = Settling(PATIENCE)

    settling.vouch("a.png", moved=False)

    assert complete(settling, [0, 99, 100]) == [False, False, True]


def test_each_close_begins_the_wait_anew() -> None:
    """Also where neither size nor time have changed."""
    settling = Settling(PATIENCE)
    settling.vouch("a.png", moved=False)
    complete(settling, [0])

    settling.vouch("a.png", moved=False)

    assert complete(settling, [99, 198, 199]) == [False, False, True]


def test_what_was_written_to_after_its_rename_is_no_longer_vouched_for() -> None:
    """The rename said nothing of what came later."""
    settling = Settling(PATIENCE)
    settling.vouch("a.png", moved=True)

    settling.vouch("a.png", moved=False)

    assert complete(settling, [0, 100]) == [False, True]


@pytest.mark.parametrize("closed", [True, False])
def test_what_ends_too_early_is_waited_for_longest(closed: bool) -> None:  # noqa: FBT001
    """A slow sender pauses; what stays cut off is answered in the end."""
    settling = Settling(PATIENCE)
    if closed:
        settling.vouch("a.png", moved=False)

    assert complete(settling, [0, 500, 1999, 2000], whole=False) == [False, False, False, True]


def test_without_an_event_a_file_must_be_still() -> None:
    """On a network share nobody says when a file is complete."""
    assert complete(Settling(PATIENCE), [0, 499, 500]) == [False, False, True]


@pytest.mark.parametrize("changed", [{"size": 11}, {"mtime_ns": 2}])
def test_every_change_begins_the_wait_anew(changed: dict[str, int]) -> None:
    """A slow camera pauses between blocks."""
    settling = Settling(PATIENCE)
    complete(settling, [0])

    assert complete(settling, [499, 998, 999], **changed) == [False, False, True]


def test_a_content_is_looked_at_once() -> None:
    """A large image is not read at every look."""
    settling, looks = Settling(PATIENCE), []
    for now in (0, 500, 1000, 1999):
        settling.is_complete("a.png", status(), now, lambda: bool(looks.append(1)))

    assert looks == [1]


def test_it_is_known_when_to_look_again() -> None:
    """Neither too late for the image nor all the time."""
    settling = Settling(PATIENCE)
    before = settling.due_ns(0)
    settling.vouch("a.png", moved=False)
    complete(settling, [0], whole=False)
    first = settling.due_ns(40)
    complete(settling, [100], whole=False)

    assert (before, first, settling.due_ns(100), settling.due_ns(2000)) == (None, 60, 1900, None)


def test_a_name_that_was_taken_is_another_part_next_time() -> None:
    """Neither the word nor the stillness of the last file counts for the next of that name."""
    settling = Settling(PATIENCE)
    settling.vouch("a.png", moved=True)
    settling.forget("a.png")

    assert complete(settling, [1000]) == [False]
    settling.forget("a.png")
    assert complete(settling, [2000]) == [False]


def test_files_that_are_gone_are_forgotten() -> None:
    """A million parts later the memory is as small as at the start."""
    settling = Settling(PATIENCE)
    settling.vouch("a.png", moved=True)
    settling.is_complete("b.png", status(), 0, lambda: True)

    settling.keep_only(set())

    assert settling.due_ns(0) is None
    assert complete(settling, [0]) == [False]
    assert not settling.is_complete("b.png", status(), QUIET, lambda: True)
