"""When a file is complete: an event's word at once, stillness otherwise."""

import os

import pytest

from edge_inspector.line.settle import Settling

QUIET = 500


def status(size: int = 10, mtime_ns: int = 1) -> os.stat_result:
    """Return what a file system says of a file."""
    return os.stat_result((0, 0, 0, 0, 0, 0, size, 0, 0, 0), {"st_mtime_ns": mtime_ns})


def test_an_event_is_believed_at_once() -> None:
    """A file that was renamed in or closed after writing does not wait."""
    settling = Settling(QUIET)

    settling.vouch("a.png")

    assert settling.is_complete("a.png", status(), 0)
    assert not settling.is_complete("b.png", status(), 0)


def test_without_an_event_a_file_must_be_still() -> None:
    """On a network share nobody says when a file is complete."""
    settling = Settling(QUIET)

    complete = [settling.is_complete("a.png", status(), now) for now in (0, 499, 500)]

    assert complete == [False, False, True]


@pytest.mark.parametrize("changed", [status(size=11), status(mtime_ns=2)])
def test_every_change_begins_the_wait_anew(changed: os.stat_result) -> None:
    """A slow camera pauses between blocks."""
    settling = Settling(QUIET)
    settling.is_complete("a.png", status(), 0)

    complete = [settling.is_complete("a.png", changed, now) for now in (499, 998, 999)]

    assert complete == [False, False, True]


def test_a_name_that_was_taken_is_another_part_next_time() -> None:
    """Neither the word nor the stillness of the last file counts for the next of that name."""
    settling = Settling(QUIET)
    settling.vouch("a.png")
    settling.is_complete("b.png", status(), 0)

    settling.forget("a.png")
    settling.forget("b.png")

    assert not settling.is_complete("a.png", status(), 1000)
    assert not settling.is_complete("b.png", status(), 1000)


def test_files_that_are_gone_are_forgotten() -> None:
    """A million parts later the memory is as small as at the start."""
    settling = Settling(QUIET)
    settling.vouch("a.png")
    settling.is_complete("b.png", status(), 0)

    settling.keep_only(set())

    assert not settling.waiting()
    assert not settling.is_complete("a.png", status(), 0)
    assert not settling.is_complete("b.png", status(), QUIET)
