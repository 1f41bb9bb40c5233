"""What an autoencoder of features, cell by cell, cannot restore (system 000)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_inspector.detectors.features.cells import train_on_cells
from edge_inspector.detectors.features.features import CellResidual, backbone_of, good_features
from edge_inspector.detectors.settings import FeatureCaeSettings
from edge_inspector.detectors.training_data import Deployed, Fitted, TrainingData


def autoencoder(channels: int, latent: int) -> nn.Sequential:
    """Return system 000's network of 1 x 1 convolutions: 550,892 parameters for 512 channels and 100 latent numbers."""
    middle = (channels + 2 * latent) // 2
    return nn.Sequential(
        *_block(channels, middle),
        *_block(middle, 2 * latent),
        nn.Conv2d(2 * latent, latent, 1),
        *_block(latent, 2 * latent),
        *_block(2 * latent, middle),
        nn.Conv2d(middle, channels, 1),
    )


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU()]


class FeatureError(CellResidual):
    """Mean over channels of the squared difference between features and what the autoencoder makes of them."""

    def __init__(self, smoothing: float, network: nn.Module, mean: Tensor, scale: Tensor) -> None:
        """Take mean and scale of the features, (1, channels, 1, 1)."""
        super().__init__(smoothing)
        self.network = network
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def normalised(self, features: Tensor) -> Tensor:
        """Return features in units of their spread."""
        return (features - self.mean) / self.scale

    def distance(self, features: Tensor) -> Tensor:
        """Return the error of each cell."""
        x = self.normalised(features)
        error: Tensor = (x - self.network(x)).square().mean(1, keepdim=True)
        return error


@dataclass(frozen=True, slots=True)
class TrainedFeatureCae:
    """A backbone whose features are to be reconstructed."""

    network: nn.Module
    settings: FeatureCaeSettings
    data: TrainingData

    def residual(self, deployed: Deployed) -> Fitted:
        """Train the autoencoder on what the deployed backbone gives."""
        features = good_features(self.data, deployed)
        torch.manual_seed(self.data.seed)
        mean, scale = _mean_and_scale(features)
        network = autoencoder(features.shape[1], self.settings.latent)
        graph = FeatureError(self.settings.smoothing, network, mean, scale)
        history = train_on_cells(
            network, features, lambda cells: graph.distance(cells).mean(), self.settings.rate, self.data
        )
        return Fitted(graph, len(history.rows), history)


def _mean_and_scale(features: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    mean, scale = (values(features, axis=(0, 2, 3), keepdims=True) for values in (np.mean, np.std))
    return torch.from_numpy(mean), torch.from_numpy(scale + np.float32(1e-6))


def train_detector(settings: FeatureCaeSettings, data: TrainingData) -> TrainedFeatureCae:
    """Load the backbone."""
    return TrainedFeatureCae(backbone_of(settings, data), settings, data)
