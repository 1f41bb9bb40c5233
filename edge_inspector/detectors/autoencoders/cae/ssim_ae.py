"""`cae:ssim-ae`, the network of Bergmann et al. 2019 (arXiv 1807.02011): a code of 100 numbers, or 128 at 256."""

import math

from torch import nn

from edge_inspector.detectors.autoencoders.architecture import Sizes

SIZES = Sizes(squares=(128, 256))
_SLOPE = 0.2
_LAYERS = ((32, 4, 2), (32, 3, 1), (64, 4, 2), (64, 3, 1), (128, 4, 2), (64, 3, 1), (32, 3, 1))
"""Filters, kernel and stride between the first layer, of 32 filters, and the code."""


def build(channels: int, height: int, _width: int) -> nn.Sequential:
    """Return the network, (batch, channels, side, side) in 0..1 to the same; the side is 128, or 256 for objects.

    1,048,549 parameters for grey at 128, a code of 100 numbers; 1,196,097 at 256, where a layer is put before and
    the code has 128 numbers as in the authors' journal paper of 2021 (reference table 6.1). A sigmoid keeps the
    reconstruction in 0..1, which the paper's table leaves open.
    """
    layers, code = (_LAYERS, 100) if height == 128 else (((32, 4, 2), *_LAYERS), 128)
    steps = [(channels, 32, 4, 2)]
    for filters, kernel, stride in layers:
        steps.append((steps[-1][1], filters, kernel, stride))
    down = [layer for step in steps for layer in (_convolution(*step), nn.LeakyReLU(_SLOPE))]
    up = [layer for step in reversed(steps) for layer in (nn.LeakyReLU(_SLOPE), _transposed(*step))]
    inner = (nn.Conv2d(steps[-1][1], code, 8), nn.ConvTranspose2d(code, steps[-1][1], 8))
    return nn.Sequential(*down, *inner, *up, nn.Sigmoid()).apply(_he_normal)


def _convolution(inputs: int, filters: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, filters, kernel, stride, padding=1)


def _transposed(outputs: int, filters: int, kernel: int, stride: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(filters, outputs, kernel, stride, padding=1)


def _he_normal(layer: nn.Module) -> None:
    """Give a layer first weights that neither let the signal fade nor grow (He et al. 2015).

    The usual rule counts all weights of a transposed convolution, but a pixel gets only some of them: with it, or with
    torch's own, nothing comes through seventeen layers, and the training starts from one grey.
    """
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) or layer.bias is None:
        return
    taps = layer.in_channels * layer.kernel_size[0] ** 2
    if isinstance(layer, nn.ConvTranspose2d):
        from_code = layer.padding[0] == 0
        taps = layer.in_channels if from_code else taps // layer.stride[0] ** 2
    nn.init.normal_(layer.weight, 0, math.sqrt(2 / (1 + _SLOPE**2) / taps))
    nn.init.zeros_(layer.bias)
