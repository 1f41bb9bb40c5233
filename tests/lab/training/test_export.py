"""What torch computes is what the line computes, in a process that has no torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import a_part
from safetensors.torch import load as load_tensors

from edge_inspector.bundle import NETWORK, Bundle
from edge_inspector.detectors.autoencoders.autoencoder import NETWORKS
from edge_inspector.detectors.autoencoders.reconstruction import (
    ReconstructionNetwork,
    ReconstructionResidual,
    fit_tolerance,
    without_tolerance,
)
from edge_inspector.inspection.model import ModelInput
from edge_inspector.lab.training.export import to_onnx

LINE = """
import sys
from pathlib import Path
import numpy as np
from edge_inspector.engines.openvino import OpenVinoDetector
folder = Path(sys.argv[1])
detector = OpenVinoDetector(folder / "network.onnx", folder / "residual.onnx", "f32", 1)
for image in sorted(folder.glob("image*.npy")):
    pixels = np.load(image)
    amap = detector.residual(pixels, detector.network(pixels))
    np.save(image.with_name(image.name.replace("image", "map")), amap)
assert "torch" not in sys.modules
"""


def images(channels: int) -> list[ModelInput]:
    """Return good parts and one that is scratched, at 64 x 64."""
    parts = [a_part(seed, width=64, height=64) for seed in range(4)]
    parts.append(a_part(9, scratched=True, width=64, height=64))
    return [np.ascontiguousarray(part[..., :channels]) for part in parts]


def as_batch(image: ModelInput) -> torch.Tensor:
    """Return an image as a batch of one."""
    return torch.from_numpy(image[None])


def a_detector(kind: str, channels: int, residual: str) -> tuple[ReconstructionNetwork, ReconstructionResidual]:
    """Return an untrained network and a residual with a tolerance fitted on good parts."""
    torch.manual_seed(0)
    network = ReconstructionNetwork(NETWORKS[kind].build(channels, 64, 64)).eval()
    raw = without_tolerance(residual, 2.0)
    good = [as_batch(image) for image in images(channels)[:4]]
    with torch.no_grad():
        maps = torch.cat([raw.raw(image, network(image)) for image in good])
    return network, fit_tolerance(raw, maps, 2.0)


@pytest.mark.parametrize(
    ("kind", "channels", "residual"), [("cae:my", 3, "ssim+l1"), ("cae:mvtec", 1, "ssim")], ids=["my", "mvtec"]
)
def test_the_line_sees_the_map_that_torch_gives(tmp_path: Path, kind: str, channels: int, residual: str) -> None:
    """Network and residual exported, loaded in a new process: within a thousandth of the limit everywhere."""
    network, excess = a_detector(kind, channels, residual)
    shown = images(channels)
    with torch.no_grad():
        maps = [excess(as_batch(image), network(as_batch(image))).numpy() for image in shown]
        example = as_batch(shown[0])
        (tmp_path / "network.onnx").write_bytes(to_onnx(network, (example,), ("picture",), "features"))
        inputs = (example, network(example))
        (tmp_path / "residual.onnx").write_bytes(to_onnx(excess, inputs, ("picture", "features"), "map"))
    for number, image in enumerate(shown):
        np.save(tmp_path / f"image{number}.npy", image)
    subprocess.run([sys.executable, "-c", LINE, tmp_path], check=True)
    threshold = max(float(amap.max()) for amap in maps[:4])

    assert threshold > 0
    for number, amap in enumerate(maps):
        assert np.abs(np.load(tmp_path / f"map{number}.npy") - amap).max() <= 1e-3 * threshold


def test_the_weights_in_the_bundle_are_those_of_its_network(bundle: Bundle, tmp_path: Path) -> None:
    """To go on training from a bundle is to go on from what runs on the line."""
    network = ReconstructionNetwork(NETWORKS["cae:my"].build(1, 64, 64)).eval()
    network.load_state_dict(load_tensors((bundle.path / "weights.safetensors").read_bytes()))
    image = images(1)[4]
    np.save(tmp_path / "image.npy", image)
    program = (
        "import sys, numpy as np; from pathlib import Path;"
        "from edge_inspector.engines.openvino import OpenVinoNetwork;"
        "run = OpenVinoNetwork(Path(sys.argv[1]), 'f32', 1);"
        "np.save(Path(sys.argv[2]) / 'features.npy', run(np.load(Path(sys.argv[2]) / 'image.npy')))"
    )
    subprocess.run([sys.executable, "-c", program, bundle.path / NETWORK, tmp_path], check=True)
    with torch.no_grad():
        expected = network(as_batch(image)).numpy()

    assert np.abs(np.load(tmp_path / "features.npy") - expected).max() < 1e-4
