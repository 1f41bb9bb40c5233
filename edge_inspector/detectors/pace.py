"""How far a training has come, and how large its steps are there."""

import math
from collections.abc import Callable

from edge_inspector.detectors.training_data import Budget


class Pace:
    """How much of the budget is spent: by steps, or by time where that ends first; all of it when asked to stop."""

    def __init__(
        self,
        steps: int,
        budget: Budget,
        clock: Callable[[], float],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begin now; `steps` is what the budget's epochs come to, `clock` gives seconds."""
        self._steps = steps
        self._seconds = budget.seconds or math.inf
        self._clock = clock
        self._start = clock()
        self._stopping = stopping

    def share(self, step: int) -> float:
        """Return the share of the training that is done with a step, 0 to 1."""
        if self._stopping():
            return 1.0
        return min(1.0, max(step / self._steps, (self._clock() - self._start) / self._seconds))


def falling(share: float) -> float:
    """Return the learning rate's share of its highest: down to a hundredth along a cosine."""
    return 0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2
