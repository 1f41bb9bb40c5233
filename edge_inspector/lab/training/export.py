"""Torch modules to ONNX graphs that hold their weights and have one fixed size."""

import logging
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from edge_inspector.errors import DataError

OPSET = 20


def to_onnx(module: nn.Module, inputs: tuple[Tensor, ...], names: tuple[str, ...], *outputs: str) -> bytes:
    """Return `module` as one ONNX file.

    Args:
        module: in evaluation mode.
        inputs: examples; their shapes and dtypes become the graph's.
        names: of the inputs.
        outputs: names of the outputs.

    Raises:
        DataError: a number in it is none: it would answer as if nothing were unusual.
    """
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise DataError(f"the trained detector holds values that are not numbers ({name}): retrain the part")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecated calls
        path = Path(folder) / "graph.onnx"
        with torch.no_grad():
            torch.onnx.export(
                module.eval(),
                inputs,
                path,
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                input_names=list(names),
                output_names=list(outputs),
                verbose=False,
            )
        return path.read_bytes()
