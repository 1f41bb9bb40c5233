"""The grids of four blocks of a backbone, from one pass, packed into one row of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_inspector.detectors.features.backbones import Backbone
from edge_inspector.detectors.tiles import join_tiles, places_of


@dataclass(frozen=True, slots=True)
class Layout:
    """The grids in a packed row, one behind the other: channels, rows and columns of each."""

    shapes: tuple[tuple[int, int, int], ...]

    def unpack(self, packed: Tensor) -> tuple[Tensor, ...]:
        """Return the grids, each (channels, rows, columns), of a packed row, (1, numbers)."""
        sizes = [channels * rows * columns for channels, rows, columns in self.shapes]
        return tuple(
            part.reshape(shape) for part, shape in zip(torch.split(packed[0], sizes), self.shapes, strict=True)
        )

    @property
    def finest(self) -> tuple[int, int]:
        """Rows and columns of the finest grid: that of the anomaly map's cells."""
        return self.shapes[0][1], self.shapes[0][2]


class PackedTaps(nn.Module):
    """uint8 (1, height, width, channels) to the packed grids of the backbone, float32 (1, numbers).

    What is never judged is painted over with what good parts show there, so that it cannot speak, not even through the
    wide view of the deeper blocks.
    """

    def __init__(self, backbone: Backbone, tile: int = 0, overlap: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        self.tile = tile
        self.overlap = overlap
        self.hidden: Tensor | None
        self.paint: Tensor | None
        self.register_buffer("hidden", None)
        self.register_buffer("paint", None)

    def hide(self, hidden: Tensor, paint: Tensor) -> None:
        """Paint over what is `hidden`, bool (height, width), with `paint`, uint8 (height, width, channels)."""
        self.hidden = hidden[None, ..., None]
        self.paint = paint[None]

    def forward(self, image: Tensor) -> Tensor:
        """Return the packed grids of one image."""
        return torch.cat([grid.flatten(1) for grid in self.grids(image)], 1)

    def grids(self, image: Tensor) -> Sequence[Tensor]:
        """Return the grids of one image, each (1, channels, rows, columns)."""
        if self.hidden is not None and self.paint is not None:
            image = torch.where(self.hidden, self.paint, image)
        if not self.tile:
            return self._taps(image)
        height, width = image.shape[1:3]
        places = places_of(height, width, self.tile, self.overlap)
        tiles = torch.cat([image[:, y : y + self.tile, x : x + self.tile] for y, x in places])
        return [join_tiles(found, places, height, width, self.tile) for found in self._taps(tiles)]

    def _taps(self, image: Tensor) -> Sequence[Tensor]:
        found: Sequence[Tensor] = self.backbone.trunk(self.backbone.normalised(image))
        return found

    def layout(self, image: Tensor) -> Layout:
        """Return how the grids of such images are packed."""
        with torch.no_grad():
            return Layout(tuple(_shape(grid) for grid in self.grids(image)))


def _shape(grid: Tensor) -> tuple[int, int, int]:
    _, channels, rows, columns = grid.shape
    return int(channels), int(rows), int(columns)
