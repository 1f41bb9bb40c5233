"""How far each cell's features are from the nearest that good parts showed anywhere (Roth et al. 2022)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_inspector.detectors.features.features import CellResidual, backbone_of, cells_of, good_features
from edge_inspector.detectors.settings import PatchcoreSettings
from edge_inspector.detectors.training_data import Deployed, Fitted, TrainingData

_CANDIDATES = 40_000
_SHADOW = 32
"""Dimensions of the random projection in which the coreset is chosen."""


class Memory(CellResidual):
    """Distance to the nearest remembered feature, exact, as one matrix product; less where many are as near.

    The weight is 1 - softmax of the distances to the nearest few, as the paper has it for an image's highest cell,
    here for each cell.
    """

    def __init__(self, smoothing: float, memory: NDArray[np.float32], scale: NDArray[np.float32], near: int) -> None:
        """Take memory (count, channels), already divided by scale (channels)."""
        super().__init__(smoothing)
        self.near = near
        self.memory: Tensor
        self.scale: Tensor
        self.squares: Tensor
        self.register_buffer("memory", torch.from_numpy(memory))
        self.register_buffer("scale", torch.from_numpy(scale))
        self.register_buffer("squares", torch.from_numpy(np.square(memory).sum(1)))

    def distance(self, features: Tensor) -> Tensor:
        """Return the weighted distance of each cell to the memory."""
        cells = cells_of(features) / self.scale
        squared = cells.square().sum(1, keepdim=True) + self.squares - 2 * torch.matmul(cells, self.memory.t())
        nearest = torch.topk(squared, self.near, dim=1, largest=False).values.clamp_min(0).sqrt()
        weight = 1 - torch.softmax(nearest, 1)[:, 0] if self.near > 1 else 1.0
        return (nearest[:, 0] * weight).view(1, 1, *features.shape[-2:])


def coreset(features: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the places of `count` features, (rows, channels), that cover all: each next one the farthest from those.

    Chosen in a random projection, which keeps distances (Johnson-Lindenstrauss) at a fraction of the work.
    """
    shadow = features @ rng.standard_normal((features.shape[1], _SHADOW), np.float32)
    chosen = [int(rng.integers(len(features)))]
    distance = np.square(shadow - shadow[chosen[0]]).sum(1)
    while len(chosen) < min(count, len(features)):
        chosen.append(int(distance.argmax()))
        np.minimum(distance, np.square(shadow - shadow[chosen[-1]]).sum(1), out=distance)
    return np.array(chosen)


@dataclass(frozen=True, slots=True)
class TrainedPatchcore:
    """A backbone whose features are to be remembered."""

    network: nn.Module
    settings: PatchcoreSettings
    data: TrainingData

    def residual(self, deployed: Deployed) -> Fitted:
        """Remember a coreset of the features of good parts, each channel in units of its own spread."""
        features = good_features(self.data, deployed)
        rng = np.random.default_rng(self.data.seed)
        cells = np.ascontiguousarray(features.transpose(0, 2, 3, 1)).reshape(-1, features.shape[1])
        scale = cells.std(0) + 1e-6
        candidates = cells[rng.permutation(len(cells))[:_CANDIDATES]] / scale
        memory = candidates[coreset(candidates, self.settings.memory, rng)]
        near = min(self.settings.neighbours, len(memory))
        return Fitted(Memory(self.settings.smoothing, memory, scale, near), 0)


def train_detector(settings: PatchcoreSettings, data: TrainingData) -> TrainedPatchcore:
    """Load the backbone."""
    return TrainedPatchcore(backbone_of(settings, data), settings, data)
