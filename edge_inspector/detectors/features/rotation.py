"""Train a backbone one's own parts by rotation prediction (Gidaris et al. 2018, system 003)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from edge_inspector.detectors.features.backbones import Backbone
from edge_inspector.detectors.pace import Pace, falling
from edge_inspector.detectors.training_data import Budget, Images, Progress
from edge_inspector.errors import DataError, UsageError

QUARTER_TURNS = 4
DEFAULT_EPOCHS = 10
_BATCH = 4
"""Images, each in all four rotations."""


@dataclass(frozen=True, slots=True)
class Pretraining:
    """Square images of good parts, and for how long they are rotated."""

    fit: Images
    judge: Images
    """Not trained on: say whether anything was learned."""
    budget: Budget
    rate: float
    seed: int
    report: Callable[[Progress], None]
    clock: Callable[[], float]
    """Seconds, monotonic."""


def pretrain(backbone: Backbone, pretraining: Pretraining) -> float:
    """Train `backbone` in place to tell 0, 90, 180 and 270 degrees; return the share that it predicts of unseen images.

    Raises:
        UsageError: the images are not square.
        DataError: the loss is not a number any more.
    """
    height, width = pretraining.fit.shape[1:3]
    if height != width:
        raise UsageError(f"images are rotated, so they must be square, got {width}x{height}: give --size N")
    torch.manual_seed(pretraining.seed)
    rng, budget = np.random.default_rng(pretraining.seed), pretraining.budget
    guess = nn.Linear(_pooled(backbone, pretraining.fit[:1]).shape[1], QUARTER_TURNS)
    optimiser = torch.optim.Adam([*backbone.parameters(), *guess.parameters()], pretraining.rate)
    planned = (budget.epochs or DEFAULT_EPOCHS) * max(1, len(pretraining.fit) // _BATCH)
    pace, step, share = Pace(planned, budget, pretraining.clock), 0, 0.0
    backbone.train()
    while share < 1:
        chosen = rng.permutation(len(pretraining.fit))[:_BATCH]
        optimiser.param_groups[0]["lr"] = pretraining.rate * falling(share)
        optimiser.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(guess(_pooled(backbone, _turned(pretraining.fit[chosen]))), _turns(len(chosen)))
        if not math.isfinite(float(loss.detach())):
            raise DataError(f"the pretraining diverged at step {step}: lower the learning rate")
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        step += 1
        share = pace.share(step)
        pretraining.report(Progress(share, f"step {step}, loss {float(loss.detach()):.3f}"))
    backbone.eval()
    return _told(backbone, guess, pretraining.judge)


def to_file(backbone: Backbone, architecture: str, seen: Sequence[str]) -> bytes:
    """Return the file that `--backbone rotation:FILE` reads.

    Args:
        backbone: what was pretrained.
        architecture: its name.
        seen: sha256 of the images that it has seen; they must not set a threshold.
    """
    weights = {name: value.contiguous() for name, value in backbone.trunk.state_dict().items()}
    return save(weights, {"architecture": architecture, "seen": " ".join(seen)})


def _turned(images: Images) -> Tensor:
    """Return images in four rotations, (4 * count, height, width, channels): all at 0 degrees first, then 90."""
    return torch.from_numpy(np.concatenate([np.rot90(images, turn, (1, 2)) for turn in range(QUARTER_TURNS)]).copy())


def _turns(count: int) -> Tensor:
    return torch.arange(QUARTER_TURNS).repeat_interleave(count)


def _pooled(backbone: Backbone, images: Tensor | Images) -> Tensor:
    x = images if isinstance(images, Tensor) else torch.from_numpy(images)
    deepest: Tensor = backbone.trunk(backbone.normalised(x))[-1]
    return deepest.mean((2, 3))


def _told(backbone: Backbone, guess: nn.Linear, images: Images) -> float:
    with torch.no_grad():
        right = [
            guess(_pooled(backbone, _turned(images[i : i + 1]))).argmax(1) == _turns(1) for i in range(len(images))
        ]
    return float(torch.cat(right).float().mean())
