"""`unet`, system 004's U-Net-like autoencoder: three halvings, what was there before each is joined on the way back."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspector.detectors.autoencoders.architecture import Sizes

SIZES = Sizes(multiple=8)


def build(channels: int, _height: int, _width: int) -> "UnetAutoencoder":
    """Return the network, (batch, channels, height, width) in 0..1 to the same; sides are multiples of 8.

    3,874,051 parameters for colour, 3,872,769 for grey (reference table 5.1).
    """
    return UnetAutoencoder(channels)


class UnetAutoencoder(nn.Module):
    """One 3x3 convolution a stage, 64 to 512 channels; -1..1 inside with a tanh at the end, 0..1 outside.

    The joins at full size let the network copy its input, defects and all. System 004 trained it on clean images,
    where copying is all there is to learn; here it is trained, as all are, to restore spoiled ones.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList([_convolution(channels, 64), _convolution(64, 128), _convolution(128, 256)])
        self.bottom = _convolution(256, 512)
        self.up = nn.ModuleList([_convolution(768, 256), _convolution(384, 128), _convolution(192, 64)])
        self.last = nn.Conv2d(64, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction of (batch, channels, height, width)."""
        x, joins = 2 * x - 1, []
        for stage in self.down:
            joins.append(stage(x))
            x = functional.max_pool2d(joins[-1], 2)
        x = self.bottom(x)
        for stage, join in zip(self.up, reversed(joins), strict=True):
            x = stage(torch.cat([functional.interpolate(x, scale_factor=2.0, mode="bilinear"), join], 1))
        return (torch.tanh(self.last(x)) + 1) / 2


def _convolution(inputs: int, filters: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, filters, 3, padding=1), nn.ReLU())
