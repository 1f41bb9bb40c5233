"""`cae:resnet`, the residual autoencoder that system 001 names: a narrow ResNet-18 encoder, transposed decoder."""

import torch
from torch import Tensor, nn

from edge_inspector.detectors.autoencoders.architecture import Sizes
from edge_inspector.detectors.features.same import SameConv2d, SameConvTranspose2d, batch_norm

SIZES = Sizes(multiple=32)
_STAGES = ((64, 1), (128, 2), (256, 2))
"""Filters and stride of the encoder's stages of two blocks."""
_CODE = 512


def build(channels: int, _height: int, _width: int) -> nn.Sequential:
    """Return the network, (batch, channels, height, width) in 0..1 to the same; sides are multiples of 32.

    15,018,305 parameters for grey, 15,026,627 for colour, batch normalisation counted four a channel (reference table
    1.1.5). Two things are odd in the original and kept, since the network is known by its parameters: shortcuts are
    concatenated where a ResNet adds them, and of the last stage only its shortcut is there. The L2 regulariser of the
    encoder is left out: it is nothing in a training of minutes.
    """
    layers: list[nn.Module] = [SameConv2d(channels, 64, 7, 2), *_activation(64), nn.MaxPool2d(3, 2, ceil_mode=True)]
    inputs, activated = 64, True
    for filters, stride in _STAGES:
        for step in (stride, 1):
            layers.append(ConcatenatedBlock(inputs, filters, step, activated=activated))
            inputs, activated = 2 * filters, False
    layers += [nn.Conv2d(inputs, _CODE, 1, 2)]
    layers += [nn.Conv2d(_CODE, _CODE, 1), nn.ReLU(), nn.Conv2d(_CODE, _CODE, 1), nn.ReLU()]
    inputs = _CODE
    for filters in (512, 256, 128, 64):
        layers.append(UpBlock(inputs, filters))
        inputs = filters
    layers += [SameConvTranspose2d(inputs, channels, 4, 2), nn.Sigmoid()]
    return nn.Sequential(*layers).apply(_he_normal)


class ConcatenatedBlock(nn.Module):
    """Two 3x3 convolutions beside their shortcut: 2 * filters channels come out."""

    def __init__(self, inputs: int, filters: int, stride: int, *, activated: bool) -> None:
        super().__init__()
        before = [] if activated else _activation(inputs)
        self.branch = nn.Sequential(
            *before, SameConv2d(inputs, filters, 3, stride), *_activation(filters), SameConv2d(filters, filters, 3, 1)
        )
        same_shape = stride == 1 and inputs == filters
        self.shortcut = nn.Identity() if same_shape else nn.Conv2d(inputs, filters, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 2 * filters, height / stride, width / stride) for (batch, inputs, height, width)."""
        return torch.cat([self.shortcut(x), self.branch(x)], 1)


class UpBlock(nn.Module):
    """A transposed convolution that doubles the size, and one more beside it, added."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.up = SameConvTranspose2d(inputs, filters, 4, 2)
        self.branch = nn.Sequential(
            *_activation(filters), SameConvTranspose2d(filters, filters, 3, 1), *_activation(filters)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, filters, 2 * height, 2 * width) for (batch, inputs, height, width)."""
        up: Tensor = self.up(x)
        added: Tensor = up + self.branch(up)
        return added


def _activation(filters: int) -> list[nn.Module]:
    return [batch_norm(filters), nn.ReLU()]


def _he_normal(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
