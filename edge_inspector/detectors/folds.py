"""Scores of good images by models that have not seen them: folds, and detectors that are refitted for each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from edge_inspector.detectors.training_data import Deployed, Fitted, TrainedDetector, TrainingData

FOLDS = 5
"""Parts of the good images that are left out in turn."""


def assign_folds(lots: Sequence[int], count: int) -> NDArray[np.intp]:
    """Return the fold of each image: neighbouring lots together, no lot in two folds, folds about equally large.

    Images of one lot or burst on both sides would make good images look more usual than new ones will.

    Args:
        lots: the lot of each image; numbers in the order in which the lots were taken.
        count: of folds; fewer where there are fewer lots.
    """
    known, members = np.unique(np.asarray(lots, np.intp), return_counts=True)
    count = min(count, len(known))
    middles = np.cumsum(members) - members / 2
    wanted = np.minimum((middles * count / max(1, len(lots))).astype(np.intp), count - 1)
    _, dense = np.unique(wanted, return_inverse=True)
    return np.asarray(dense, np.intp)[np.searchsorted(known, lots)]


def held_out_maps(
    train_detector: Callable[[TrainingData], TrainedDetector], data: TrainingData, fitted: Fitted, deployed: Deployed
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the place in `data.good` and the anomaly map of every good image, by a model that has not seen it.

    Args:
        train_detector: of a kind whose network does not depend on what it is trained on.
        data: names the lots.
        fitted: what judges; kinds that score out of fold anyway have the maps already.
        deployed: the exported network.
    """
    if fitted.held_out is not None:
        yield from enumerate(fitted.held_out())
        return
    good, folds = data.good, assign_folds(data.lots_of_good, FOLDS)
    for fold in range(int(folds.max()) + 1):
        others = good[folds != fold]
        graph = train_detector(replace(data, fit=others[:-1], tune=others[-1:], lots=())).residual(deployed).graph
        places = np.flatnonzero(folds == fold)
        with torch.no_grad():
            for place, features in zip(places.tolist(), deployed(good[places]), strict=True):
                amap = graph(torch.from_numpy(good[place][None]), torch.from_numpy(features))
                yield place, amap.numpy()
