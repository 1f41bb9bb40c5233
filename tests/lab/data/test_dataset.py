"""Good images are split by part, and a folder that is laid out wrongly is refused with what was expected."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from factories import a_part, png, write_parts
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_inspector.errors import DataError, UsageError
from edge_inspector.lab.data.dataset import (
    LEAST_TO_CALIBRATE,
    LEAST_TO_FIT,
    LEAST_TO_TUNE,
    GoodImage,
    Split,
    find_good,
    find_images,
    find_tests,
    read_image,
    split,
)


def images_of(sizes: list[int]) -> tuple[GoodImage, ...]:
    """Return as many images of each group as told."""
    return tuple(
        GoodImage(Path(f"{group}-{shot}.png"), f"part{group}", f"{group}/{shot}")
        for group, size in enumerate(sizes)
        for shot in range(size)
    )


def groups(images: tuple[GoodImage, ...]) -> set[str]:
    """Return the parts in a set."""
    return {image.group for image in images}


def sets_of(found: Split) -> tuple[tuple[GoodImage, ...], ...]:
    """Return the three sets."""
    return found.fit, found.tune, found.calibrate


@settings(deadline=None)
@given(parts=st.integers(30, 120), shots=st.integers(1, 3), seed=st.integers(0, 99))
@example(parts=30, shots=1, seed=0)
def test_no_part_is_in_two_sets(parts: int, shots: int, seed: int) -> None:
    """Two shots of one part never judge each other, every image is used once, and no set is too small."""
    sizes = [1 + part % shots for part in range(parts)]
    images = images_of(sizes)
    found = split(images, np.random.default_rng(seed))

    assert Counter(image for one in sets_of(found) for image in one) == Counter(images)
    assert sum(len(groups(one)) for one in sets_of(found)) == len(sizes)
    assert len(groups(found.calibrate)) == max(LEAST_TO_CALIBRATE, len(sizes) // 3)
    assert len(groups(found.tune)) >= LEAST_TO_TUNE
    assert len(groups(found.fit)) >= LEAST_TO_FIT


def test_chance_decides_who_is_in_which_set_and_can_be_repeated() -> None:
    """Not the order of the file names: the first parts of a shift are not the ones that set the threshold."""
    images = images_of([1] * 60)
    splits = [split(images, np.random.default_rng(seed)) for seed in (0, 0, 1)]

    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_too_few_parts_are_refused_with_numbers() -> None:
    """Sixty images of twenty parts are twenty parts."""
    words = r"60 good images of 20 different parts, at least 30 parts are needed: 20 of them only to set the threshold"

    with pytest.raises(DataError, match=words):
        split(images_of([3] * 20), np.random.default_rng(0))


def test_copies_of_an_image_are_one_part(tmp_path: Path) -> None:
    """The same shot under two names, or a second shot of a part that lies still, says nothing new about the next."""
    write_parts(tmp_path, 4)
    (tmp_path / "copy.png").write_bytes((tmp_path / "part-0001.png").read_bytes())
    noise = np.random.default_rng(0).normal(0, 0.7, (120, 160, 1))
    (tmp_path / "again.png").write_bytes(png(np.rint(a_part(1) + noise).clip(0, 255).astype(np.uint8)))
    found = {image.path.name: image.group for image in find_good(tmp_path, None)}

    assert found["copy.png"] == found["again.png"] == found["part-0001.png"]
    assert len(set(found.values())) == 4


def test_copies_join_the_parts_they_belong_to(tmp_path: Path) -> None:
    """When an image of one serial lies under another serial too, the two serials are one group."""
    for serial, seeds in (("a", (0, 1)), ("b", (1, 2)), ("c", (3,))):
        (tmp_path / serial).mkdir()
        for seed in seeds:
            (tmp_path / serial / f"{seed}.png").write_bytes(png(a_part(seed)))
    found = {image.path.relative_to(tmp_path).as_posix(): image.group for image in find_good(tmp_path, None)}

    assert len({found[name] for name in ("a/0.png", "a/1.png", "b/1.png", "b/2.png")}) == 1
    assert found["c/3.png"] != found["a/0.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [(None, {"s1", "s2", "x.png"}), (r"(s\d)/", {"s1", "s2"}), (r"[^/]+$", {"top.png", "side.png", "x.png"})],
    ids=["sub-folder", "captured", "file name"],
)
def test_a_part_is_told_by_sub_folder_or_pattern(tmp_path: Path, pattern: str | None, expected: set[str]) -> None:
    """The first group that a pattern captures, or all that it matches; without one the sub-folder."""
    for seed, name in enumerate(("s1/top.png", "s1/side.png", "s2/top.png", "x.png")):
        if pattern == r"(s\d)/" and name == "x.png":
            continue
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(a_part(seed)))

    assert {image.group for image in find_good(tmp_path, pattern)} == expected


def test_a_pattern_that_fits_nothing_or_is_none_is_refused(tmp_path: Path) -> None:
    """The message names the file, or what is wrong with the pattern."""
    write_parts(tmp_path, 1)

    with pytest.raises(DataError, match=r"part-0000\.png is not matched"):
        find_good(tmp_path, r"serial(\d+)")
    with pytest.raises(UsageError, match="not a regular expression"):
        find_good(tmp_path, "(")


def test_only_images_are_found(tmp_path: Path) -> None:
    """Capital letters and sub-folders too; a text file or a folder named like an image is none."""
    for name in ("b.PNG", "sub/a.jpeg", "notes.txt", "c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()

    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == [
        "b.PNG",
        "c.tif",
        "sub/a.jpeg",
    ]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    """It says which endings were looked for, or that there is no such folder."""
    with pytest.raises(DataError, match=r"no image in .*\.jpeg, \.jpg, \.png"):
        find_images(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        find_images(tmp_path / "typo")


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Which file, why, and what to do."""
    (tmp_path / "bad.png").write_bytes(png(a_part(0))[:-5])

    with pytest.raises(DataError, match=r"bad\.png: the image is truncated .* repair or remove it"):
        find_good(tmp_path, None)
    with pytest.raises(DataError, match=r"gone\.png: No such file"):
        read_image(tmp_path / "gone.png", 1)


def test_test_images_are_found_with_their_masks(tmp_path: Path) -> None:
    """As MVTec AD lays them out, with or without the folder `test` above."""
    write_parts(tmp_path / "test" / "good", 2)
    write_parts(tmp_path / "test" / "scratch", 2, scratched=True)
    masks = tmp_path / "ground_truth" / "scratch"
    masks.mkdir(parents=True)
    (masks / "part-0001_mask.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    found = {(one.defect, one.path.stem): one for one in find_tests(tmp_path)}

    assert sorted(found) == [(kind, f"part-000{i}") for kind in ("good", "scratch") for i in (0, 1)]
    assert [one.good for one in find_tests(tmp_path)] == [True, True, False, False]
    assert found["scratch", "part-0001"].mask == masks / "part-0001_mask.png"
    assert found["scratch", "part-0000"].mask is None
    assert len(find_tests(tmp_path / "test")) == 4


@pytest.mark.parametrize(
    ("folders", "words"),
    [([], "found no folders"), (["test/scratch"], "found scratch"), (["train/good"], "found train")],
)
def test_another_layout_is_refused(tmp_path: Path, folders: list[str], words: str) -> None:
    """It says what was expected and what was found."""
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)

    with pytest.raises(DataError, match=re.escape("expected test/good and test/<defect>") + f".*{words}"):
        find_tests(tmp_path)
