"""How far from the centre of a sphere that holds the features of good parts (Deep SVDD, Ruff et al. 2018)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_inspector.detectors.features.cells import train_on_cells
from edge_inspector.detectors.features.features import CellResidual, backbone_of, good_features
from edge_inspector.detectors.settings import SvddSettings
from edge_inspector.detectors.training_data import Deployed, Fitted, TrainingData
from edge_inspector.errors import DataError

_OFF_ZERO = 0.1
"""A centre nearer to zero than this could be reached with all weights zero."""
COLLAPSED = 1e-3
"""Share of the spread before training below which every part looks the same."""


class Sphere(CellResidual):
    """Distance of each cell to the centre, and of the whole part where that is larger.

    The part's own distance is that of its mean embedding, in units of what good parts have (system 003's image score);
    it is put under the whole map, so that one threshold judges both.
    """

    def __init__(self, smoothing: float, network: nn.Module, scale: Tensor, centre: Tensor) -> None:
        """Take the scale of the features and the centre of the embeddings, (1, channels, 1, 1)."""
        super().__init__(smoothing)
        self.network = network
        self.scale: Tensor
        self.centre: Tensor
        self.of_cells: Tensor
        self.of_parts: Tensor
        self.register_buffer("scale", scale)
        self.register_buffer("centre", centre)
        self.register_buffer("of_cells", torch.ones(()))
        self.register_buffer("of_parts", torch.ones(()))

    def embed(self, features: Tensor) -> Tensor:
        """Return the embedding of features."""
        embedded: Tensor = self.network(features / self.scale)
        return embedded

    def distances(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance of each cell, (batch, 1, rows, columns), and of each part, (batch, 1, 1, 1)."""
        offset = self.embed(features) - self.centre
        cells = offset.square().sum(1, keepdim=True).sqrt()
        return cells, offset.mean((2, 3), keepdim=True).square().sum(1, keepdim=True).sqrt()

    def distance(self, features: Tensor) -> Tensor:
        """Return each cell's distance in units of the typical distance, at least the whole part's."""
        cells, part = self.distances(features)
        return torch.maximum(cells / self.of_cells, part / self.of_parts)


def head(channels: int, latent: int) -> nn.Sequential:
    """Return the network that is trained: without biases, which could map everything to the centre."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1, bias=False), nn.LeakyReLU(0.1), nn.Conv2d(channels, latent, 1, bias=False)
    )


@dataclass(frozen=True, slots=True)
class TrainedSvdd:
    """A backbone on whose features the sphere is to be fitted."""

    network: nn.Module
    settings: SvddSettings
    data: TrainingData

    def residual(self, deployed: Deployed) -> Fitted:
        """Train the head to bring the features of good parts to the centre.

        The units of cells and parts are the highest distances in tune images.

        Raises:
            DataError: the sphere collapsed: every part has the same embedding.
        """
        features = good_features(self.data, deployed)
        torch.manual_seed(self.data.seed)
        scale = torch.from_numpy(features.std((0, 2, 3), keepdims=True) + np.float32(1e-6))
        network = head(features.shape[1], self.settings.latent)
        graph = Sphere(self.settings.smoothing, network, scale, torch.zeros(1, self.settings.latent, 1, 1))
        graph.centre = _centre(graph, features)
        before = _spread(graph, features)
        history = train_on_cells(
            network, features, lambda cells: graph.distances(cells)[0].square().mean(), self.settings.rate, self.data
        )
        if _spread(graph, features) < COLLAPSED * before:
            raise DataError("the sphere collapsed: every part looks the same to it; lower --epochs or the rate")
        with torch.no_grad():
            pairs = [graph.distances(torch.from_numpy(found)) for found in deployed(self.data.tune)]
        graph.of_cells = torch.stack([cells.max() for cells, _ in pairs]).median()
        graph.of_parts = torch.stack([part.max() for _, part in pairs]).max()
        return Fitted(graph, len(history.rows), history)


def _centre(graph: Sphere, features: NDArray[np.float32]) -> Tensor:
    """Return the mean embedding before training, kept off zero."""
    with torch.no_grad():
        means = [graph.embed(torch.from_numpy(part[None])).mean((0, 2, 3), keepdim=True) for part in features]
    centre = torch.stack(means).mean(0)
    sign = torch.where(centre >= 0, 1.0, -1.0)
    return sign * centre.abs().clamp_min(_OFF_ZERO)


def _spread(graph: Sphere, features: NDArray[np.float32]) -> float:
    with torch.no_grad():
        return float(graph.embed(torch.from_numpy(features[:16])).std((0, 2, 3)).mean())


def train_detector(settings: SvddSettings, data: TrainingData) -> TrainedSvdd:
    """Load the backbone."""
    return TrainedSvdd(backbone_of(settings, data), settings, data)
