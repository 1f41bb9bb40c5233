"""What a detector is trained on, and what comes out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edge_inspector.detectors.history import History
from edge_inspector.detectors.workers import ALONE, Workers

Images: TypeAlias = NDArray[np.uint8]
"""uint8 (count, height, width, channels)."""
Change: TypeAlias = Callable[[Images, np.random.Generator], Images]
Levels: TypeAlias = Callable[[Sequence[NDArray[np.float32]]], list[float]]
Deployed: TypeAlias = Callable[[Images], Iterator[NDArray[np.float32]]]
"""What the exported and compiled network gives for each image."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to train: whichever ends first."""

    epochs: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands."""

    share: float
    """0 to 1."""
    words: str


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Good images at the detector's size, and the means to judge what was learned from them."""

    fit: Images = field(repr=False)
    tune: Images = field(repr=False)
    synthetic: Images = field(repr=False)
    """Tune images with synthetic defects, `len(synthetic)` a multiple of `len(tune)`, in the same order."""
    corrupt: Change
    augment: Change
    levels: Levels
    """Anomaly maps to levels."""
    budget: Budget
    seed: int
    report: Callable[[Progress], None]
    clock: Callable[[], float]
    """Seconds, monotonic."""
    stopping: Callable[[], bool] = lambda: False
    """Whether somebody wants the training to end: then the best weights so far are kept."""
    weights: Mapping[str, NDArray[np.generic]] = field(default_factory=dict, repr=False)
    """To go on from, by name; empty: random weights."""

    workers: Workers = ALONE
    """Who trains together, and on what."""
    lots: tuple[int, ...] = ()
    """Of each image of `good`: those of one lot are never on both sides of a fold; empty: each is its own."""
    hidden: NDArray[np.bool_] | None = field(default=None, repr=False)
    """What is never judged, (height, width)."""

    @property
    def lots_of_good(self) -> tuple[int, ...]:
        """The lot of each good image, numbered in the order in which they were taken."""
        return self.lots or tuple(range(len(self.fit) + len(self.tune)))

    @property
    def good(self) -> Images:
        """All images that may train: what needs no early stopping and no tolerance learns from tune images too."""
        return np.concatenate([self.fit, self.tune])


class TrainedDetector(Protocol):
    """A detector whose network is done, and whose residual is still to be fitted on what the deployed network gives."""

    @property
    def network(self) -> nn.Module:
        """uint8 (1, height, width, channels) to what the residual compares: a reconstruction or features."""
        ...

    def residual(self, deployed: Deployed) -> "Fitted":
        """Fit the residual graph on the deployed network.

        Raises:
            DataError: nothing was learned: a loss that is not a number, a constant map, a collapsed sphere.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fitted:
    """A residual graph: image and network output to the anomaly map, float32 (height, width)."""

    graph: nn.Module
    steps: int
    """Of training altogether."""
    history: History = field(default_factory=History)
    held_out: Callable[[], Iterator[NDArray[np.float32]]] | None = None
    """Anomaly maps of `TrainingData.good` by models that have not seen each, where the fitting needed them anyway."""
