"""`patch`, system 002: an autoencoder with a dense code, judged tile by tile."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspector.detectors.autoencoders.architecture import Sizes
from edge_inspector.detectors.features.same import SameConv2d, glorot

SIZES = Sizes(multiple=8)
_DENSE = (1024, 512, 64, 512, 1024)


def build(channels: int, height: int, width: int) -> nn.Sequential:
    """Return the network, (batch, channels, height, width) in 0..1 to the same; sides are multiples of 8.

    6,245,389 parameters for grey at 200x200, 6,246,191 for colour, 9,515,593 for grey at 256x256 (reference table
    3.1): the dense layers grow with the size.
    """
    smallest = (4, height // 8, width // 8)
    numbers = 4 * (height // 8) * (width // 8)
    layers: list[nn.Module] = []
    for inputs, filters in ((channels, 8), (8, 8), (8, 4)):
        layers += [SameConv2d(inputs, filters, 5, 1), nn.LeakyReLU(0.1), nn.MaxPool2d(2)]
    layers.append(nn.Flatten())
    for values, outputs in zip((numbers, *_DENSE), (*_DENSE, numbers), strict=True):
        layers += [nn.Linear(values, outputs), nn.LeakyReLU(0.1)]
    layers.append(nn.Unflatten(1, smallest))
    for inputs, filters in ((4, 4), (4, 8), (8, 8)):
        layers += [SameConv2d(inputs, filters, 5, 1), nn.LeakyReLU(0.1), nn.Upsample(scale_factor=2, mode="nearest")]
    layers += [SameConv2d(8, channels, 5, 1), nn.Sigmoid()]
    return nn.Sequential(*layers).apply(glorot)


class TileRule(nn.Module):
    """Image and reconstruction to the anomaly map: mean absolute error of each tile beside that of good tiles.

    A tile is anomalous where its error reaches mean + k * sd. The map counts in k * sd beyond the mean, so that this
    is exactly where it reaches 1. System 002 took mean and sd from the pixels of the image itself, so that something
    was often flagged on a good part; here they are those of good tiles. Sides need not be multiples of the tile: the
    last row and column of tiles are smaller.
    """

    def __init__(self, tile: int, boxes: Literal["tile", "pixel"], k: float, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.tile, self.boxes, self.k = tile, boxes, k
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def raw(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the absolute error, the mean of the channels, float32 (batch, 1, height, width)."""
        x = image.permute(0, 3, 1, 2).float() / 255
        return (x - reconstruction).abs().mean(1, keepdim=True)

    def forward(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the anomaly map, float32 (height, width)."""
        return self.excess(self.raw(image, reconstruction))[0, 0]

    def excess(self, raw: Tensor) -> Tensor:
        """Return the map of errors (batch, 1, height, width), the same shape, in k * sd of good tiles, at least 0.

        boxes = "tile" paints a tile's excess over its area; "pixel" shows, in anomalous tiles, the excess of each
        pixel whose own error reaches the tile's limit, and 0 elsewhere.
        """
        height, width = raw.shape[-2:]
        unit = self.k * self.spread
        tiles = (self.errors(raw) - self.mean) / unit
        painted = self._paint(tiles, height, width)
        # What is compared is what becomes 0: NaN compares false, so it stays and nobody takes it for a good part.
        if self.boxes == "tile":
            return torch.where(painted < 0, torch.zeros_like(painted), painted)
        mean, unit = (self._paint(value.expand_as(tiles), height, width) for value in (self.mean, unit))
        pixels = (raw - mean) / unit
        return torch.where((painted < 1) | (pixels < 1), torch.zeros_like(pixels), pixels)

    def errors(self, raw: Tensor) -> Tensor:
        """Return the mean of each tile, (batch, 1, rows, columns), of errors (batch, 1, height, width)."""
        return self._sums(raw) / self._sums(torch.ones_like(raw))

    def _sums(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = functional.pad(x, [0, -width % self.tile, 0, -height % self.tile])
        rows, columns = (side // self.tile for side in x.shape[-2:])
        return x.view(-1, 1, rows, self.tile, columns, self.tile).sum((3, 5))

    def _paint(self, tiles: Tensor, height: int, width: int) -> Tensor:
        spread = tiles.repeat_interleave(self.tile, -2).repeat_interleave(self.tile, -1)
        return spread[..., :height, :width]


def without_good_tiles(tile: int, boxes: Literal["tile", "pixel"], k: float) -> TileRule:
    """Return the rule before it has seen good tiles: errors as they are, in units of k."""
    return TileRule(tile, boxes, k, torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))


def fit_tiles(rule: TileRule, raw: Tensor, *, each_place: bool) -> TileRule:
    """Return `rule` with the mean and sd of good tiles.

    Args:
        rule: gives tile and boxes.
        raw: errors of good images that did not train the network, (count, 1, height, width).
        each_place: a tile beside the tiles at its own place, with the floor of `fit_tolerance`; otherwise beside all.
    """
    tiles = rule.errors(raw)
    if each_place:
        mean, variance = tiles.mean(0, keepdim=True), tiles.var(0, keepdim=True)
        spread = (variance + variance.sqrt().median() ** 2).sqrt()
    else:
        mean, spread = tiles.mean().view(1, 1, 1, 1), tiles.std().view(1, 1, 1, 1)
    return TileRule(rule.tile, rule.boxes, rule.k, mean, spread.clamp_min(1e-6))
