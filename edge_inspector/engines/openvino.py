"""Run a bundle's two graphs on this processor, in the precision that the bundle names."""

import os
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import openvino

from edge_inspector.inspection.inspector import Features
from edge_inspector.inspection.model import AnomalyMap, Picture

Precision: TypeAlias = Literal["f32", "bf16", "int8"]

ENGINE = f"openvino {openvino.__version__.split('-')[0]}"

_UNITS: dict[Precision, str] = {"f32": "FP32", "bf16": "BF16", "int8": "INT8"}
"""What the plugin calls the processor's units."""


def can_run(precision: Precision) -> bool:
    """Say whether this processor has units for `precision`; without them it would be computed in another, unasked."""
    return _UNITS[precision] in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoNetwork:
    """A bundle's network alone: what its residual is fitted on."""

    def __init__(self, network: Path, precision: Precision, threads: int, cache: Path | None = None) -> None:
        self._request = _compiled(network, precision, threads, cache)

    def __call__(self, picture: Picture) -> Features:
        """Return the network's output for uint8 (height, width, channels)."""
        result = self._request.infer([picture[None]], share_inputs=True, share_outputs=False)
        return np.asarray(result[0], np.float32)


class OpenVinoDetector:
    """Both graphs compiled; not to be shared between threads.

    The precision is always given: left alone, the CPU plugin picks bf16 by itself where the processor has it, and SSIM
    in bf16 is off by hundreds (ARCHITECTURE, decision 3). The residual is float32 whatever the network is.
    """

    def __init__(
        self, network: Path, residual: Path, precision: Precision, threads: int, cache: Path | None = None
    ) -> None:
        self._network = OpenVinoNetwork(network, precision, threads, cache)
        self._residual = _compiled(residual, "f32", threads, cache)

    def network(self, picture: Picture) -> Features:
        """Return the network's output for uint8 (height, width, channels)."""
        return self._network(picture)

    def residual(self, picture: Picture, features: Features) -> AnomalyMap:
        """Return the anomaly map, float32 (height, width)."""
        result = self._residual.infer([picture[None], features], share_inputs=True, share_outputs=False)
        return np.asarray(result[0], np.float32)


def count_flops(graph: Path) -> float:
    """Return the operations of a graph's convolutions and matrix products, two for each multiply and add."""
    total = 0.0
    for node in openvino.Core().read_model(graph).get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Convolution", "GroupConvolution"):
            weights = node.input_value(1).get_shape()
            total += 2 * np.prod(weights[-3:]) * np.prod(node.output(0).get_shape())
        elif kind == "ConvolutionBackpropData":
            weights = node.input_value(1).get_shape()
            total += 2 * np.prod(weights[1:]) * np.prod(node.input_value(0).get_shape())
        elif kind == "MatMul":
            total += 2 * node.input_value(0).get_shape()[-1] * np.prod(node.output(0).get_shape())
    return float(total)


def usable_processors() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0))


def _compiled(graph: Path, precision: Precision, threads: int, cache: Path | None) -> openvino.InferRequest:
    options = {
        # An int8 network says in itself what is int8; the rest of it stays float32.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if cache is not None:
        # A second start compiles nothing: 0.1 s and 12 MB less. A wrong blob is found by the golden check.
        options["CACHE_DIR"] = str(cache)
    return openvino.Core().compile_model(graph, "CPU", options).create_infer_request()
