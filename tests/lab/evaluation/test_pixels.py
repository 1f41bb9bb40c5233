"""Figures of places are those of scikit-learn and of naive versions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.measure import label, regionprops
from sklearn.metrics import roc_auc_score

from edge_inspector.lab.evaluation.pixels import FPR_LIMIT, PixelTally, blob_pixels, box_iou, overlap

SEEDS = st.integers(0, 2**32 - 1)


def a_mask(*boxes: tuple[int, int, int, int], side: int = 24) -> NDArray[np.bool_]:
    """Return a mask with rectangles (x, y, width, height)."""
    mask = np.zeros((side, side), np.bool_)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = True
    return mask


def some_maps(seed: int) -> tuple[list[NDArray[np.float32]], list[NDArray[np.bool_]]]:
    """Return a few maps of coarse values, below zero too, with many ties, and masks of several regions."""
    rng = np.random.default_rng(seed)
    truths = [a_mask(), a_mask((2, 3, 4, 5)), a_mask((1, 1, 1, 2), (10, 4, 6, 6), (3, 18, 12, 2))]
    maps = [(rng.integers(-4, 12, truth.shape) / 4 + truth * rng.integers(0, 8) / 4) for truth in truths]
    return [amap.astype(np.float32) for amap in maps], truths


def tallied(maps: list[NDArray[np.float32]], truths: list[NDArray[np.bool_]]) -> PixelTally:
    """Return the tally of some images."""
    tally = PixelTally()
    for amap, truth in zip(maps, truths, strict=True):
        tally.add(amap, truth)
    return tally


def naive_aupro(maps: list[NDArray[np.float32]], truths: list[NDArray[np.bool_]]) -> float:
    """Return AUPRO by its definition: each threshold, each region, one after the other."""
    beside = np.concatenate([amap[~truth] for amap, truth in zip(maps, truths, strict=True)])
    regions = [
        amap[tuple(region.coords.T)]
        for amap, truth in zip(maps, truths, strict=True)
        for region in regionprops(label(truth, connectivity=2))
    ]
    rates, overlaps = [0.0], [0.0]
    for threshold in sorted({float(value) for amap in maps for value in amap.ravel()}, reverse=True):
        rates.append(float((beside >= threshold).mean()))
        overlaps.append(float(np.mean([(region >= threshold).mean() for region in regions])))
    area = 0.0
    for left, right, low, high in zip(rates, rates[1:], overlaps, overlaps[1:], strict=False):
        if left >= FPR_LIMIT:
            break
        end = min(right, FPR_LIMIT)
        at_end = high if right == left else low + (high - low) * (end - left) / (right - left)
        area += (end - left) * (low + at_end) / 2
    return area / FPR_LIMIT


@given(seed=SEEDS)
def test_pixel_auroc_is_scikit_learn_s(seed: int) -> None:
    """Over all pixels of all images, ties and values below zero included."""
    maps, truths = some_maps(seed)
    expected = roc_auc_score(np.concatenate([t.ravel() for t in truths]), np.concatenate([m.ravel() for m in maps]))

    assert tallied(maps, truths).auroc() == pytest.approx(expected, abs=1e-12)


@given(seed=SEEDS)
def test_aupro_is_the_definition_s(seed: int) -> None:
    """Each region counts the same, up to a false-positive rate of 0.3."""
    maps, truths = some_maps(seed)

    assert tallied(maps, truths).aupro() == pytest.approx(naive_aupro(maps, truths), abs=1e-12)


def test_values_that_differ_by_a_thousandth_are_told_apart() -> None:
    """The tally keeps 20 bits of a value: what it loses is far below what a map means."""
    amap = np.float32(3.7) * np.linspace(1, 2, 576, dtype=np.float32).reshape(24, 24)
    truth = np.arange(576).reshape(24, 24) % 7 == 0
    expected = roc_auc_score(truth.ravel(), amap.ravel())

    assert tallied([amap], [truth]).auroc() == pytest.approx(expected, abs=1e-3)


def test_without_a_mask_nothing_is_claimed() -> None:
    """No division by zero, and no figure that means nothing."""
    tally = tallied([np.ones((4, 4), np.float32)], [np.zeros((4, 4), np.bool_)])

    assert tally.auroc() is None
    assert tally.aupro() is None


def test_the_perfect_map_has_all_of_it() -> None:
    """1, and 0 for its opposite."""
    truth = a_mask((4, 4, 6, 6))

    assert tallied([truth.astype(np.float32)], [truth]).aupro() == pytest.approx(1)
    assert tallied([1 - truth.astype(np.float32)], [truth]).auroc() == pytest.approx(0)


def test_blobs_and_regions_are_matched_where_they_touch() -> None:
    """Two of three regions found, one blob beside them, pixels counted one by one."""
    truth = a_mask((0, 0, 4, 4), (10, 0, 4, 4), (0, 15, 4, 4))
    blobs = a_mask((2, 2, 4, 4), (10, 0, 4, 4), (18, 18, 3, 3))
    found = overlap(blobs, truth)

    assert (found.regions, found.found, found.false_blobs) == (3, 2, 1)
    assert found.iou == pytest.approx((4 + 16) / (48 + 41 - 20))


def test_a_good_part_without_a_blob_is_no_division_by_zero() -> None:
    """Neither pixels nor regions."""
    found = overlap(a_mask(), a_mask())

    assert (found.iou, found.box_iou, found.regions, found.found, found.false_blobs) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        (((0, 0, 4, 4),), ((0, 0, 4, 4),), 1),
        (((0, 0, 4, 4),), ((2, 0, 4, 4),), 8 / 24),
        (((0, 0, 4, 4), (10, 10, 8, 8)), ((10, 10, 8, 4),), 0.5),
        (((3, 3, 1, 1),), ((3, 3, 1, 1), (9, 9, 2, 2)), 0),
        (((0, 0, 2, 2),), ((2, 2, 2, 2),), 0),
        ((), ((0, 0, 2, 2),), 0),
        ((), (), 0),
    ],
)
def test_the_boxes_of_the_largest_regions_are_compared(
    found: tuple[tuple[int, int, int, int], ...], truth: tuple[tuple[int, int, int, int], ...], expected: float
) -> None:
    """As the prior system did, in inclusive pixels; an empty mask is 0, where the prior system crashed."""
    assert box_iou(a_mask(*found), a_mask(*truth)) == pytest.approx(expected)


def test_the_pixels_of_a_blob_are_those_that_decide() -> None:
    """At the threshold and above, in regions of the minimum area; corners join."""
    amap = np.zeros((8, 8), np.float32)
    amap[0, 0] = amap[1, 1] = 1.0
    amap[5, 5] = 3.0

    assert np.argwhere(blob_pixels(amap, 1.0, 2)).tolist() == [[0, 0], [1, 1]]
    assert blob_pixels(amap, 1.0, 1).sum() == 3
