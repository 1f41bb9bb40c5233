"""A part is seen once: while it lies still in the middle, or when it was nearest to it."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_inspector.inspection.model import Image
from edge_inspector.line.sources.presence import Presence

WIDTH, HEIGHT, SIDE = 320, 120, 60
NOISE = np.random.default_rng(7).normal(0, 2, (32, HEIGHT, WIDTH))


def a_view(middle: float | None, number: int = 0, light: float = 100.0) -> NDArray[np.uint8]:
    """Return a noisy belt with a part, its middle at `middle` pixels from the left; None is an empty belt."""
    belt = light + NOISE[number % len(NOISE)]
    if middle is not None:
        left, right = max(0, round(middle) - SIDE // 2), max(0, round(middle) + SIDE // 2)
        belt[30:90, left:right] += 90
    return belt.clip(0, 255).astype(np.uint8)


def taken(presence: Presence, middles: list[float | None]) -> Iterator[tuple[int, Image]]:
    """Yield when images are taken, and which."""
    for number, middle in enumerate(middles):
        image = presence.see(a_view(middle, number))
        if image is not None:
            yield number, image


def middle_of(image: Image) -> float:
    """Return where the part is."""
    return float(np.nonzero(image[30:90].mean(axis=0) > 150)[0].mean())


def a_presence(region: tuple[int, int, int, int] | None = None) -> Presence:
    """Return one with the settings' defaults."""
    return Presence(region, 0.05, 25)


def passing(step: float) -> list[float | None]:
    """Return a part's way over the belt without a stop."""
    return [*np.arange(-SIDE, WIDTH + SIDE, step), None, None, None]


@pytest.mark.parametrize("step", [3, 8, 20])
def test_a_part_that_passes_is_taken_in_the_middle(step: float) -> None:
    """A belt that never stops: the frame nearest the middle, however fast it runs."""
    found = list(taken(a_presence(), [None, None, *passing(step)]))

    assert len(found) == 1
    assert middle_of(found[0][1]) == pytest.approx(WIDTH / 2, abs=step)


def test_a_part_that_stops_in_the_middle_is_taken_there_and_then() -> None:
    """Three still frames are enough, and a minute in front of the camera is still one part."""
    way: list[float | None] = [None, None, *np.arange(-SIDE, WIDTH / 2, 10), *[WIDTH / 2] * 1000, *passing(10)[22:]]
    found = list(taken(a_presence(), way))

    assert len(found) == 1
    number, image = found[0]
    assert way[number - 4 : number] == [WIDTH / 2] * 4 or number < 34
    assert middle_of(image) == pytest.approx(WIDTH / 2, abs=1)


def test_a_part_that_stops_at_the_edge_is_waited_for() -> None:
    """A belt in steps shows it in the middle later; if it never comes there, it is answered when it leaves."""
    stops = [*[40.0] * 30, *np.arange(40, 160, 8), *[160.0] * 10, *np.arange(160, 400, 8), None, None]
    back = [*[40.0] * 30, 20.0, 0.0, -30.0, None, None]
    found = list(taken(a_presence(), [None, None, *stops, None, None, *back]))

    assert [round(middle_of(image) / 10) for _, image in found] == [16, 4]


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(5, 30), st.integers(1, 40), st.booleans()), min_size=1, max_size=5))
def test_every_part_is_taken_once(parts: list[tuple[int, int, bool]]) -> None:
    """Whatever their speed, their distance and where they stop."""
    way: list[float | None] = [None, None]
    for step, gap, stops in parts:
        one = passing(step)
        middle = len(one) // 2
        way += [*one[:middle], *([one[middle]] * 20 if stops else []), *one[middle:], *[None] * gap]

    assert len(list(taken(a_presence(), way))) == len(parts)


def test_an_empty_belt_in_changing_light_is_no_part() -> None:
    """Daylight comes slowly; the background follows."""
    presence = a_presence()

    assert [presence.see(a_view(None, number, 60 + number * 0.1)) for number in range(1000)] == [None] * 1000


def test_a_share_between_the_two_limits_changes_nothing() -> None:
    """Hysteresis: a part on the limit does not come and go with the noise."""
    presence = Presence(None, 0.05, 25)
    way: list[float | None] = [None, None, 160, 160, 160, 160, 160, *[WIDTH + SIDE / 2 - 15] * 50]

    assert len(list(taken(presence, way))) == 1


def test_what_is_outside_the_region_is_not_looked_at() -> None:
    """A worker's hand beside the belt is no part; depth and colour do not matter."""
    presence = a_presence((0, 0, 100, HEIGHT))
    images = [a_view(None), a_view(None, 1), *[a_view(250, number) for number in range(20)], a_view(None)]
    deep = a_presence()
    coloured = [
        np.repeat((view.astype(np.uint16) * 257)[..., None], 3, 2) for view in map(a_view, [None, None, *passing(8)])
    ]

    assert [presence.see(image) for image in images] == [None] * len(images)
    assert sum(deep.see(image) is not None for image in coloured) == 1


def test_a_thing_left_in_the_region_becomes_background() -> None:
    """Otherwise a tool left there, or a part there at the start, would blind the station for ever."""
    presence = a_presence()
    found = list(taken(presence, [WIDTH / 2, WIDTH / 2, *[None] * 1600, *passing(8)]))

    assert len(found) == 2
