"""AUROC is scikit-learn's, and refuses what would make a figure that only looks fine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from edge_inspector.inspection.auroc import auroc

TIED = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30)
ANY = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(good=TIED | ANY, defective=TIED | ANY)
def test_auroc_is_scikit_learn_s(good: list[float], defective: list[float]) -> None:
    """Ties included."""
    truth = [0] * len(good) + [1] * len(defective)

    assert auroc(good, defective) == pytest.approx(roc_auc_score(truth, good + defective), abs=1e-12)


@pytest.mark.parametrize(("good", "defective"), [([], [1.0]), ([1.0], []), ([1.0, np.nan], [2.0]), ([1.0], [np.inf])])
def test_auroc_of_nothing_or_of_no_number_is_refused(good: list[float], defective: list[float]) -> None:
    """A NaN score sorted somewhere would make a figure that looks fine."""
    with pytest.raises(ValueError, match=r"both classes|not finite"):
        auroc(good, defective)
