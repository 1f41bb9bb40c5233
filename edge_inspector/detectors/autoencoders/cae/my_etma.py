"""`cae:my-etma`, system 001's own network with 64 filters: the one that found most defects of system 001's own part."""

from torch import nn

from edge_inspector.detectors.autoencoders.cae import my

SIZES = my.SIZES


def build(channels: int, height: int, width: int) -> nn.Sequential:
    """Return the network, (batch, channels, height, width) in 0..1 to the same; sides are multiples of 16.

    555,137 parameters for grey, 557,443 for colour (reference table 1.1.1).
    """
    return my.build(channels, height, width, filters=64)
