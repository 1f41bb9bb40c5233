"""What an image that goes over MQTT says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.inspection.model import Verdict
from edge_inspector.line.pool.stamps import (
    NO_IMAGES,
    Stamp,
    StampError,
    arrival_id,
    camera_of,
    read_stamp,
    write_stamp,
)

LEAST = (("capture", "c1"), ("captured_at", "2026-01-01T12:00:00.250Z"))
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="+#/$."), min_size=1)
stamps = st.builds(
    Stamp,
    capture=names.filter(lambda name: len(name) <= 64),
    captured_ns=st.integers(0, 4_000_000_000_000).map(lambda ms: ms * 1_000_000),
    captured_source=st.sampled_from(["mtime", "grab", "exif"]),
    serial=names,
    lot=names,
    again=st.booleans(),
    no_image=st.sampled_from(["", *NO_IMAGES]),
    detail=names,
)


@given(stamps)
def test_what_is_written_is_read(stamp: Stamp) -> None:
    """A worker knows of an image what its camera's PC knew."""
    assert read_stamp(write_stamp(stamp)) == stamp


def test_least_is_capture_and_time() -> None:
    """Any program that knows MQTT 5 can send an image."""
    assert read_stamp(LEAST) == Stamp("c1", 1_767_268_800_250_000_000, "mtime")


def test_what_nobody_knows_is_no_fault() -> None:
    """A newer camera PC may say more."""
    assert read_stamp((*LEAST, ("colour", "red"))) == read_stamp(LEAST)


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ((), "no user property capture and no captured_at"),
        (LEAST[:1], "no user property captured_at"),
        ((*LEAST, ("capture", "c2")), "'capture' comes twice"),
        ((("capture", "a/b"), LEAST[1]), "capture 'a/b'"),
        ((("capture", "x" * 65), LEAST[1]), "1 to 64"),
        ((LEAST[0], ("captured_at", "yesterday")), "captured_at 'yesterday'"),
        ((LEAST[0], ("captured_at", "0001-01-01T00:00:00.000Z")), "after 1970"),
        ((*LEAST, ("captured_at_source", "guess")), "captured_at_source 'guess'"),
        ((*LEAST, ("part", "a b")), "part 'a b'"),
        ((*LEAST, ("serial", "../x")), "serial"),
        ((*LEAST, ("lot", "l" * 256)), "lot"),
        ((*LEAST, ("again", "1")), "again '1'"),
        ((*LEAST, ("no_picture", "WITHIN_" + "LIMIT")), "no_picture"),
        ((*LEAST, ("no_picture", "DARK")), "no_picture"),
    ],
)
def test_what_is_not_right_is_refused(properties: tuple[tuple[str, str], ...], why: str) -> None:
    """Nothing is guessed, and nothing that may not be a topic or a path gets through."""
    with pytest.raises(StampError) as error:
        read_stamp(properties)

    assert why in str(error.value)


def test_no_camera_can_say_that_a_part_is_good() -> None:
    """Where there is no image the verdict is INVALID or ERROR, whatever the camera says."""
    assert {reason.verdict for reason in NO_IMAGES.values()} == {Verdict.INVALID, Verdict.ERROR}


def test_the_id_is_the_capture_s() -> None:
    """It is the same whoever judges, and another for each capture of each camera."""
    assert arrival_id("cam-1", "c1") == arrival_id("cam-1", "c1")
    assert len({arrival_id(camera, capture) for camera in ("a", "b") for capture in ("1", "2")}) == 4


@pytest.mark.parametrize("name", ["", "a/result", ".x", "a b"])
def test_a_topic_that_names_no_camera_is_refused(name: str) -> None:
    """Results go back to a topic with this name."""
    with pytest.raises(StampError):
        camera_of(name)
