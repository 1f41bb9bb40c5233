"""`memory`: distances to memories of four blocks, and of the image as a whole, joined to one score.

What is compared on a common scale comes from models that have not seen the image: good images are parted into folds,
each is scored by memories of the others; the memories that judge are of all.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_inspector.detectors.features.backbones import load_taps
from edge_inspector.detectors.folds import assign_folds
from edge_inspector.detectors.memory.density import Patches, remember, sample_places
from edge_inspector.detectors.memory.graph import (
    WHOLE_BLOCKS,
    CellMap,
    Joined,
    MemoryResidual,
    Scale,
)
from edge_inspector.detectors.memory.location import Usual, locate
from edge_inspector.detectors.memory.taps import Layout, PackedTaps
from edge_inspector.detectors.memory.whole_image import learn_whole, statistics_of
from edge_inspector.detectors.settings import MemorySettings
from edge_inspector.detectors.training_data import Deployed, Fitted, Levels, Progress, TrainingData
from edge_inspector.errors import DataError

LEAST = 5
"""Good images, each of another part."""
_LEAST_UNIT = 0.25
"""Standard deviations of the located maps."""
Packed = NDArray[np.float32]
"""What the network gives for one image, (1, numbers)."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned, and how each good image looks to models that have not seen it."""

    graph: MemoryResidual
    located: Tensor
    """(count, 4, rows, columns): the good images' out-of-fold maps, each in units of its usual maximum."""
    distances: NDArray[np.float64]
    """Of the good images as a whole, out of fold."""

    def held_out(self) -> Iterator[NDArray[np.float32]]:
        """Yield the anomaly map of each good image as judged by what has not seen it, float32 (height, width)."""
        for located, distance in zip(self.located, self.distances, strict=True):
            amap, _ = self.graph.joined(located[None], torch.tensor(distance, dtype=torch.float32))
            yield amap.numpy()


@dataclass(frozen=True, slots=True)
class _Sampled:
    """What is kept of the good images: patches of each block, and the statistics of each image."""

    patches: tuple[Patches, ...]
    statistics: NDArray[np.float64]


def learn(
    features: Callable[[], Iterator[Packed]],
    layout: Layout,
    folds: NDArray[np.intp],
    settings: MemorySettings,
    *,
    size: tuple[int, int],
    levels: Levels,
    seed: int,
    report: Callable[[str, float], None] = lambda _words, _share: None,
) -> Learned:
    """Return memories of good images, all scales from out-of-fold scores.

    Args:
        features: gives the packed features of each good image, in the same order each time it is called (twice).
        layout: of the features.
        folds: the fold of each image; what is of one lot is in one fold.
        settings: of the detector.
        size: height and width of the anomaly map.
        levels: anomaly maps to levels.
        seed: the random seed.
        report: called with what is being done and its share.

    Raises:
        DataError: fewer than 5 images or one fold, images that are all alike, or features that are not finite.
    """
    if len(folds) < LEAST or len(set(folds.tolist())) < 2:
        raise DataError(f"{len(folds)} good images, at least {LEAST} of different parts are needed: add images")
    sampled = _sample(features(), layout, folds, settings, seed)
    report("remember", 0.2)
    every = range(len(folds))
    maps = _out_of_fold(features(), layout, folds, settings, sampled, seed, report)
    located = [locate(maps[:, place]) for place in range(maps.shape[1])]
    units = [_usual_maximum(one.good) for one in located]
    unusual = np.stack([one.good / unit for one, unit in zip(located, units, strict=True)], 1)
    distances = _whole_out_of_fold(sampled.statistics, folds)
    together = torch.from_numpy(unusual)
    joined = _joined(together, distances, size, levels)
    cell_maps = _cell_maps(sampled.patches, every, layout, settings, seed)
    typical = [
        Usual(one.typical.mean, one.typical.spread * np.float32(unit)) for one, unit in zip(located, units, strict=True)
    ]
    graph = MemoryResidual(layout, cell_maps, typical, learn_whole(sampled.statistics), joined)
    return Learned(graph.eval(), together, distances)


def _sample(
    features: Iterator[Packed], layout: Layout, folds: NDArray[np.intp], settings: MemorySettings, seed: int
) -> _Sampled:
    """Take so many patches of each image that those of all folds but one are as many as the settings want."""
    rng = np.random.default_rng(seed)
    used = len(folds) - max(np.bincount(folds))
    each = math.ceil(settings.patches / used)
    cells: list[list[Tensor]] = [[] for _ in layout.shapes]
    statistics = []
    for packed in features:
        if not np.isfinite(packed).all():
            raise DataError("the backbone gives values that are not numbers: its weights are damaged")
        grids = layout.unpack(torch.from_numpy(packed))
        statistics.append(statistics_of(grids[WHOLE_BLOCKS]).double().numpy())
        for kept, grid, shape in zip(cells, grids, layout.shapes, strict=True):
            kept.append(grid.flatten(1)[:, sample_places(shape, each, rng)].t().contiguous())
    return _Sampled(tuple(_patches(kept) for kept in cells), np.stack(statistics))


