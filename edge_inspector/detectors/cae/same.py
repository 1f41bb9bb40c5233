"""A convolution padded as Keras pads "same": what the prior systems' layer tables assume."""

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
