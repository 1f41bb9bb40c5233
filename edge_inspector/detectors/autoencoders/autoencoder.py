"""Autoencoders: one file a network; here is the door to them and how they are taught."""

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
from edge_inspector.detectors.training_data import Deployed, Fitted, Lesson, Pictures, Progress
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
class TaughtAutoencoder:
    """A trained autoencoder."""

    network: nn.Module
    settings: Settings
    lesson: Lesson
    steps: int
    history: History

    def residual(self, deployed: Deployed) -> Fitted:
        """Fit the tolerance on what the deployed network makes of the tune pictures."""
        given = np.concatenate(list(deployed(self.lesson.tune)))
        refuse_constant(given)
        raw = _raw(self.settings, self.lesson.tune, torch.from_numpy(given))
        return Fitted(_fitted(self.settings, raw), self.steps, self.history)


def teach(settings: Settings, lesson: Lesson) -> TaughtAutoencoder:
    """Train an autoencoder to restore spoiled pictures; keep the weights that find planted defects best.

    Raises:
        UsageError: a picture size that the network cannot take, or weights of another network to go on from.
        DataError: the training diverged, or the network is dead or copies what it sees.
    """
    torch.manual_seed(lesson.seed)
    lesson = replace(lesson, fit=cut(lesson.fit, settings))
    height, width, channels = lesson.fit.shape[1:]
    autoencoder = ReconstructionNetwork(NETWORKS[settings.kind].build(channels, height, width))
    network = tiled(autoencoder, settings)
    rng = np.random.default_rng(lesson.seed)
    _load(network, lesson)
    steps, curves = 0, TrainingCurves(autoencoder, lesson, settings, settings.loss)
    for step in fit_network(autoencoder, lesson, settings, lambda: _quality(network, settings, lesson), rng):
        steps = step.number
        curves.add(step)
        words = f"step {step.number}, loss {step.loss:.3f}, finds {step.quality:.1%} of planted defects"
        lesson.report(Progress(step.share, words))
    repeats = len(lesson.planted) // len(lesson.tune)
    refuse_copies(np.concatenate([lesson.tune] * repeats), lesson.planted, _reconstruct(network, lesson.planted))
    return TaughtAutoencoder(network.eval(), settings, lesson, steps, curves.history())


def _load(network: nn.Module, lesson: Lesson) -> None:
    if not lesson.weights:
        return
    weights = {name: torch.from_numpy(np.array(value)) for name, value in lesson.weights.items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise UsageError("the weights to go on from are of another network: give the same options") from error


def _quality(network: nn.Module, settings: Settings, lesson: Lesson) -> float:
    """Return the chance that a planted defect in a tune picture scores higher than a clean tune picture.

    Each half of the tune pictures is judged by the tolerance of the other half, since nothing looks unusual beside a
    tolerance that was fitted on it.
    """
    clean = _raw(settings, lesson.tune, _reconstruct(network, lesson.tune))
    planted = _raw(settings, lesson.planted, _reconstruct(network, lesson.planted))
    half = np.arange(len(lesson.tune)) % 2 == 0
    good: list[float] = []
    defective: list[float] = []
    for judged in (half, ~half):
        residual = _fitted(settings, clean[torch.from_numpy(~judged)])
        repeats = len(planted) // len(clean)
        good += _levels(residual, clean[torch.from_numpy(judged)], lesson)
        defective += _levels(residual, planted[torch.from_numpy(np.tile(judged, repeats))], lesson)
    return auroc(good, defective)


def _levels(residual: Residual, raw: Tensor, lesson: Lesson) -> list[float]:
    return lesson.levels(list(residual.excess(raw)[:, 0].numpy()))


def _reconstruct(network: nn.Module, pictures: Pictures) -> Tensor:
    network.eval()
    # Half the digits are enough to choose weights by; what decides is fitted on the deployed network.
    device = next(network.parameters()).device
    with torch.no_grad(), light(device.type):
        batches = (torch.from_numpy(pictures[i : i + _BATCH]) for i in range(0, len(pictures), _BATCH))
        parts = [network(batch.to(device)).cpu() for batch in batches]
    network.train()
    return torch.cat(parts).float()


def _raw(settings: Settings, pictures: Pictures, reconstructions: Tensor) -> Tensor:
    residual = _unfitted(settings)
    with torch.no_grad():
        parts = [
            residual.raw(torch.from_numpy(pictures[i : i + _BATCH]), reconstructions[i : i + _BATCH])
            for i in range(0, len(pictures), _BATCH)
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
