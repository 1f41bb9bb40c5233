"""Autoencoders: one file a network; here is the door to them and how they are trained."""

from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

import numpy as np
import torch
from torch import Tensor, nn

from edge_inspector.detectors.autoencoders import patch, unet
from edge_inspector.detectors.autoencoders.architecture import Architecture
from edge_inspector.detectors.autoencoders.cae import (
    baseline,
    inception,
    mvtec,
    my,
    my_etma,
    my_optuna,
    resnet,
    skip,
    ssim_ae,
)
from edge_inspector.detectors.autoencoders.patch import TileRule, fit_tiles, without_good_tiles
from edge_inspector.detectors.autoencoders.reconstruction import (
    ReconstructionNetwork,
    ReconstructionResidual,
    fit_network,
    fit_tolerance,
    light,
    without_tolerance,
)
from edge_inspector.detectors.autoencoders.sanity import refuse_constant, refuse_copies
from edge_inspector.detectors.autoencoders.training_curves import TrainingCurves
from edge_inspector.detectors.history import History
from edge_inspector.detectors.settings import AutoencoderSettings, CaeSettings, PatchSettings, UnetSettings
from edge_inspector.detectors.tiles import cut, tiled
from edge_inspector.detectors.training_data import Deployed, Fitted, Images, Progress, TrainingData
from edge_inspector.errors import UsageError
from edge_inspector.inspection.auroc import auroc

NETWORKS: dict[str, Architecture] = {
    "cae:my": my,
    "cae:my-etma": my_etma,
    "cae:my-optuna": my_optuna,
    "cae:mvtec": mvtec,
    "cae:baseline": baseline,
    "cae:inception": inception,
    "cae:resnet": resnet,
    "cae:skip": skip,
    "cae:ssim-ae": ssim_ae,
    "unet": unet,
    "patch": patch,
}
Settings: TypeAlias = CaeSettings | UnetSettings | PatchSettings
Residual: TypeAlias = ReconstructionResidual | TileRule
_BATCH = 8


def check_size(settings: AutoencoderSettings, height: int, width: int) -> None:
    """Raise UsageError for a size that the network cannot take."""
    sizes = NETWORKS[settings.kind].SIZES
    if not sizes.take(height, width):
        raise UsageError(f"{settings.kind} takes {sizes}, got {width}x{height}")


@dataclass(frozen=True, slots=True)
class TrainedAutoencoder:
    """A trained autoencoder."""

    network: nn.Module
    settings: Settings
    data: TrainingData
    steps: int
    history: History

    def residual(self, deployed: Deployed) -> Fitted:
        """Fit the tolerance on what the deployed network makes of the tune images."""
        given = np.concatenate(list(deployed(self.data.tune)))
        refuse_constant(given)
        raw = _raw(self.settings, self.data.tune, torch.from_numpy(given))
        return Fitted(_fitted(self.settings, raw), self.steps, self.history)


def train_detector(settings: Settings, data: TrainingData) -> TrainedAutoencoder:
    """Train an autoencoder to restore spoiled images; keep the weights that find synthetic defects best.

    Raises:
        UsageError: an image size that the network cannot take, or weights of another network to go on from.
        DataError: the training diverged, or the network is dead or copies what it sees.
    """
    torch.manual_seed(data.seed)
    data = replace(data, fit=cut(data.fit, settings))
    height, width, channels = data.fit.shape[1:]
    autoencoder = ReconstructionNetwork(NETWORKS[settings.kind].build(channels, height, width))
    network = tiled(autoencoder, settings)
    rng = np.random.default_rng(data.seed)
    _load(network, data)
    steps, curves = 0, TrainingCurves(autoencoder, data, settings, settings.loss)
    for step in fit_network(autoencoder, data, settings, lambda: _quality(network, settings, data), rng):
        steps = step.number
        curves.add(step)
        words = f"step {step.number}, loss {step.loss:.3f}, finds {step.quality:.1%} of synthetic defects"
        data.report(Progress(step.share, words))
    repeats = len(data.synthetic) // len(data.tune)
    refuse_copies(np.concatenate([data.tune] * repeats), data.synthetic, _reconstruct(network, data.synthetic))
    return TrainedAutoencoder(network.eval(), settings, data, steps, curves.history())


def _load(network: nn.Module, data: TrainingData) -> None:
    if not data.weights:
        return
    weights = {name: torch.from_numpy(np.array(value)) for name, value in data.weights.items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise UsageError("the weights to go on from are of another network: give the same options") from error


def _quality(network: nn.Module, settings: Settings, data: TrainingData) -> float:
    """Return the chance that a synthetic defect in a tune image scores higher than a clean tune image.

    Each half of the tune images is judged by the tolerance of the other half, since nothing looks unusual beside a
    tolerance that was fitted on it.
    """
    clean = _raw(settings, data.tune, _reconstruct(network, data.tune))
    synthetic = _raw(settings, data.synthetic, _reconstruct(network, data.synthetic))
    half = np.arange(len(data.tune)) % 2 == 0
    good: list[float] = []
    defective: list[float] = []
    for judged in (half, ~half):
        residual = _fitted(settings, clean[torch.from_numpy(~judged)])
        repeats = len(synthetic) // len(clean)
        good += _levels(residual, clean[torch.from_numpy(judged)], data)
        defective += _levels(residual, synthetic[torch.from_numpy(np.tile(judged, repeats))], data)
    return auroc(good, defective)


def _levels(residual: Residual, raw: Tensor, data: TrainingData) -> list[float]:
    return data.levels(list(residual.excess(raw)[:, 0].numpy()))


def _reconstruct(network: nn.Module, images: Images) -> Tensor:
    network.eval()
    # Half the digits are enough to choose weights by; what decides is fitted on the deployed network.
    device = next(network.parameters()).device
    with torch.no_grad(), light(device.type):
        batches = (torch.from_numpy(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH))
        parts = [network(batch.to(device)).cpu() for batch in batches]
    network.train()
    return torch.cat(parts).float()


def _raw(settings: Settings, images: Images, reconstructions: Tensor) -> Tensor:
    residual = _unfitted(settings)
    with torch.no_grad():
        parts = [
            residual.raw(torch.from_numpy(images[i : i + _BATCH]), reconstructions[i : i + _BATCH])
            for i in range(0, len(images), _BATCH)
        ]
    return torch.cat(parts)


def _unfitted(settings: Settings) -> Residual:
    match settings:
        case CaeSettings() | UnetSettings():
            return without_tolerance(settings.residual, settings.smoothing)
        case PatchSettings():
            return without_good_tiles(settings.patch, settings.boxes, settings.k)
    assert_never(settings)


def _fitted(settings: Settings, maps: Tensor) -> Residual:
    match settings:
        case CaeSettings() | UnetSettings():
            residual = without_tolerance(settings.residual, settings.smoothing)
            return fit_tolerance(residual, maps, settings.tolerance_smoothing) if settings.tolerance else residual
        case PatchSettings():
            rule = without_good_tiles(settings.patch, settings.boxes, settings.k)
            return fit_tiles(rule, maps, each_place=settings.tolerance)
    assert_never(settings)
