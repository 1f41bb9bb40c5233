"""The most unusual good pictures: a bad part among the good ones is the commonest fault of a training set."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2

from edge_inspector.bundle import Bundle, Suspect
from edge_inspector.errors import DiskError
from edge_inspector.inspection.inspector import Inspector
from edge_inspector.inspection.picture import overlay
from edge_inspector.lab.dataset import GoodPicture
from edge_inspector.native import native_path

_SHOWN = 5
"""Pictures of each set."""


def rank_suspects(
    used_for: Literal["fit", "tune", "calibrate"],
    pictures: Sequence[GoodPicture],
    levels: Sequence[float | None],
    threshold: float,
) -> tuple[Suspect, ...]:
    """Return the most unusual pictures of one set, INVALID ones (without a level) first."""
    ranked = sorted(zip(levels, pictures, strict=True), key=lambda one: -math.inf if one[0] is None else -one[0])
    return tuple(
        Suspect(
            picture=str(picture.path),
            digest=picture.digest,
            used_for=used_for,
            score=None if level is None else level / threshold,
        )
        for level, picture in ranked[:_SHOWN]
    )


def save_overlays(bundle: Bundle, inspector: Inspector, folder: Path) -> tuple[Path, ...]:
    """Write the card's suspects with the heat map over them; the names say for what and how unusual.

    Returns:
        the files; a picture without a map has none.

    Raises:
        DiskError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for place, suspect in enumerate(bundle.manifest.calibration.suspects):
        evidence = inspector.inspect(Path(suspect.picture).read_bytes()).evidence
        if evidence is None:
            continue
        shown = overlay(
            evidence.image, evidence.amap, bundle.recipe.decision.threshold, evidence.placement, evidence.window
        )
        file = folder / f"{place:02d}-{suspect.used_for}-{Path(suspect.picture).stem}.png"
        if not cv2.imwrite(native_path(file), shown):
            raise DiskError(f"{file} cannot be written")
        written.append(file)
    return tuple(written)
