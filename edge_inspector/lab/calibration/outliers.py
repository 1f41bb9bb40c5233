"""The least typical good images: a bad part among the good ones is the commonest fault of a training set."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2

from edge_inspector.bundle import Bundle, Outlier
from edge_inspector.errors import DiskError
from edge_inspector.inspection.inspector import Inspector
from edge_inspector.inspection.overlays import overlay
from edge_inspector.lab.data.dataset import GoodImage
from edge_inspector.native import native_path

_SHOWN = 5
"""Images of each set."""


def rank_outliers(
    used_for: Literal["fit", "tune", "calibrate"],
    images: Sequence[GoodImage],
    levels: Sequence[float | None],
    threshold: float,
) -> tuple[Outlier, ...]:
    """Return the least typical images of one set, INVALID ones (without a level) first."""
    ranked = sorted(zip(levels, images, strict=True), key=lambda one: -math.inf if one[0] is None else -one[0])
    return tuple(
        Outlier(
            image=str(image.path),
            digest=image.digest,
            used_for=used_for,
            score=None if level is None else level / threshold,
        )
        for level, image in ranked[:_SHOWN]
    )


def save_overlays(bundle: Bundle, inspector: Inspector, folder: Path) -> tuple[Path, ...]:
    """Write the card's outliers with the heat map over them; the names say for what and how unusual.

    Returns:
        the files; an image without a map has none.

    Raises:
        DiskError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for place, outlier in enumerate(bundle.manifest.calibration.outliers):
        evidence = inspector.inspect(Path(outlier.image).read_bytes()).evidence
        if evidence is None:
            continue
        shown = overlay(
            evidence.image, evidence.amap, bundle.recipe.decision.threshold, evidence.placement, evidence.window
        )
        file = folder / f"{place:02d}-{outlier.used_for}-{Path(outlier.image).stem}.png"
        if not cv2.imwrite(native_path(file), shown):
            raise DiskError(f"{file} cannot be written")
        written.append(file)
    return tuple(written)
