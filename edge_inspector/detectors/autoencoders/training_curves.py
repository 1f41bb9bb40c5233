"""Loss and SSIM over a training of an autoencoder, on images that train and on some that do not."""

import numpy as np
import torch
from torch import Tensor

from edge_inspector.detectors.autoencoders.reconstruction import (
    ReconstructionNetwork,
    Step,
    as_input,
    light,
    loss_function,
)
from edge_inspector.detectors.autoencoders.ssim import Ssim
from edge_inspector.detectors.history import History
from edge_inspector.detectors.settings import DetectorSettings, Loss
from edge_inspector.detectors.tiles import cut
from edge_inspector.detectors.training_data import Images, TrainingData

_ROWS = 16
_WATCHED = 3
"""Images, or tiles, of either kind: few, since each row costs their reconstruction."""
_COLUMNS = ("step", "loss", "val_loss", "ssim", "val_ssim", "quality")


class TrainingCurves:
    """Collects the rows of a history. The loss is the mean over the steps since the last row."""

    def __init__(
        self, network: ReconstructionNetwork, data: TrainingData, settings: DetectorSettings, loss: Loss
    ) -> None:
        self._network = network
        self._loss_of = loss_function(loss)
        held_out = cut(data.tune[:_WATCHED], settings)[:_WATCHED]
        self._images = tuple(_pair(data, images) for images in (data.fit[:_WATCHED], held_out))
        self._losses: list[float] = []
        self._rows: list[tuple[float, ...]] = []

    def add(self, step: Step) -> None:
        """Take what a step did; at every 16th of the training measure what the network can."""
        self._losses.append(step.loss)
        if step.share < 1 and step.share * _ROWS < len(self._rows) + 1:
            return
        (_, ssim), (val_loss, val_ssim) = (self._measure(*pair) for pair in self._images)
        self._rows.append((step.number, float(np.mean(self._losses)), val_loss, ssim, val_ssim, step.quality))
        self._losses = []

    def history(self) -> History:
        """Return what was collected."""
        return History(_COLUMNS, tuple(self._rows))

    def _measure(self, spoiled: Tensor, clean: Tensor) -> tuple[float, float]:
        """Return the loss, and the mean SSIM, of restoring spoiled images."""
        autoencoder = self._network.autoencoder
        autoencoder.eval()
        with torch.no_grad():
            device = next(autoencoder.parameters()).device
            with light(device.type):
                restored = autoencoder(spoiled.to(device).contiguous(memory_format=torch.channels_last))
            restored = restored.float().cpu()
            measured = float(self._loss_of(restored, clean)), float(Ssim().forward(restored, clean).mean())
        autoencoder.train()
        return measured


def _pair(data: TrainingData, images: Images) -> tuple[Tensor, Tensor]:
    """Return images spoiled and clean; the chance is its own, the training's stays as it was."""
    spoiled = data.corrupt(images, np.random.default_rng(data.seed))
    return as_input(torch.from_numpy(spoiled)), as_input(torch.from_numpy(images))
