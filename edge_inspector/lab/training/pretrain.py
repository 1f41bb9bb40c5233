"""Pretrain a backbone on one's own good pictures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edge_inspector import atomic
from edge_inspector.detectors.features.backbones import ARCHITECTURES, LITE0, build, load_backbone
from edge_inspector.detectors.features.features import check_size
from edge_inspector.detectors.features.rotation import Pretraining, pretrain, to_file
from edge_inspector.detectors.settings import CentroidSettings
from edge_inspector.detectors.training_data import Budget, Pictures
from edge_inspector.errors import DataError, UsageError
from edge_inspector.lab.data.dataset import GoodPicture, find_good, read_picture, split


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What came of it."""

    file: Path
    pictures: int
    told: float
    """Share of the turns of unseen pictures that it tells; chance is 0.25."""


@dataclass(frozen=True, slots=True)
class PretrainOrder:
    """What the user asks to be pretrained."""

    pictures: Path
    out: Path
    clock: Callable[[], float]
    report: Callable[[str, float], None]
    architecture: str = LITE0
    from_scratch: bool = False
    size: int = 256
    budget: Budget = field(default_factory=lambda: Budget(None, None))
    seed: int = 0
    group: str | None = None


def pretrain_backbone(order: PretrainOrder) -> Pretrained:
    """Pretrain on the pictures that `train` with the same seed and groups would fit on, and write the weights.

    Raises:
        UsageError: no such architecture or size.
        DataError: too few pictures, or `out` exists.
    """
    if order.architecture not in ARCHITECTURES:
        raise UsageError(f"--backbone {order.architecture}: expected one of {', '.join(ARCHITECTURES)}")
    if order.out.exists():
        raise DataError(f"{order.out} exists already: name a file that does not")
    check_size(order.size, order.size)
    sets = split(find_good(order.pictures, order.group), np.random.default_rng(order.seed))
    settings = CentroidSettings(backbone=order.architecture)
    backbone = build(order.architecture) if order.from_scratch else load_backbone(settings, order.seed)
    pretraining = Pretraining(
        fit=_read(sets.fit, order.size),
        judge=_read(sets.tune, order.size),
        budget=order.budget,
        rate=1e-3 if order.from_scratch else 1e-4,
        seed=order.seed,
        report=lambda progress: order.report(progress.words, progress.share),
        clock=order.clock,
    )
    told = pretrain(backbone, pretraining)
    atomic.write_file(order.out, to_file(backbone, order.architecture, [picture.digest for picture in sets.fit]))
    return Pretrained(order.out, len(sets.fit), told)


def _read(pictures: tuple[GoodPicture, ...], size: int) -> Pictures:
    """Return pictures as squares, uint8 (count, size, size, 3), red-green-blue."""
    shrunk = [
        cv2.resize(read_picture(picture.path, 3), (size, size), interpolation=cv2.INTER_AREA) for picture in pictures
    ]
    if any(picture.dtype != np.uint8 for picture in shrunk):
        raise DataError("pretraining takes 8-bit pictures")
    return np.ascontiguousarray(np.stack(shrunk).astype(np.uint8)[..., ::-1])
