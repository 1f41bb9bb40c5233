"""Look at a large image tile by tile, and put one map together: for small defects."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspector.detectors.settings import CommonSettings
from edge_inspector.detectors.training_data import Images
from edge_inspector.errors import UsageError


class Tiled(nn.Module):
    """Runs a network on overlapping tiles; where they overlap, what it gives is averaged.

    The network may give less than a cell for each pixel (features at stride 8), as long as tiles begin on whole cells.
    """

    def __init__(self, network: nn.Module, tile: int, overlap: int) -> None:
        super().__init__()
        self.network = network
        self.tile = tile
        self.overlap = overlap

    def forward(self, image: Tensor) -> Tensor:
        """Return the network's output for uint8 (batch, height, width, channels), of whole images."""
        height, width = image.shape[1:3]
        places = places_of(height, width, self.tile, self.overlap)
        tiles = torch.cat([image[:, y : y + self.tile, x : x + self.tile] for y, x in places])
        return join_tiles(self.network(tiles), places, height, width, self.tile)


def join_tiles(found: Tensor, places: Sequence[tuple[int, int]], height: int, width: int, tile: int) -> Tensor:
    """Return one grid for the whole image from those of its tiles; where tiles overlap, their mean.

    Args:
        found: (len(places) * batch, channels, rows, columns), the first tile of each image first.
        places: upper left corners of the tiles, pixels.
        height: of the image.
        width: of the image.
        tile: side of a tile.
    """
    batch, pixels = len(found) // len(places), tile // found.shape[-1]
    rows, columns = height // pixels, width // pixels
    total = found.new_zeros(batch, found.shape[1], rows, columns)
    count = found.new_zeros(1, 1, rows, columns)
    for number, (y, x) in enumerate(places):
        top, left = y // pixels, x // pixels
        border = (left, columns - left - found.shape[-1], top, rows - top - found.shape[-2])
        total = total + functional.pad(found[number * batch : (number + 1) * batch], border)
        count = count + functional.pad(torch.ones_like(found[:1, :1]), border)
    mean: Tensor = total / count
    return mean


def tiled(network: nn.Module, settings: CommonSettings) -> nn.Module:
    """Return the network as the settings want it: on tiles, or on the whole image."""
    return Tiled(network, settings.tile, settings.overlap) if settings.tile else network


def cut(images: Images, settings: CommonSettings) -> Images:
    """Return what the network is trained on: the tiles of all images, or the images themselves."""
    if not settings.tile:
        return images
    places = places_of(images.shape[1], images.shape[2], settings.tile, settings.overlap)
    return np.concatenate([images[:, y : y + settings.tile, x : x + settings.tile] for y, x in places])


def check_tiles(settings: CommonSettings, height: int, width: int, multiple: int) -> None:
    """Raise UsageError where tiles do not fit the image or the network's cells."""
    if settings.tile > min(height, width):
        raise UsageError(f"--tile {settings.tile} is larger than the detector's image of {width}x{height}")
    off = [place for pair in places_of(height, width, settings.tile, settings.overlap) for place in pair]
    if any(place % multiple for place in off):
        raise UsageError(
            f"--tile {settings.tile} --overlap {settings.overlap} on {width}x{height}: tiles must begin at "
            f"multiples of {multiple} pixels; choose size, tile and overlap so"
        )


def places_of(height: int, width: int, tile: int, overlap: int) -> tuple[tuple[int, int], ...]:
    """Return the upper left corners of tiles that cover the image; the last ones end at its edges."""
    step = tile - overlap
    across = (*range(0, width - tile, step), width - tile)
    return tuple((y, x) for y in (*range(0, height - tile, step), height - tile) for x in across)
