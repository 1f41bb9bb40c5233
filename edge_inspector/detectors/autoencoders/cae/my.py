"""`cae:my`, system 001's own network: 17 convolutions, no bottleneck layer, a code of 16 x 16 x 32 at 256."""

from torch import nn

from edge_inspector.detectors.autoencoders.architecture import Sizes

SIZES = Sizes(multiple=16)


def build(channels: int, _height: int, _width: int, *, filters: int = 32) -> nn.Sequential:
    """Return the network, (batch, channels, height, width) in 0..1 to the same; sides are multiples of 16.

    139,329 parameters for grey, 140,483 for colour with 32 filters (reference table 1.1.1).
    """
    layers: list[nn.Module] = []
    inputs = channels
    for _ in range(4):
        layers += [*_two_convolutions(inputs, filters), nn.MaxPool2d(2)]
        inputs = filters
    for _ in range(4):
        layers += [*_two_convolutions(filters, filters), nn.Upsample(scale_factor=2, mode="nearest")]
    layers += [nn.Conv2d(filters, channels, 3, padding=1), nn.Sigmoid()]
    return nn.Sequential(*layers)


def _two_convolutions(inputs: int, filters: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, filters, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(filters, filters, 3, padding=1),
        nn.ReLU(),
    ]
