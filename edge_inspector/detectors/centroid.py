"""How far each place's features are from the mean of good parts there; nothing is trained (system 003)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_inspector.detectors.features.features import CellResidual, backbone_of, good_features
from edge_inspector.detectors.settings import CentroidSettings
from edge_inspector.detectors.training_data import Deployed, Fitted, TrainingData


class Centroid(CellResidual):
    """Euclidean distance to the mean."""

    def __init__(self, smoothing: float, mean: NDArray[np.float32]) -> None:
        """Take mean (1, channels, rows, columns)."""
        super().__init__(smoothing)
        self.mean: Tensor
        self.register_buffer("mean", torch.from_numpy(mean))

    def distance(self, features: Tensor) -> Tensor:
        """Return the distance of each cell to the mean there."""
        return (features - self.mean).square().sum(1, keepdim=True).sqrt()


@dataclass(frozen=True, slots=True)
class TrainedCentroid:
    """A backbone."""

    network: nn.Module
    settings: CentroidSettings
    data: TrainingData

    def residual(self, deployed: Deployed) -> Fitted:
        """Take the mean."""
        mean = good_features(self.data, deployed).mean(0, keepdims=True)
        return Fitted(Centroid(self.settings.smoothing, mean), 0)


def train_detector(settings: CentroidSettings, data: TrainingData) -> TrainedCentroid:
    """Load the backbone."""
    return TrainedCentroid(backbone_of(settings, data), settings, data)
