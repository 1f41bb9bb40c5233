"""Pretrain a backbone on one's own good images."""

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
from edge_inspector.detectors.training_data import Budget, Images
from edge_inspector.errors import DataError, UsageError
from edge_inspector.lab.data.dataset import GoodImage, find_good, read_image, split


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What came of it."""

    file: Path
    images: int
    told: float
    """Share of unseen images whose rotation it predicts; guessing gives 0.25."""


@dataclass(frozen=True, slots=True)
class PretrainingRequest:
    """What the user asks to be pretrained."""

    images: Path
    out: Path
    clock: Callable[[], float]
    report: Callable[[str, float], None]
    architecture: str = LITE0
    from_scratch: bool = False
    size: int = 256
    budget: Budget = field(default_factory=lambda: Budget(None, None))
    seed: int = 0
    group: str | None = None


def pretrain_backbone(request: PretrainingRequest) -> Pretrained:
    """Pretrain on the images that `train` with the same seed and groups would fit on, and write the weights.

    Raises:
        UsageError: no such architecture or size.
        DataError: too few images, or `out` exists.
    """
    if request.architecture not in ARCHITECTURES:
        raise UsageError(f"--backbone {request.architecture}: expected one of {', '.join(ARCHITECTURES)}")
    if request.out.exists():
        raise DataError(f"{request.out} exists already: name a file that does not")
    check_size(request.size, request.size)
    sets = split(find_good(request.images, request.group), np.random.default_rng(request.seed))
    settings = CentroidSettings(backbone=request.architecture)
    backbone = build(request.architecture) if request.from_scratch else load_backbone(settings, request.seed)
    pretraining = Pretraining(
        fit=_read(sets.fit, request.size),
        judge=_read(sets.tune, request.size),
        budget=request.budget,
        rate=1e-3 if request.from_scratch else 1e-4,
        seed=request.seed,
        report=lambda progress: request.report(progress.words, progress.share),
        clock=request.clock,
    )
    told = pretrain(backbone, pretraining)
    atomic.write_file(request.out, to_file(backbone, request.architecture, [image.digest for image in sets.fit]))
    return Pretrained(request.out, len(sets.fit), told)


def _read(images: tuple[GoodImage, ...], size: int) -> Images:
    """Return images as squares, uint8 (count, size, size, 3), red-green-blue."""
    shrunk = [cv2.resize(read_image(image.path, 3), (size, size), interpolation=cv2.INTER_AREA) for image in images]
    if any(image.dtype != np.uint8 for image in shrunk):
        raise DataError("pretraining takes 8-bit images")
    return np.ascontiguousarray(np.stack(shrunk).astype(np.uint8)[..., ::-1])
