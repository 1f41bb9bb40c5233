"""Small networks that are trained on features, cell by cell: seconds, since the backbone stands still."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_inspector.detectors.history import History
from edge_inspector.detectors.pace import Pace, falling
from edge_inspector.detectors.training_data import Progress, TrainingData
from edge_inspector.errors import DataError

DEFAULT_EPOCHS = 20
_BATCH = 4096


def train_on_cells(
    network: nn.Module,
    features: NDArray[np.float32],
    loss_of: Callable[[Tensor], Tensor],
    rate: float,
    data: TrainingData,
) -> History:
    """Train until the budget ends, or somebody wants it to; return the loss of each step.

    Args:
        network: trained in place, left in evaluation mode.
        features: of good images, (count, channels, rows, columns).
        loss_of: cells, (batch, channels, 1, 1), to the loss.
        rate: highest learning rate; it falls to a hundredth along a cosine.
        data: for its budget, seed and report.

    Raises:
        DataError: the loss is not a number any more.
    """
    cells = torch.from_numpy(np.ascontiguousarray(features.transpose(0, 2, 3, 1))).reshape(-1, features.shape[1], 1, 1)
    generator = torch.Generator().manual_seed(data.seed)
    steps_an_epoch = max(1, len(cells) // _BATCH)
    planned = (data.budget.epochs or DEFAULT_EPOCHS) * steps_an_epoch
    optimiser = torch.optim.Adam(network.parameters(), rate)
    pace, step, share = Pace(planned, data.budget, data.clock, data.stopping), 0, 0.0
    rows: list[tuple[float, ...]] = []
    network.train()
    while share < 1:
        chosen = torch.randint(len(cells), (min(_BATCH, len(cells)),), generator=generator)
        optimiser.param_groups[0]["lr"] = rate * falling(share)
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(cells[chosen])
        if not math.isfinite(float(loss.detach())):
            raise DataError(f"the training diverged at step {step}: lower the learning rate (--set rate=0.0003)")
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        step += 1
        rows.append((step, float(loss.detach())))
        share = pace.share(step)
        data.report(Progress(share, f"step {step}, loss {float(loss.detach()):.4f}"))
    network.eval()
    return History(("step", "loss"), tuple(rows))
