"""What the detectors share that compare a part's features, cell by cell, with those of good parts."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edge_inspector.detectors.autoencoders.ssim import Blur
from edge_inspector.detectors.features.backbones import MULTIPLE, load_backbone
from edge_inspector.detectors.settings import FeatureSettings
from edge_inspector.detectors.tiles import tiled
from edge_inspector.detectors.training_data import Deployed, TrainingData
from edge_inspector.errors import DataError, UsageError

_CHUNK = 256
"""Cells that are worked on at once."""


class CellResidual(nn.Module):
    """Image and features to the anomaly map: a distance for each cell, enlarged to the image and smoothed."""

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smooth = Blur(smoothing, int(4 * smoothing + 0.5)) if smoothing else nn.Identity()

    def forward(self, image: Tensor, features: Tensor) -> Tensor:
        """Return the anomaly map, float32 (height, width)."""
        distances = self.distance(features)
        enlarged = functional.interpolate(distances, size=image.shape[1:3], mode="bilinear", align_corners=False)
        smoothed: Tensor = self.smooth(enlarged)
        return smoothed[0, 0]

    def distance(self, features: Tensor) -> Tensor:
        """Return how far features, (1, channels, rows, columns), are from good ones, (1, 1, rows, columns)."""
        raise NotImplementedError


def check_size(height: int, width: int) -> None:
    """Raise UsageError for a size that the backbones cannot take."""
    if height % MULTIPLE or width % MULTIPLE:
        raise UsageError(f"a backbone takes sizes that are multiples of {MULTIPLE}, got {width}x{height}")


def cells_of(features: Tensor) -> Tensor:
    """Return features (1, channels, rows, columns) as (rows * columns, channels)."""
    return features[0].flatten(1).transpose(0, 1)


def good_features(data: TrainingData, deployed: Deployed) -> NDArray[np.float32]:
    """Return the deployed network's features of all good images that may train, (count, channels, rows, columns).

    With augmentations each image comes a second time, changed.

    Raises:
        DataError: they are all equal, or not finite.
    """
    found = np.concatenate(list(_trained_from(data, deployed)))
    if not np.isfinite(found).all():
        raise DataError("the backbone gives values that are not numbers: its weights are damaged")
    if len(found) > 1 and (found == found[0]).all():
        raise DataError("the backbone sees no difference between the good images: are they all the same image?")
    return found


def _trained_from(data: TrainingData, deployed: Deployed) -> Iterator[NDArray[np.float32]]:
    yield from deployed(data.good)
    changed = data.augment(data.good, np.random.default_rng(data.seed))
    if changed is not data.good and not np.array_equal(changed, data.good):
        yield from deployed(changed)


def by_cell(features: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """Yield the features of good images for some cells at a time, float64 (cells, count, channels)."""
    count, channels = features.shape[:2]
    flat = features.reshape(count, channels, -1)
    for start in range(0, flat.shape[2], _CHUNK):
        yield flat[:, :, start : start + _CHUNK].transpose(2, 0, 1).astype(np.float64)


class Selected(nn.Module):
    """A backbone with only some of its channels."""

    def __init__(self, backbone: nn.Module, channels: NDArray[np.int64]) -> None:
        super().__init__()
        self.backbone = backbone
        self.channels: Tensor
        self.register_buffer("channels", torch.from_numpy(channels))

    def forward(self, image: Tensor) -> Tensor:
        """Return the features of images, (batch, len(channels), rows, columns)."""
        features: Tensor = self.backbone(image)
        return features.index_select(1, self.channels)


def count_channels(backbone: nn.Module, data: TrainingData) -> int:
    """Return how many channels a backbone gives."""
    with torch.no_grad():
        return int(backbone(torch.from_numpy(data.tune[:1])).shape[1])


def backbone_of(settings: FeatureSettings, data: TrainingData) -> nn.Module:
    """Return the settings' backbone, on tiles where they want it so.

    Raises:
        UsageError: no such backbone.
        DataError: its weights are missing or damaged.
    """
    return tiled(load_backbone(settings, data.seed), settings)
