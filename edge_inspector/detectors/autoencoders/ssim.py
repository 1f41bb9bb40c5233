"""Structural similarity (Wang et al. 2004) that neither cancels nor invents edges.

Two departures from the usual torch code, both measured (ARCHITECTURE, decision 4): borders repeat the edge pixel
("symmetric", as scikit-image does; torch's `reflect` is off by 0.26 there), and variances are taken of differences and
of values round zero, since E[x^2] - E[x]^2 loses most of float32's digits on bright flat parts.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_C1, _C2 = 0.01**2, 0.03**2
_RADIUS = 5
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales of MS-SSIM, finest first (Wang, Simoncelli, Bovik 2003)."""


class Blur(nn.Module):
    """A Gaussian of `sigma` pixels per channel, borders repeated; (batch, channels, height, width) in and out."""

    def __init__(self, sigma: float, radius: int) -> None:
        super().__init__()
        self.radius = radius
        taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma) ** 2)
        self.taps: Tensor
        self.register_buffer("taps", (taps / taps.sum()).float())
        self._exact = taps / taps.sum()

    def forward(self, x: Tensor) -> Tensor:
        """Return the blurred tensor."""
        channels = x.shape[1]
        taps = self.taps if x.dtype == torch.float32 else self._exact.to(x.dtype)
        x = functional.conv2d(
            _symmetric(x, self.radius, -2), taps.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels
        )
        return functional.conv2d(
            _symmetric(x, self.radius, -1), taps.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels
        )


class Ssim(nn.Module):
    """SSIM per pixel: 11 taps, sigma 1.5, K1 .01, K2 .03, population variance, data range 1."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = Blur(1.5, _RADIUS)

    def terms(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return luminance and contrast-structure of two (batch, channels, height, width) tensors in 0..1."""
        error, p, q = x - y, x - 0.5, y - 0.5
        channels = x.shape[1]
        blurred = self.blur(torch.cat([p, q, error, p * p + q * q, error * error], 1))
        mean_p, mean_q, mean_error, power, error_power = (
            blurred[:, channels * i : channels * (i + 1)] for i in range(5)
        )
        mean_x, mean_y = mean_p + 0.5, mean_q + 0.5
        luminance = 1 - mean_error**2 / (mean_x**2 + mean_y**2 + _C1)
        structure = 1 - (error_power - mean_error**2) / (power - mean_p**2 - mean_q**2 + _C2)
        return luminance, structure

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the SSIM map, the shape of `x`."""
        luminance, structure = self.terms(x, y)
        return luminance * structure

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Return 1 - mean SSIM for grey, 1 - MS-SSIM for colour images."""
        return 1 - (self.forward(x, y).mean() if x.shape[1] == 1 else self.multi_scale(x, y))

    def multi_scale(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean MS-SSIM, with as many scales as the image allows, their weights made to sum to 1."""
        scales = usable_scales(min(x.shape[-2:]))
        weights = torch.tensor(_SCALE_WEIGHTS[:scales])
        product = torch.ones(x.shape[0], x.shape[1])
        for scale, weight in enumerate(weights / weights.sum()):
            luminance, structure = self.terms(x, y)
            last = scale == scales - 1
            value = (luminance * structure if last else structure).mean((-2, -1))
            product = product * value.clamp_min(1e-4) ** weight
            if not last:
                x, y = functional.avg_pool2d(x, 2), functional.avg_pool2d(y, 2)
        return product.mean()


def usable_scales(side: int) -> int:
    """Return how many scales of MS-SSIM an image of that side allows: all five from 176 pixels, at least one."""
    scales = 1
    while scales < len(_SCALE_WEIGHTS) and side // 2**scales >= 2 * _RADIUS + 1:
        scales += 1
    return scales


def _symmetric(x: Tensor, radius: int, axis: int) -> Tensor:
    """Pad one axis by repeating the edge (c b a | a b c), as often as the image is short."""
    size = x.shape[axis]
    places = [_mirrored(place, size) for place in range(-radius, size + radius)]
    return x.index_select(axis, torch.tensor(places))


def _mirrored(place: int, size: int) -> int:
    place %= 2 * size
    return place if place < size else 2 * size - 1 - place
