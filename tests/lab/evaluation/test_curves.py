"""The drawn curves are those of scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve as their_precision_recall
from sklearn.metrics import roc_curve as their_roc

from edge_inspector.lab.evaluation.curves import precision_recall_curve, roc_curve

SCORES = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=30)


@given(good=SCORES, defective=SCORES)
def test_the_roc_curve_is_scikit_learn_s(good: list[float], defective: list[float]) -> None:
    """Every limit that makes a difference, strictest first."""
    truth = [0] * len(good) + [1] * len(defective)
    rejected, found, _ = their_roc(truth, good + defective, drop_intermediate=False)

    assert np.asarray(roc_curve(good, defective)) == pytest.approx(np.stack([rejected, found], 1))


@given(good=SCORES, defective=SCORES)
def test_the_precision_recall_curve_is_scikit_learn_s(good: list[float], defective: list[float]) -> None:
    """Without scikit-learn's last point, where nothing is rejected and precision means nothing."""
    truth = [0] * len(good) + [1] * len(defective)
    precision, recall, _ = their_precision_recall(truth, good + defective)
    theirs = np.stack([recall, precision], 1)[:-1][::-1]

    assert np.asarray(precision_recall_curve(good, defective)) == pytest.approx(theirs)
