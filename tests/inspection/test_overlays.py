"""What a person is shown fits the wire, names its part, and can be compared with another."""

import cv2
import numpy as np
import pytest
from factories import a_blob, a_part
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspector.inspection.overlays import draw_boxes, heat_map, overlay, thumbnail
from edge_inspector.inspection.placement import Placement

NOISE = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)


def comment_of(data: bytes) -> bytes:
    """Return the comment segment that follows a JPEG's start."""
    assert data[:4] == b"\xff\xd8\xff\xfe"
    return data[6 : 4 + int.from_bytes(data[4:6], "big")]


@settings(deadline=None, max_examples=20)
@given(limit=st.integers(2_000, 500_000), noisy=st.booleans())
def test_a_thumbnail_never_has_more_bytes_than_allowed(limit: int, *, noisy: bool) -> None:
    """An image of pure noise too, down to the smallest limit that the settings allow."""
    data, width, height = thumbnail(NOISE if noisy else a_part(0), (a_blob(),), "0" * 32, limit)
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)

    assert len(data) <= limit
    assert shown.shape == (height, width, 3)


def test_a_thumbnail_names_its_part() -> None:
    """Where MQTT 5 properties are lost, the JPEG comment still joins image and verdict."""
    data, width, height = thumbnail(a_part(0), (), "4711", 20_000)

    assert comment_of(data) == b"id=4711"
    assert (width, height) == (160, 120)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1), np.uint8),
        np.full((3000, 2), 255, np.uint8),
        np.full((2, 3000, 3), 9, np.uint8),
        np.full((600, 800), 40_000, np.uint16),
        np.full((600, 800, 3), 40_000, np.uint16),
    ],
    ids=["one pixel", "a column", "a row", "16 bits", "16 bits, colour"],
)
def test_every_image_has_a_thumbnail(image: np.ndarray) -> None:
    """However thin, small or deep it is."""
    data, width, height = thumbnail(image, (), "a", 20_000)

    assert max(width, height) <= 480
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (height, width, 3)


def test_a_box_is_drawn_where_the_blob_is() -> None:
    """Red over the limit, amber over the review limit only; the camera's image itself is left as it was."""
    image = np.full((100, 200), 50, np.uint8)
    blobs = a_blob(x=20, y=30, width=40, height=30), a_blob(x=120, y=40, width=20, height=20, over_threshold=False)
    shown = draw_boxes(image, blobs, 200)

    assert shown[30, 40].tolist() == [45, 45, 235]
    assert shown[40, 130].tolist() == [0, 170, 255]
    assert shown[45, 40].tolist() == [50, 50, 50]
    assert (image == 50).all()


def test_the_colours_of_a_heat_map_mean_the_same_for_every_part() -> None:
    """A place at the limit has one colour, whatever else is in the map; what is not a number is shown as worst."""
    calm, wild = np.zeros((4, 4), np.float32), np.full((4, 4), 9, np.float32)
    calm[1, 1] = wild[1, 1] = 0.5
    calm[2, 2] = np.nan

    assert heat_map(calm, 0.5)[1, 1].tolist() == heat_map(wild, 0.5)[1, 1].tolist()
    assert heat_map(calm, 0.5)[2, 2].tolist() == heat_map(wild, 0.5)[0, 0].tolist()


def test_the_heat_lies_over_the_inspected_region_only() -> None:
    """Outside the region the image is the camera's, and the camera's own image is not painted on."""
    image = a_part(0)
    before = image.copy()
    shown = overlay(image, np.ones((8, 8), np.float32), 1.0, Placement(40, 20, 64, 64, 8, 8))
    outside = np.ones(image.shape[:2], bool)
    outside[20:84, 40:104] = False

    assert np.array_equal(shown[outside], image[outside])
    assert not np.array_equal(shown[~outside], image[~outside])
    assert np.array_equal(image, before)
