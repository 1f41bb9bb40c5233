"""A detector that compares a part with what a network reconstructs of it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edge_inspector.detectors.autoencoders.ssim import Blur, Ssim
from edge_inspector.detectors.pace import Pace, falling
from edge_inspector.detectors.settings import AutoencoderSettings, Loss
from edge_inspector.detectors.training_data import Images, TrainingData
from edge_inspector.detectors.workers import Workers
from edge_inspector.errors import DataError

DEFAULT_STEPS = 60
FIRST_LOOK, LOOK_EVERY = 0.4, 1 / 10
"""Shares of the training at which synthetic defects are looked for: not before the network has learned anything."""
WARM_UP = 0.1
LACK_COUNTS = 0.5
"""Of a residual below the typical one, against one above it."""


class ReconstructionNetwork(nn.Module):
    """uint8 (1, height, width, channels) to the reconstruction, float32 (1, channels, height, width) in 0..1."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, image: Tensor) -> Tensor:
        """Return the reconstruction of an image."""
        reconstruction: Tensor = self.autoencoder(as_input(image))
        return reconstruction


class ReconstructionResidual(nn.Module):
    """Image and reconstruction to the anomaly map: residual, smoothed, beyond the typical variation at each place."""

    def __init__(self, kind: str, smoothing: float, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.kind = kind
        self.smoothing = smoothing
        self.ssim = Ssim()
        self.smooth = Blur(smoothing, int(4 * smoothing + 0.5)) if smoothing else nn.Identity()
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def raw(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the smoothed residual, float32 (batch, 1, height, width), before the tolerance."""
        x = as_input(image)
        smoothed: Tensor = self.smooth(self._difference(x, reconstruction).mean(1, keepdim=True))
        return smoothed

    def forward(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the anomaly map, float32 (height, width)."""
        return self.excess(self.raw(image, reconstruction))[0, 0]

    def excess(self, raw: Tensor) -> Tensor:
        """Return how far raw residuals are from the typical value, in units of the tolerance; the shape of `raw`.

        Either way: a residual too low is structure that good parts have and this one lacks, such as a filled hole; it
        counts half, since good parts vary to that side too. Without a tolerance the residual stands as it is.
        """
        excess = (raw - self.mean) / self.spread
        return torch.maximum(excess, -LACK_COUNTS * excess)

    def _difference(self, x: Tensor, y: Tensor) -> Tensor:
        match self.kind:
            case "ssim":
                return 1 - self.ssim.forward(x, y)
            case "l1":
                return (x - y).abs()
            case "l2":
                return (x - y) ** 2
            case "ssim+l1":
                return 1 - self.ssim.forward(x, y) + (x - y).abs()
        raise ValueError(f"expected ssim, l1, l2 or ssim+l1, got {self.kind}")


def as_input(image: Tensor) -> Tensor:
    """Return uint8 (batch, height, width, channels) as float32 (batch, channels, height, width) in 0..1."""
    return image.permute(0, 3, 1, 2).float() / 255


def without_tolerance(kind: str, smoothing: float) -> ReconstructionResidual:
    """Return the residual as the prior systems used it: its own value, everywhere the same."""
    return ReconstructionResidual(kind, smoothing, torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))


def fit_tolerance(residual: ReconstructionResidual, maps: Tensor, sigma: float) -> ReconstructionResidual:
    """Return `residual` in units of how much good parts differ, at each place.

    excess = (r - mean) / sqrt(sd^2 + floor^2) with floor the median sd: a place where good parts hardly differ is
    not made infinitely strict by it.

    Args:
        residual: gives the raw map.
        maps: raw maps of good images that did not train the network, (count, 1, height, width).
        sigma: pixels by which mean and sd are spread, for parts that do not lie quite still.
    """
    blur = Blur(sigma, int(4 * sigma + 0.5))
    mean = blur(maps.mean(0, keepdim=True))
    variance = blur(maps.var(0, keepdim=True))
    floor = variance.sqrt().median()
    return ReconstructionResidual(residual.kind, residual.smoothing, mean, (variance + floor**2).sqrt().clamp_min(1e-6))


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training stands."""

    number: int
    share: float
    """Of the training, 0 to 1."""
    loss: float
    quality: float
    """Of the weights that are kept so far; 0 before the first look."""


def fit_network(
    network: ReconstructionNetwork,
    data: TrainingData,
    settings: AutoencoderSettings,
    quality: Callable[[], float],
    rng: np.random.Generator,
) -> Iterator[Step]:
    """Train within the budget and keep the weights of the highest quality.

    The quality is the detection of synthetic defects, not the loss: a network of low loss has learned to copy defects
    (ARCHITECTURE, decision 5). When the generator ends, or is closed, the network holds the best weights.
    Weights to go on from are looked at first, so that going on makes nothing worse.

    Raises:
        DataError: the loss is not a number any more.
    """
    workers = data.workers
    network.to(workers.device)
    autoencoder = network.autoencoder.to(memory_format=torch.channels_last)
    loss_of, optimiser = (
        loss_function(settings.loss, workers.device),
        torch.optim.Adam(autoencoder.parameters(), settings.rate),
    )
    pace = Pace(_steps(data, settings.batch), data.budget, data.clock, data.stopping)
    best, kept, next_look = quality() if data.weights else 0.0, _copy(autoencoder), FIRST_LOOK
    try:
        for number, chosen in enumerate(_batches(len(data.fit), settings.batch, rng), start=1):
            share = workers.agreed(pace.share(number))
            optimiser.param_groups[0]["lr"] = settings.rate * _rate_share(share)
            clean = data.augment(data.fit[chosen], rng)
            mine = workers.share_of(np.arange(len(chosen)))
            loss = _step(autoencoder, loss_of, optimiser, data.corrupt(clean, rng)[mine], clean[mine], workers)
            if not math.isfinite(loss):
                raise DataError(f"the training diverged at step {number}: lower the learning rate (--set rate=0.0003)")
            if share >= next_look:
                next_look += LOOK_EVERY
                found = quality()
                if found >= best:
                    best, kept = found, _copy(autoencoder)
            yield Step(number, share, loss, best)
            if share >= 1:
                return
    finally:
        autoencoder.load_state_dict(kept)
        network.cpu()


def _steps(data: TrainingData, batch: int) -> int:
    epochs = data.budget.epochs
    return DEFAULT_STEPS if epochs is None else max(1, epochs * max(1, len(data.fit) // batch))


def _rate_share(share: float) -> float:
    """Return the learning rate's share: up over the first tenth, then down along a cosine (Smith 2018)."""
    if share < WARM_UP:
        return 0.1 + 0.9 * share / WARM_UP
    return falling((share - WARM_UP) / (1 - WARM_UP))


def loss_function(kind: Loss, device: str = "cpu") -> Callable[[Tensor, Tensor], Tensor]:
    """Return what training makes small, of a reconstruction and its image."""
    match kind:
        case "ssim":
            return Ssim().to(device).loss
        case "l2":
            return functional.mse_loss
        case "bce":
            return functional.binary_cross_entropy
    assert_never(kind)


def _step(
    autoencoder: nn.Module,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    optimiser: torch.optim.Optimizer,
    corrupted: Images,
    clean: Images,
    workers: Workers,
) -> float:
    source, target = (as_input(torch.from_numpy(images).to(workers.device)) for images in (corrupted, clean))
    optimiser.zero_grad(set_to_none=True)
    with light(workers.device):
        reconstruction = autoencoder(source.contiguous(memory_format=torch.channels_last))
    loss = loss_of(reconstruction.float(), target)
    loss.backward()  # type: ignore[no-untyped-call]
    workers.average_gradients(autoencoder)
    optimiser.step()
    return float(loss.detach())


def light(device: str) -> torch.autocast:
    """Compute in bf16 while the block runs, where `device` has units for it."""
    return torch.autocast(device, torch.bfloat16, enabled=device != "cpu" or has_bf16_units())


def has_bf16_units() -> bool:
    """Say whether this processor multiplies bf16 matrices itself; elsewhere autocast would be slower than float32."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
        flags = file.read()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _batches(count: int, batch: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    while True:
        order = rng.permutation(count)
        for start in range(0, max(1, count - batch + 1), batch):
            yield order[start : start + batch]


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
