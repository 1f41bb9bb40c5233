"""What every network's file offers: the sizes that it takes, and a function that builds it."""

from dataclasses import dataclass
from typing import Protocol

from torch import nn


@dataclass(frozen=True, slots=True)
class Sizes:
    """Which sizes a network takes: both sides multiples of `multiple`, or, where there are any, only `squares`."""

    multiple: int = 1
    squares: tuple[int, ...] = ()

    def take(self, height: int, width: int) -> bool:
        """Say whether an image of that size goes in."""
        if self.squares:
            return height == width and height in self.squares
        return height % self.multiple == 0 and width % self.multiple == 0

    def __str__(self) -> str:
        if self.squares:
            return "only " + " or ".join(f"{side}x{side}" for side in self.squares)
        return f"sizes that are multiples of {self.multiple}"


class Architecture(Protocol):
    """A file of `cae`, or `unet` or `patch`."""

    SIZES: Sizes

    def build(self, channels: int, height: int, width: int, /) -> nn.Module:
        """Return the untrained network, float32 (batch, channels, height, width) in 0..1 to the same."""
        ...
