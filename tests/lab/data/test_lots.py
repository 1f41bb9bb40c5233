"""Images that were taken together are of one lot."""

from pathlib import Path

from edge_inspector.lab.data.dataset import GoodImage
from edge_inspector.lab.data.lots import lots_of


def images(*names: str, groups: tuple[str, ...] = ()) -> list[GoodImage]:
    """Return images of these names, each a group of its own unless told."""
    return [GoodImage(Path(name), group, name) for name, group in zip(names, groups or names, strict=True)]


def test_names_give_the_order() -> None:
    """Cameras count."""
    assert lots_of(images("c.png", "a.png", "b.png")) == (2, 0, 1)


def test_a_group_is_one_lot() -> None:
    """Whatever its images are called."""
    assert lots_of(images("a.png", "b.png", "c.png", groups=("x", "y", "x"))) == (0, 1, 0)


def test_long_gaps_part_lots_where_names_carry_times() -> None:
    """Three bursts of a few seconds in a morning are three lots."""
    names = [f"20260105T{hour:02d}{minute:02d}{second:02d}-cam.png" for hour, minute in ((8, 0), (9, 30), (11, 0))
             for second in (1, 3, 5)]  # fmt: skip

    assert lots_of(images(*names)) == (0, 0, 0, 1, 1, 1, 2, 2, 2)


def test_evenly_taken_images_are_lots_of_their_own() -> None:
    """A gap says something only where most are shorter."""
    names = [f"2026-01-05_08-00-{second:02d}.png" for second in range(9)]

    assert lots_of(images(*names)) == tuple(range(9))
