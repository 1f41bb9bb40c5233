"""Several processes that train one network, each on its share of every batch (torchrun), and where they compute."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn

from edge_inspector.errors import UsageError


class WorkerDoneError(Exception):
    """This process only helped to train; the first one goes on alone."""


@dataclass(frozen=True, slots=True)
class Workers:
    """This process among those that train together; the plain one trains alone."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    def share_of(self, batch: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the places of a batch that this process computes; of a small batch some are computed twice."""
        mine = batch[self.rank :: self.count]
        return mine if len(mine) else batch[:1]

    def agreed(self, value: float) -> float:
        """Return the first process's value: clocks and wishes to stop differ."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(told, 0)
        return float(told)

    def average_gradients(self, module: nn.Module) -> None:
        """Give every process the mean gradient, and the mean of what batch normalisation has seen."""
        if self.count == 1:
            return
        values = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        values += [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        for value in values:
            distributed.all_reduce(value)
            value.div_(self.count)

    def leave(self) -> None:
        """End the helpers: only the first process goes on.

        Raises:
            WorkerDoneError: this process is not the first one.
        """
        if self.count == 1:
            return
        distributed.destroy_process_group()
        if self.rank:
            raise WorkerDoneError


ALONE = Workers()


def join(device: str) -> Workers:
    """Return this process's place among those that torchrun started, alone where it did not.

    Raises:
        UsageError: `device` is cuda and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no graphics card here; leave it out, or install torch for CUDA")
    if not distributed.is_torchelastic_launched():
        return Workers(device=device)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    rank = distributed.get_rank()
    if device == "cuda":
        torch.cuda.set_device(rank % torch.cuda.device_count())
    return Workers(rank, distributed.get_world_size(), device)
