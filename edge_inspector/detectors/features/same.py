"""Layers padded as Keras pads "same": what the prior systems' layer tables assume."""

from torch import Tensor, nn
from torch.nn import functional


class SameConv2d(nn.Conv2d):
    """A convolution whose output has ceil(size / stride) pixels; an odd pixel of padding goes right and below."""

    def __init__(self, inputs: int, filters: int, kernel: int, stride: int) -> None:
        super().__init__(inputs, filters, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of (batch, inputs, height, width)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
            padding += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, padding))


class SameConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution whose output has size * stride pixels; an odd pixel is cut off right and below."""

    def __init__(self, inputs: int, filters: int, kernel: int, stride: int) -> None:
        super().__init__(inputs, filters, kernel, stride, padding=(kernel - stride) // 2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the transposed convolution of (batch, inputs, height, width)."""
        height, width = (side * self.stride[0] for side in x.shape[-2:])
        return super().forward(x, output_size)[..., :height, :width]


def batch_norm(filters: int) -> nn.BatchNorm2d:
    """Return Keras' batch normalisation, but for its memory.

    Keras keeps .99 of the running mean at each step, which needs hundreds of steps to forget how it began; the default
    training has fewer. torch's .9 is kept.
    """
    return nn.BatchNorm2d(filters, eps=1e-3)


def glorot(layer: nn.Module) -> None:
    """Give a layer Keras' first weights, Glorot-uniform and no bias; to be passed to a network's `apply`."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
