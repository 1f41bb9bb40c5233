"""`cae:baseline`, system 001's baseline: six halvings, a dense code of 64 numbers; 256x256 only."""

from torch import nn

from edge_inspector.detectors.autoencoders.architecture import Sizes
from edge_inspector.detectors.features.same import SameConv2d, batch_norm, glorot

SIZES = Sizes(squares=(256,))
_CODE = 64
_FILTERS = (32, 32, 64, 64, 128, 128)
_SIDE = 4
"""Of the image after six halvings."""


def build(channels: int, _height: int, _width: int) -> nn.Sequential:
    """Return the network, (batch, channels, 256, 256) in 0..1 to the same.

    712,197 parameters for grey, 713,359 for colour, batch normalisation counted four a channel (reference table
    1.1.3). The table's L2 regulariser of 1e-6 is left out: it is nothing in a training of minutes.
    """
    layers: list[nn.Module] = []
    inputs = channels
    for filters in _FILTERS:
        layers += [*_convolution(inputs, filters), nn.MaxPool2d(2)]
        inputs = filters
    layers += [nn.Flatten(), nn.Linear(inputs * _SIDE**2, _CODE), nn.LeakyReLU(0.1)]
    inputs = _CODE // _SIDE**2
    layers += [nn.Unflatten(1, (inputs, _SIDE, _SIDE))]
    for filters in reversed(_FILTERS):
        layers += [*_convolution(inputs, filters), nn.Upsample(scale_factor=2, mode="nearest")]
        inputs = filters
    layers += [SameConv2d(inputs, channels, 3, 1), batch_norm(channels), nn.Sigmoid()]
    return nn.Sequential(*layers).apply(glorot)


def _convolution(inputs: int, filters: int) -> list[nn.Module]:
    return [SameConv2d(inputs, filters, 3, 1), batch_norm(filters), nn.LeakyReLU(0.1)]
