"""`cae:inception`, system 001's inception units: four branches side by side, a code of 4x4x512 at 256."""

import torch
from torch import Tensor, nn

from edge_inspector.detectors.autoencoders.architecture import Sizes
from edge_inspector.detectors.features.same import SameConv2d, batch_norm, glorot

SIZES = Sizes(multiple=64)
_FILTERS = (32, 32, 64, 64, 128, 128)
"""A branch."""


def build(channels: int, _height: int, _width: int) -> nn.Sequential:
    """Return the network, (batch, channels, height, width) in 0..1 to the same; sides are multiples of 64.

    11,521,797 parameters for grey, 11,526,415 for colour, batch normalisation counted four a channel (reference table
    1.1.4). The table's L2 regulariser of 1e-6 is left out: it is nothing in a training of minutes.
    """
    layers: list[nn.Module] = []
    inputs = channels
    for filters in _FILTERS:
        layers += [InceptionUnit(inputs, filters), nn.MaxPool2d(2)]
        inputs = 4 * filters
    for filters in reversed(_FILTERS):
        layers += [InceptionUnit(inputs, filters), nn.Upsample(scale_factor=2, mode="nearest")]
        inputs = 4 * filters
    layers += [SameConv2d(inputs, channels, 3, 1), batch_norm(channels), nn.Sigmoid()]
    return nn.Sequential(*layers).apply(glorot)


class InceptionUnit(nn.Module):
    """Convolutions of 1x1, 3x3 and 5x5 and a 1x1 of the 3x3 maximum, side by side."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                nn.Sequential(*_convolution(inputs, filters, 1)),
                nn.Sequential(*_convolution(inputs, filters, 3)),
                nn.Sequential(*_convolution(inputs, filters, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), *_convolution(inputs, filters, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 4 * filters, height, width) for (batch, inputs, height, width)."""
        return torch.cat([branch(x) for branch in self.branches], 1)


def _convolution(inputs: int, filters: int, kernel: int) -> list[nn.Module]:
    return [SameConv2d(inputs, filters, kernel, 1), batch_norm(filters), nn.LeakyReLU(0.1)]
