"""What a process gives its threads: time, randomness and identity, so that tests and the simulation can."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

Now: TypeAlias = Callable[[], int]
"""Nanoseconds."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Time, randomness and identity, as the process gives them."""

    now_ns: Now
    monotonic_ns: Now
    new_id: Callable[[], str]
    rng: Random = field(repr=False)
