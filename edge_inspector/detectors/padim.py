"""How unusual each place's features are there: Mahalanobis distance (PaDiM), or what principal components leave."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_inspector.detectors.features.features import (
    CellResidual,
    Selected,
    backbone_of,
    by_cell,
    cells_of,
    count_channels,
    good_features,
)
from edge_inspector.detectors.settings import PadimSettings, PcaSettings
from edge_inspector.detectors.training_data import Deployed, Fitted, TrainingData


class Mahalanobis(CellResidual):
    """sqrt((f - mean)' C^-1 (f - mean)) at each cell, as the length of W'(f - mean) with W W' = C^-1."""

    def __init__(self, smoothing: float, mean: NDArray[np.float32], whitening: NDArray[np.float32]) -> None:
        """Take mean (cells, channels) and whitening W (cells, channels, channels)."""
        super().__init__(smoothing)
        self.mean: Tensor
        self.whitening: Tensor
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("whitening", torch.from_numpy(whitening))

    def distance(self, features: Tensor) -> Tensor:
        """Return the Mahalanobis distance of each cell."""
        offset = (cells_of(features) - self.mean).unsqueeze(1)
        lengths = torch.matmul(offset, self.whitening).squeeze(1).square().sum(-1).sqrt()
        return lengths.view(1, 1, *features.shape[-2:])


class PcaResidual(CellResidual):
    """The length of what the principal components of good parts at each cell do not explain."""

    def __init__(self, smoothing: float, mean: NDArray[np.float32], components: NDArray[np.float32]) -> None:
        """Take mean (cells, channels) and components (cells, channels, count), orthonormal."""
        super().__init__(smoothing)
        self.mean: Tensor
        self.components: Tensor
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("components", torch.from_numpy(components))

    def distance(self, features: Tensor) -> Tensor:
        """Return the distance of each cell's features to their projection on the components."""
        offset = (cells_of(features) - self.mean).unsqueeze(1)
        explained = torch.matmul(torch.matmul(offset, self.components), self.components.transpose(1, 2))
        lengths = (offset - explained).squeeze(1).square().sum(-1).sqrt()
        return lengths.view(1, 1, *features.shape[-2:])


@dataclass(frozen=True, slots=True)
class TrainedPadim:
    """A backbone with its channels chosen."""

    network: nn.Module
    settings: PadimSettings
    data: TrainingData

    def residual(self, deployed: Deployed) -> Fitted:
        """Fit mean and covariance of good parts at each cell.

        Each variance gets a share of the mean variance on top (the paper adds 0.01 to features of unit scale): with
        fewer images than channels the covariance alone has no inverse.
        """
        features = good_features(self.data, deployed)
        means, whitenings = [], []
        ridge = self.settings.regularisation * float(features.var(0).mean())
        for values in by_cell(features):
            mean = values.mean(1)
            offset = values - mean[:, None]
            covariance = offset.transpose(0, 2, 1) @ offset / max(1, len(features) - 1)
            covariance += ridge * np.eye(features.shape[1])
            means.append(mean.astype(np.float32))
            # numpy, since torch's batched inverse was seen to fail with oneMKL on this size (SLASWP, parameter 6)
            whitenings.append(np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32))
        graph = Mahalanobis(self.settings.smoothing, np.concatenate(means), np.concatenate(whitenings))
        return Fitted(graph, 0)


@dataclass(frozen=True, slots=True)
class TrainedPca:
    """A backbone whose features are to be explained by principal components."""

    network: nn.Module
    settings: PcaSettings
    data: TrainingData

    def residual(self, deployed: Deployed) -> Fitted:
        """Fit mean and principal components of good parts at each cell; no more components than images less one."""
        features = good_features(self.data, deployed)
        count = min(self.settings.components, len(features) - 1, features.shape[1])
        means, components = [], []
        for values in by_cell(features):
            mean = values.mean(1)
            axes = np.linalg.svd(values - mean[:, None], full_matrices=False)[2]
            means.append(mean.astype(np.float32))
            components.append(axes[:, :count].transpose(0, 2, 1).astype(np.float32))
        graph = PcaResidual(self.settings.smoothing, np.concatenate(means), np.concatenate(components))
        return Fitted(graph, 0)


def train_detector(settings: PadimSettings | PcaSettings, data: TrainingData) -> TrainedPadim | TrainedPca:
    """Load the backbone and, for the Mahalanobis distance, choose its channels by chance from the seed."""
    backbone = backbone_of(settings, data)
    if isinstance(settings, PcaSettings):
        return TrainedPca(backbone, settings, data)
    channels = count_channels(backbone, data)
    kept = np.random.default_rng(data.seed).permutation(channels)[: settings.dimensions]
    return TrainedPadim(Selected(backbone, np.sort(kept)), settings, data)
