"""The door to the detectors: from the settings of one kind to what trains it."""

from torch import nn

from edge_inspector.detectors import centroid, feature_cae, padim, patchcore, svdd
from edge_inspector.detectors.autoencoders import autoencoder
from edge_inspector.detectors.features import features
from edge_inspector.detectors.features.backbones import MULTIPLE
from edge_inspector.detectors.memory import memory
from edge_inspector.detectors.memory.graph import MAPS, MemoryResidual
from edge_inspector.detectors.settings import (
    AutoencoderSettings,
    CentroidSettings,
    DetectorSettings,
    FeatureCaeSettings,
    MemorySettings,
    PadimSettings,
    PatchcoreSettings,
    PcaSettings,
    SvddSettings,
)
from edge_inspector.detectors.tiles import check_tiles
from edge_inspector.detectors.training_data import TrainedDetector, TrainingData

LEAST_SIDE = 96
"""Pixels: of a very long image the short side is not less."""


def check_size(settings: DetectorSettings, height: int, width: int) -> None:
    """Raise UsageError for a size of the detector's image, or of its tiles, that the network cannot take."""
    if settings.tile:
        check_tiles(settings, height, width, 1 if isinstance(settings, AutoencoderSettings) else MULTIPLE)
        height = width = settings.tile
    if isinstance(settings, AutoencoderSettings):
        autoencoder.check_size(settings, height, width)
    else:
        features.check_size(height, width)


def nearest_size(settings: DetectorSettings, longer: int, width: int, height: int) -> tuple[int, int]:
    """Return width and height that the network takes, in the shape of an image of `width` x `height`.

    Args:
        settings: of the detector.
        longer: the longer side that is wanted, pixels.
        width: of the inspected image.
        height: of the inspected image.
    """
    multiple = MULTIPLE
    if isinstance(settings, AutoencoderSettings):
        multiple = 1 if settings.tile else autoencoder.NETWORKS[settings.kind].SIZES.multiple
    scale = longer / max(width, height)
    sides = [max(multiple, round(side * scale / multiple) * multiple) for side in (width, height)]
    return sides[0], sides[1]


def own_size(settings: DetectorSettings, width: int, height: int) -> tuple[int, int]:
    """Return width and height of the area that the kind works best at, in the shape of what is inspected.

    Args:
        settings: of a detector with an area of its own.
        width: of the inspected image.
        height: of the inspected image.
    """
    shape = (width / height) ** 0.5
    sides = (settings.AREA_SIDE * shape, settings.AREA_SIDE / shape)
    across, down = (max(LEAST_SIDE, round(side / MULTIPLE) * MULTIPLE) for side in sides)
    return across, down


def output_names(graph: nn.Module) -> tuple[str, ...]:
    """Return the names of a residual graph's outputs: the map, and what it says of its parts."""
    return ("map", "whole_image", *MAPS) if isinstance(graph, MemoryResidual) else ("map",)


def train_detector(settings: DetectorSettings, data: TrainingData) -> TrainedDetector:  # noqa: PLR0911 - one for each family
    """Train the network of a detector; its residual is fitted after the network has been exported.

    Raises:
        UsageError: no such backbone.
        DataError: the training diverged, or a backbone's weights are missing or damaged.
    """
    match settings:
        case AutoencoderSettings():
            return autoencoder.train_detector(settings, data)
        case PadimSettings() | PcaSettings():
            return padim.train_detector(settings, data)
        case PatchcoreSettings():
            return patchcore.train_detector(settings, data)
        case CentroidSettings():
            return centroid.train_detector(settings, data)
        case FeatureCaeSettings():
            return feature_cae.train_detector(settings, data)
        case MemorySettings():
            return memory.train_detector(settings, data)
        case SvddSettings():
            return svdd.train_detector(settings, data)
