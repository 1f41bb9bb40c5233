"""`cae:mvtec`, system 001's simplified SSIM autoencoder: a code of one channel, stride-2 decoder with upsampling."""

from torch import nn

from edge_inspector.detectors.autoencoders.architecture import Sizes
from edge_inspector.detectors.features.same import SameConv2d

SIZES = Sizes(multiple=32)


def build(channels: int, _height: int, _width: int) -> nn.Sequential:
    """Return the network, (batch, channels, height, width) in 0..1 to the same; sides are multiples of 32.

    746,210 parameters for grey, 751,332 for colour (reference table 1.1.2).
    """
    return nn.Sequential(
        *_convolution(channels, 32, 4, 2),
        *_convolution(32, 32, 4, 2),
        *_convolution(32, 32, 4, 2),
        *_convolution(32, 32, 3, 1),
        *_convolution(32, 64, 4, 2),
        *_convolution(64, 64, 3, 1),
        *_convolution(64, 128, 4, 2),
        *_convolution(128, 64, 3, 1),
        *_convolution(64, 32, 3, 1),
        SameConv2d(32, 1, 8, 1),
        *_convolution(1, 32, 3, 1),
        *_convolution(32, 64, 3, 1),
        _up(2),
        *_convolution(64, 128, 4, 2),
        _up(2),
        *_convolution(128, 64, 3, 1),
        _up(2),
        *_convolution(64, 64, 4, 2),
        _up(2),
        *_convolution(64, 32, 3, 1),
        _up(2),
        *_convolution(32, 32, 4, 2),
        _up(4),
        *_convolution(32, 32, 4, 2),
        _up(2),
        *_convolution(32, 32, 8, 1),
        _up(2),
        SameConv2d(32, channels, 8, 1),
        nn.Sigmoid(),
    )


def _convolution(inputs: int, filters: int, kernel: int, stride: int) -> tuple[nn.Module, nn.Module]:
    return SameConv2d(inputs, filters, kernel, stride), nn.ReLU()


def _up(factor: int) -> nn.Upsample:
    return nn.Upsample(scale_factor=factor, mode="nearest")
