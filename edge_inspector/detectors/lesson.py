"""What a detector is taught from, and what comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

Pictures: TypeAlias = NDArray[np.uint8]
"""uint8 (count, height, width, channels)."""
Change: TypeAlias = Callable[[Pictures, np.random.Generator], Pictures]
Levels: TypeAlias = Callable[[Sequence[NDArray[np.float32]]], list[float]]


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
class Lesson:
    """Good pictures at the detector's size, and the means to judge what was learned from them."""

    fit: Pictures = field(repr=False)
    tune: Pictures = field(repr=False)
    planted: Pictures = field(repr=False)
    """Tune pictures with planted defects, `len(planted)` a multiple of `len(tune)`, in the same order."""
    corrupt: Change
    augment: Change
    levels: Levels
    """Anomaly maps to levels."""
    budget: Budget
    seed: int
    report: Callable[[Progress], None]
    clock: Callable[[], float]
    """Seconds, monotonic."""


class Taught(Protocol):
    """A trained detector: its network is done, its residual is fitted on what the deployed network gives."""

    network: nn.Module
    steps: int

    def residual(self, tune: Pictures, features: Sequence[NDArray[np.float32]]) -> nn.Module:
        """Return the residual graph, fitted on the deployed network's features of the tune pictures."""
        ...
