"""Convolutional autoencoders: one file a network; here is the door to them and how they are taught."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_inspector.detectors.cae import mvtec, my
from edge_inspector.detectors.lesson import Lesson, Pictures, Progress
from edge_inspector.detectors.reconstruction import (
    ReconstructionNetwork,
    ReconstructionResidual,
    fit_network,
    fit_tolerance,
    has_bf16_units,
    without_tolerance,
)
from edge_inspector.detectors.settings import CaeSettings
from edge_inspector.errors import UsageError
from edge_inspector.inspection.auroc import auroc

NETWORKS: dict[str, ModuleType] = {"cae:my": my, "cae:mvtec": mvtec}
_BATCH = 8


def check_size(kind: str, height: int, width: int) -> None:
    """Raise UsageError for a size that the network cannot take."""
    multiple = NETWORKS[kind].SIZE_MULTIPLE
    if height % multiple or width % multiple:
        raise UsageError(f"{kind} takes sizes that are multiples of {multiple}, got {width}x{height}")


@dataclass(frozen=True, slots=True)
class TaughtCae:
    """A trained autoencoder."""

    network: ReconstructionNetwork
    settings: CaeSettings
    steps: int

    def residual(self, tune: Pictures, features: Sequence[NDArray[np.float32]]) -> ReconstructionResidual:
        """Return the residual with its tolerance, fitted on what the deployed network gives."""
        reconstructions = torch.from_numpy(np.concatenate(features))
        return _fitted(self.settings, _raw(self.settings, tune, reconstructions))


def teach(settings: CaeSettings, lesson: Lesson) -> TaughtCae:
    """Train an autoencoder to restore spoiled pictures; keep the weights that find planted defects best.

    Raises:
        UsageError: a picture size that the network cannot take.
        DataError: the training diverged.
    """
    torch.manual_seed(lesson.seed)
    height, width, channels = lesson.fit.shape[1:]
    check_size(settings.kind, height, width)
    network = ReconstructionNetwork(NETWORKS[settings.kind].build(channels))
    rng = np.random.default_rng(lesson.seed)
    steps = 0
    for step in fit_network(network, lesson, settings, lambda: _quality(network, settings, lesson), rng):
        steps = step.number
        words = f"step {step.number}, loss {step.loss:.3f}, finds {step.quality:.1%} of planted defects"
        lesson.report(Progress(step.share, words))
    return TaughtCae(network.eval(), settings, steps)


def _quality(network: ReconstructionNetwork, settings: CaeSettings, lesson: Lesson) -> float:
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


def _levels(residual: ReconstructionResidual, raw: Tensor, lesson: Lesson) -> list[float]:
    return lesson.levels(list(residual.excess(raw)[:, 0].numpy()))


def _reconstruct(network: nn.Module, pictures: Pictures) -> Tensor:
    network.eval()
    # Half the digits are enough to choose weights by; what decides is fitted on the deployed network.
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=has_bf16_units()):
        parts = [network(torch.from_numpy(pictures[i : i + _BATCH])) for i in range(0, len(pictures), _BATCH)]
    network.train()
    return torch.cat(parts).float()


def _raw(settings: CaeSettings, pictures: Pictures, reconstructions: Tensor) -> Tensor:
    residual = without_tolerance(settings.residual, settings.smoothing)
    with torch.no_grad():
        parts = [
            residual.raw(torch.from_numpy(pictures[i : i + _BATCH]), reconstructions[i : i + _BATCH])
            for i in range(0, len(pictures), _BATCH)
        ]
    return torch.cat(parts)


def _fitted(settings: CaeSettings, maps: Tensor) -> ReconstructionResidual:
    residual = without_tolerance(settings.residual, settings.smoothing)
    return fit_tolerance(residual, maps, settings.tolerance_smoothing) if settings.tolerance else residual
