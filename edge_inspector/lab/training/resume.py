"""Go on training from a bundle's weights, without any image being used for two purposes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from edge_inspector.bundle import WEIGHTS, read_bundle
from edge_inspector.detectors.settings import AutoencoderSettings, DetectorSettings
from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.lab.data.dataset import Split


def open_weights(path: Path, settings: DetectorSettings, recipe: Recipe) -> Mapping[str, NDArray[np.generic]]:
    """Return the weights of the bundle at `path`, by name.

    Raises:
        UsageError: the detector is no autoencoder, or what the network sees would be another thing than before.
        DataError: no bundle, or one without weights.
    """
    bundle = read_bundle(path)
    if not isinstance(settings, AutoencoderSettings):
        raise UsageError(f"--resume goes on with autoencoders; {settings.kind} is quicker retrained")
    before, card = bundle.recipe, bundle.manifest.detector
    was = (card.kind, card.settings.get("tile"), before.width, before.height, before.channels, before.normalise)
    asked = (settings.kind, settings.tile, recipe.width, recipe.height, recipe.channels, recipe.normalise)
    same_place = (before.region, _kind(before)) == (recipe.region, _kind(recipe))
    if was != asked or not same_place:
        raise UsageError(
            f"--resume {path}: trained with detector, tile, width, height, channels, normalise {was}, asked for "
            f"{asked}: give the same options (and the same --roi and --align)"
        )
    if WEIGHTS not in bundle.manifest.files:
        raise DataError(f"{path} holds no {WEIGHTS}: retrain the part")
    try:
        return load((path / WEIGHTS).read_bytes())
    except SafetensorError as error:
        raise DataError(f"{path / WEIGHTS} cannot be read ({error}): retrain the part") from error


def _kind(recipe: Recipe) -> str | None:
    return recipe.align.kind if recipe.align else None


def refuse_leaks(path: Path, sets: Split) -> None:
    """Raise DataError when images that trained the bundle would now tune or set the threshold.

    The network knows them: their levels are low, and so would the threshold be.
    """
    provenance = read_bundle(path).manifest.provenance
    knows = {*provenance.fit_digests, *provenance.tune_digests}
    leaked = [one for one in sets.calibrate if one.digest in knows]
    leaked += [one for one in sets.tune if one.digest in provenance.fit_digests]
    if leaked:
        raise DataError(
            f"{len(leaked)} images that trained {path} would set the threshold now (for instance {leaked[0].path}): "
            f"give the same folder, --group and --seed {provenance.seed}"
        )