def _patches(cells: Sequence[Tensor]) -> Patches:
    image = torch.cat([torch.full((len(part),), place) for place, part in enumerate(cells)])
    return Patches(torch.cat(list(cells)), image)


def _cell_maps(
    patches: Sequence[Patches], images: Sequence[int], layout: Layout, settings: MemorySettings, seed: int
) -> list[CellMap]:
    """Return the memories of some of the images."""
    return [
        CellMap(
            remember(block.of(images, settings.patches), settings.items, settings.density, seed),
            shape[2],
            layout.finest,
        )
        for block, shape in zip(patches, layout.shapes, strict=True)
    ]


def _out_of_fold(
    features: Iterator[Packed],
    layout: Layout,
    folds: NDArray[np.intp],
    settings: MemorySettings,
    sampled: _Sampled,
    seed: int,
    report: Callable[[str, float], None],
) -> NDArray[np.float32]:
    """Return the distance maps of each image by memories of the other folds, (count, 4, rows, columns)."""
    memories = {}
    for place, fold in enumerate(sorted(set(folds.tolist()))):
        others = np.flatnonzero(folds != fold).tolist()
        memories[fold] = _cell_maps(sampled.patches, others, layout, settings, seed)
        report("remember", 0.2 + 0.5 * place / len(set(folds.tolist())))
    found = np.empty((len(folds), len(layout.shapes), *layout.finest), np.float32)
    for place, (fold, packed) in enumerate(zip(folds.tolist(), features, strict=True)):
        grids = layout.unpack(torch.from_numpy(packed))
        for block, (cell_map, grid) in enumerate(zip(memories[fold], grids, strict=True)):
            found[place, block] = cell_map(grid)[0, 0].numpy()
    report("remember", 0.9)
    return found


def _usual_maximum(located: NDArray[np.float32]) -> float:
    """Return the middle maximum of the good images' maps; of small maps that may be none, so at least some spread."""
    return max(float(np.median(located.reshape(len(located), -1).max(1))), _LEAST_UNIT * float(located.std()))


def _whole_out_of_fold(statistics: NDArray[np.float64], folds: NDArray[np.intp]) -> NDArray[np.float64]:
    found = np.empty(len(statistics))
    for fold in sorted(set(folds.tolist())):
        whole = learn_whole(statistics[folds != fold])
        for place in np.flatnonzero(folds == fold):
            found[place] = float(whole(torch.from_numpy(statistics[place].astype(np.float32))))
    return found


def _joined(unusual: Tensor, distances: NDArray[np.float64], size: tuple[int, int], levels: Levels) -> Joined:
    """Return what joins the scores, each in units of the good images' interquartile range."""
    raw = Joined(Scale(), Scale(), size)
    patch_levels = [levels([raw.fused(one[None])[0, 0].numpy()])[0] for one in unusual]
    return Joined(_scale(np.array(patch_levels)), _scale(distances), size)


def _scale(scores: NDArray[np.float64]) -> Scale:
    low, middle, high = np.quantile(scores, (0.25, 0.5, 0.75))
    if not high > low:
        raise DataError("the good images are all alike: nothing says how much good parts differ; add other parts")
    return Scale(float(middle), float(high - low))


@dataclass(frozen=True, slots=True)
class TrainedMemory:
    """A backbone whose features are to be remembered."""

    network: PackedTaps
    settings: MemorySettings
    data: TrainingData

    def residual(self, deployed: Deployed) -> Fitted:
        """Remember what the deployed network gives for good images.

        Raises:
            DataError: too few images, or images that are all alike.
        """
        data, good = self.data, self.data.good
        with torch.inference_mode():
            learned = learn(
                lambda: deployed(good),
                self.network.layout(torch.from_numpy(good[:1])),
                assign_folds(data.lots_of_good, self.settings.folds),
                self.settings,
                size=(good.shape[1], good.shape[2]),
                levels=data.levels,
                seed=data.seed,
                report=lambda words, share: data.report(Progress(share, words)),
            )
        return Fitted(learned.graph, 0, held_out=learned.held_out)


def train_detector(settings: MemorySettings, data: TrainingData) -> TrainedMemory:
    """Load the backbone, and paint over what is never judged.

    Raises:
        UsageError: no such backbone.
        DataError: its weights are missing or damaged.
    """
    network = PackedTaps(load_taps(settings, data.seed), settings.tile, settings.overlap)
    if data.hidden is not None and data.hidden.any():
        paint = np.median(data.good, axis=0).astype(np.uint8)
        network.hide(torch.from_numpy(data.hidden), torch.from_numpy(paint))
    return TrainedMemory(network, settings, data)
