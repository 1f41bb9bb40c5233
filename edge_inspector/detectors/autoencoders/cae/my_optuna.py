"""`cae:my-optuna`, system 001's own network with 128 filters: the width that a search chose."""

from torch import nn

from edge_inspector.detectors.autoencoders.cae import my

SIZES = my.SIZES


def build(channels: int, height: int, width: int) -> nn.Sequential:
    """Return the network, (batch, channels, height, width) in 0..1 to the same; sides are multiples of 16.

    2,216,193 parameters for grey, 2,220,803 for colour (reference table 1.1.1).
    """
    return my.build(channels, height, width, filters=128)
