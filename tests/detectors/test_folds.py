"""No image is judged by a model that has seen it, or another of its lot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.detectors.folds import assign_folds


@given(lots=st.lists(st.integers(0, 12), min_size=1, max_size=60), count=st.integers(2, 8))
def test_a_lot_is_in_one_fold_and_neighbours_are_together(lots: list[int], count: int) -> None:
    """Folds follow the order of the lots, and none is empty."""
    folds = assign_folds(lots, count)
    by_lot = {lot: {int(fold) for fold, own in zip(folds, lots, strict=True) if own == lot} for lot in set(lots)}

    assert all(len(one) == 1 for one in by_lot.values())
    ordered = [min(by_lot[lot]) for lot in sorted(by_lot)]
    assert ordered == sorted(ordered)
    assert set(folds.tolist()) == set(range(int(folds.max()) + 1))
    assert folds.max() < count


@pytest.mark.parametrize(("images", "count"), [(30, 5), (31, 5), (7, 3)])
def test_folds_are_about_equally_large(images: int, count: int) -> None:
    """Where each image is a lot of its own they differ by one."""
    sizes = np.bincount(assign_folds(range(images), count))

    assert len(sizes) == count
    assert np.ptp(sizes) <= 1
