"""The network in fewer bits: twice to four times as fast, taken only where the scores stay what they are."""

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

import numpy as np
import openvino

from edge_inspector.bundle import NETWORK, NETWORK_INT8
from edge_inspector.detectors.settings import BackboneSettings, DetectorSettings
from edge_inspector.detectors.training_data import Images
from edge_inspector.engines.openvino import Precision, can_run, core
from edge_inspector.errors import DataError, UsageError
from edge_inspector.inspection.auroc import auroc
from edge_inspector.text import did_you_mean

PrecisionChoice: TypeAlias = Literal["auto", "f32", "bf16", "int8"]

LARGEST_SHIFT = 0.01
"""Of the limit, or of the score itself where that is higher: a score may move so far in fewer bits."""
LARGEST_LOSS = 0.005
"""Of the AUROC of synthetic defects against good images: their ranking must hold."""
_QUANTISED_ON = 64


@dataclass(frozen=True, slots=True)
class Levels:
    """What one precision makes of the images that choose it."""

    good: Sequence[float]
    """Of tune images."""
    synthetic: Sequence[float]
    """Of tune images with synthetic defects."""

    @property
    def auroc(self) -> float:
        """The chance that a synthetic defect lies above a good image."""
        return auroc(self.good, self.synthetic)


def parse_precision(text: str) -> PrecisionChoice:
    """Return the precision that the user names.

    Raises:
        UsageError: there is no such precision.
    """
    known = get_args(PrecisionChoice)
    if text not in known:
        raise UsageError(f"--precision {text}: expected one of {', '.join(known)}{did_you_mean(text, known)}")
    return cast("PrecisionChoice", text)


def check_precision(asked: PrecisionChoice) -> None:
    """Refuse, before anything is trained, what this processor cannot compute.

    Raises:
        DataError: it has no units for the precision that the user names.
    """
    if asked != "auto" and not can_run(asked):
        raise DataError(f"this processor has no {asked} units: leave --precision out")


def lighter(asked: PrecisionChoice, detector: DetectorSettings) -> tuple[Precision, ...]:
    """Return the precisions to try instead of float32, fastest first.

    Distances between features move by 6 % of the limit and more in int8 (decision 27): it is tried for them only when
    asked for.
    """
    if asked == "f32":
        return ()
    every: tuple[Precision, ...] = ("bf16",) if isinstance(detector, BackboneSettings) else ("int8", "bf16")
    return tuple(precision for precision in (every if asked == "auto" else (asked,)) if can_run(precision))


def shift(reference: Levels, other: Levels) -> float:
    """Return by how much a score moves at most, in units of the limit; of the score itself where that is higher.

    The limit is not known yet: the highest good level stands in for it.
    """
    limit = max(reference.good)
    before = np.array([*reference.good, *reference.synthetic])
    after = np.array([*other.good, *other.synthetic])
    return float((np.abs(after - before) / np.maximum(before, limit)).max())


def holds(reference: Levels, other: Levels) -> bool:
    """Say whether the scores and their ranking are what they are in float32."""
    return shift(reference, other) <= LARGEST_SHIFT and other.auroc >= reference.auroc - LARGEST_LOSS


def network_files(network: bytes, precision: Precision, fit: Images) -> Mapping[str, bytes]:
    """Return the files of a network in `precision`; the float32 one is always among them.

    Args:
        network: the ONNX file, float32.
        precision: bf16 is computed from the same file; int8 has files of its own.
        fit: uint8 (count, height, width, channels): what the ranges of int8 are measured on.
    """
    return {NETWORK: network, **(_quantised(network, fit) if precision == "int8" else {})}


def _quantised(network: bytes, fit: Images) -> Mapping[str, bytes]:
    """Quantise weights and activations after training (NNCF, post-training quantisation)."""
    os.environ["NNCF_CI"] = "1"  # else it reports its use to its makers
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it looks for a graphics card
    import nncf  # noqa: PLC0415 - takes seconds, and this machine may have no int8 units

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        nncf.set_log_level(30)
        model = core().read_model(network)
        quantised = nncf.quantize(
            model,
            nncf.Dataset(list(_batches(fit))),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=min(_QUANTISED_ON, len(fit)),
        )
        for place, node in enumerate(quantised.get_ordered_ops()):
            node.set_friendly_name(f"{node.get_type_name()}_{place}")  # else a counter of the process is in it
        paths = [Path(folder) / name for name in NETWORK_INT8]
        openvino.save_model(quantised, paths[0])
        return {path.name: path.read_bytes() for path in paths}


def _batches(fit: Images) -> Iterator[Images]:
    chosen = np.linspace(0, len(fit) - 1, min(_QUANTISED_ON, len(fit))).astype(int)
    return (fit[place][None] for place in chosen)
