"""Run a bundle's two graphs on this processor, in the precision that the bundle names."""

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias
from weakref import WeakValueDictionary

import numpy as np
import openvino

from edge_inspector.inspection.inspector import Features
from edge_inspector.inspection.model import NO_PARTS, AnomalyMap, ModelInput, Parts
from edge_inspector.native import native_path

Precision: TypeAlias = Literal["f32", "bf16", "int8"]

Mode: TypeAlias = Literal["latency", "throughput"]
"""One part as fast as can be on all processors, or stations beside each other, each on its share."""

ENGINE = f"openvino {openvino.__version__.split('-')[0]}"

_UNITS: dict[Precision, str] = {"f32": "FP32", "bf16": "BF16", "int8": "INT8"}
"""What the plugin calls the processor's units."""


@functools.cache
def core() -> openvino.Core:
    """Return the one that this process has, for as long as it lives.

    Each brings a stack for signals to the thread that makes it. Of two that end in another order than they came, a
    stack is left that is no memory any more, and the next SIGHUP ends the process (SIGSEGV).
    """
    return openvino.Core()


@dataclass(frozen=True, slots=True)
class GraphCache:
    """What has been compiled: in memory for the next station, on disk for the next start."""

    folder: Path | None = None
    mode: Mode = "latency"
    _models: "WeakValueDictionary[tuple[str | int, ...], openvino.CompiledModel]" = field(
        default_factory=WeakValueDictionary, repr=False
    )

    def compiled(self, graph: Path, precision: Precision, threads: int) -> openvino.CompiledModel:
        """Return the compiled graph; the same one as long as somebody uses it."""
        file = graph.stat()
        key = (str(graph.resolve()), file.st_ino, file.st_mtime_ns, precision, threads)
        model = self._models.get(key)
        if model is None:
            model = self._models[key] = self._compile(graph, precision, threads)
        return model

    def _compile(self, graph: Path, precision: Precision, threads: int) -> openvino.CompiledModel:
        options = {
            # An int8 network says in itself what is int8; the rest of it stays float32.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": self.mode.upper(),
        }
        if self.folder is not None:
            # A second start compiles nothing: 0.1 s and 12 MB less. A wrong blob is found by the golden check.
            options["CACHE_DIR"] = native_path(self.folder)
        return core().compile_model(native_path(graph), "CPU", options)


def can_run(precision: Precision) -> bool:
    """Say whether this processor has units for `precision`; without them it would be computed in another, unasked."""
    return _UNITS[precision] in _capabilities()


@functools.cache
def _capabilities() -> tuple[str, ...]:
    return tuple(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


class OpenVinoNetwork:
    """A bundle's network alone: what its residual is fitted on."""

    def __init__(self, network: Path, precision: Precision, threads: int, cache: GraphCache | None = None) -> None:
        self._model = (cache or GraphCache()).compiled(network, precision, threads)
        self._request = self._model.create_infer_request()

    def __call__(self, image: ModelInput) -> Features:
        """Return the network's output for uint8 (height, width, channels)."""
        result = self._request.infer([image[None]], share_inputs=True, share_outputs=False)
        return np.asarray(result[0], np.float32)


class OpenVinoDetector:
    """Both graphs compiled; not to be shared between threads.

    The precision is always given: left alone, the CPU plugin picks bf16 by itself where the processor has it, and SSIM
    in bf16 is off by hundreds (ARCHITECTURE, decision 3). The residual is float32 whatever the network is.
    """

    def __init__(
        self, network: Path, residual: Path, precision: Precision, threads: int, cache: GraphCache | None = None
    ) -> None:
        self._network = OpenVinoNetwork(network, precision, threads, cache)
        self._model = (cache or GraphCache()).compiled(residual, "f32", threads)
        self._request = self._model.create_infer_request()

    def network(self, image: ModelInput) -> Features:
        """Return the network's output for uint8 (height, width, channels)."""
        return self._network(image)

    def residual(self, image: ModelInput, features: Features) -> AnomalyMap:
        """Return the anomaly map, float32 (height, width)."""
        return self.residual_in_parts(image, features)[0]

    def residual_in_parts(self, image: ModelInput, features: Features) -> tuple[AnomalyMap, Parts]:
        """Return the anomaly map, float32 (height, width), and what each part gave where the graph says so.

        Its further outputs are what the image as a whole gives, and the part of each map, by the output's name.
        """
        result = self._request.infer([image[None], features], share_inputs=True, share_outputs=False)
        amap, *others = (np.asarray(result[place], np.float32) for place in range(len(self._model.outputs)))
        if not others:
            return amap, NO_PARTS
        names = [output.get_any_name() for output in self._model.outputs[2:]]
        maps = tuple((name, float(part[0])) for name, part in zip(names, others[1:], strict=True))
        return amap, Parts(float(others[0][0]), maps)


def count_flops(graph: Path) -> float:
    """Return the operations of a graph's convolutions and matrix products, two for each multiply and add."""
    total = 0.0
    for node in core().read_model(native_path(graph)).get_ordered_ops():
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


def bf16_rate(side: int, threads: int) -> float | None:
    """Return the operations a second of a large bf16 matrix product, best of seven; None without units for it."""
    if not can_run("bf16"):
        return None
    ops = openvino.opset13
    left = ops.parameter([side, side], np.float32)
    right = ops.constant(np.random.default_rng(0).random((side, side), np.float32))
    product = openvino.Model([ops.matmul(left, right, transpose_a=False, transpose_b=False)], [left])
    options = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = core().compile_model(product, "CPU", options).create_infer_request()
    values, times = np.ones((side, side), np.float32), []
    for _ in range(7):
        request.infer([values])
        times.append(request.latency / 1000)
    return float(2 * side**3 / min(times))


def usable_processors() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0))
