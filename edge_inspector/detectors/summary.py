"""What a network is made of, as text: one line a layer, as Keras prints it."""

from functools import partial

import torch
from torch import Tensor, nn


def summarise(title: str, network: nn.Module, inputs: tuple[Tensor, ...]) -> str:
    """Return each layer that runs on `inputs` with what it gives and how many numbers it holds, and the sum."""
    lines: list[str] = []
    names = {module: name for name, module in network.named_modules()}
    leaves = [module for module in names if not list(module.children())]
    handles = [leaf.register_forward_hook(partial(_note, lines, names[leaf])) for leaf in leaves]
    try:
        with torch.no_grad():
            network(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    numbers = sum(parameter.numel() for parameter in network.parameters())
    buffers = sum(buffer.numel() for buffer in network.buffers())
    total = f"{numbers:,} parameters, {buffers:,} other numbers"
    return "\n".join([title, _line("layer", "kind", "gives", "numbers"), *lines, total, ""])


def _note(lines: list[str], name: str, module: nn.Module, _inputs: object, output: object) -> None:
    shape = "x".join(map(str, output.shape)) if isinstance(output, Tensor) else type(output).__name__
    own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
    lines.append(_line(name, type(module).__name__, shape, f"{own:,}"))


def _line(name: str, kind: str, shape: str, numbers: str) -> str:
    return f"{name:<44} {kind:<22} {shape:>20} {numbers:>12}"
