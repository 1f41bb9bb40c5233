"""The networks are those of the prior systems' layer tables, and refuse sizes that they cannot take."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edge_inspector.detectors.autoencoders import autoencoder
from edge_inspector.detectors.autoencoders.autoencoder import NETWORKS, check_size
from edge_inspector.detectors.autoencoders.reconstruction import ReconstructionNetwork
from edge_inspector.detectors.features.same import SameConv2d, SameConvTranspose2d
from edge_inspector.detectors.settings import KINDS, AutoencoderSettings, parse_settings
from edge_inspector.detectors.training_data import Budget, TrainingData
from edge_inspector.engines.openvino import OpenVinoNetwork
from edge_inspector.errors import UsageError
from edge_inspector.lab.training.augment import Augment
from edge_inspector.lab.training.corrupt import corrupt
from edge_inspector.lab.training.export import to_onnx

PARAMETERS = [
    ("cae:my", 256, 139_329, 140_483),
    ("cae:my-etma", 256, 555_137, 557_443),
    ("cae:my-optuna", 256, 2_216_193, 2_220_803),
    ("cae:mvtec", 256, 746_210, 751_332),
    ("cae:baseline", 256, 712_197, 713_359),
    ("cae:inception", 256, 11_521_797, 11_526_415),
    ("cae:resnet", 256, 15_018_305, 15_026_627),
    ("cae:skip", 256, 2_967_041, 2_968_195),
    ("cae:ssim-ae", 128, 1_048_549, 1_050_599),
    ("cae:ssim-ae", 256, 1_196_097, 1_198_147),
    ("unet", 128, 3_872_769, 3_874_051),
    ("patch", 200, 6_245_389, 6_246_191),
    ("patch", 256, 9_515_593, 9_516_395),
]
"""Kind, side, parameters for grey and for colour: reference tables 1.1, 3.1, 5.1 and 6.1."""
SMALL = {
    "cae:my": (32, 48),
    "cae:mvtec": (32, 64),
    "cae:inception": (64, 128),
    "cae:resnet": (32, 96),
    "unet": (24, 32),
}
SMALL |= {"cae:my-etma": (16, 32), "cae:my-optuna": (32, 16), "cae:baseline": (256, 256), "cae:skip": (256, 512)}
SMALL |= {"cae:ssim-ae": (128, 128), "patch": (32, 48)}
"""A small height and width that each kind takes."""


def counted_as_keras_does(network: nn.Module) -> int:
    """Return the numbers that a network keeps: of batch normalisation the running mean and variance too."""
    running = [buffer for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
    return sum(values.numel() for values in (*network.parameters(), *running))


@pytest.mark.parametrize(("kind", "side", "grey", "colour"), PARAMETERS)
def test_a_network_has_the_parameters_of_its_table(kind: str, side: int, grey: int, colour: int) -> None:
    """One layer too many or too wide shows here."""
    found = [counted_as_keras_does(NETWORKS[kind].build(channels, side, side)) for channels in (1, 3)]

    assert found == [grey, colour]


def test_every_network_has_a_table() -> None:
    """None is added without its figures, and every kind that can be set has a network."""
    assert {kind for kind, *_ in PARAMETERS} == set(NETWORKS) == set(SMALL)
    assert set(NETWORKS) == {kind for kind in KINDS if isinstance(parse_settings(kind, {}), AutoencoderSettings)}


ALL_IN_THE_SLOW_RUN = [
    pytest.param(kind, marks=() if kind in ("cae:ssim-ae", "unet", "patch") else (pytest.mark.slow,))
    for kind in NETWORKS
]


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_reconstruction_is_an_image_of_the_same_size(kind: str, channels: int) -> None:
    """uint8 in, 0 to 1 out, as many channels and pixels; an untrained network is not stuck at either end."""
    torch.manual_seed(0)
    size = SMALL[kind]
    network = ReconstructionNetwork(NETWORKS[kind].build(channels, *size))
    image = np.random.default_rng(0).integers(0, 256, (2, *size, channels), np.uint8)
    with torch.no_grad():
        found = network(torch.from_numpy(image))

    assert found.shape == (2, channels, *size)
    assert found.dtype == torch.float32
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    assert 0.1 < float(found.mean()) < 0.9


@pytest.mark.parametrize(
    ("kind", "width", "height", "words"),
    [
        ("cae:my", 65, 64, "sizes that are multiples of 16"),
        ("cae:my-optuna", 64, 72, "sizes that are multiples of 16"),
        ("cae:mvtec", 48, 64, "sizes that are multiples of 32"),
        ("cae:mvtec", 64, 80, "sizes that are multiples of 32"),
        ("cae:inception", 96, 64, "sizes that are multiples of 64"),
        ("cae:skip", 256, 384, "sizes that are multiples of 256"),
        ("cae:baseline", 128, 128, "only 256x256"),
        ("cae:baseline", 512, 256, "only 256x256"),
        ("cae:ssim-ae", 512, 512, "only 128x128 or 256x256"),
        ("cae:ssim-ae", 128, 256, "only 128x128 or 256x256"),
        ("unet", 100, 64, "sizes that are multiples of 8"),
        ("patch", 200, 100, "sizes that are multiples of 8"),
    ],
)
def test_a_size_that_the_network_cannot_take_is_refused(kind: str, width: int, height: int, words: str) -> None:
    """The message says which sizes it takes and which was asked for."""
    with pytest.raises(UsageError, match=f"^{kind} takes {words}, got {width}x{height}$"):
        check_size(parse_settings(kind, {}), height, width)


@pytest.mark.parametrize("kind", ALL_IN_THE_SLOW_RUN)
def test_the_line_sees_the_reconstruction_that_torch_gives(tmp_path: Path, kind: str) -> None:
    """Each network as one ONNX file, run by OpenVINO, batch normalisation that has seen images included."""
    torch.manual_seed(0)
    height, width = SMALL[kind]
    network = ReconstructionNetwork(NETWORKS[kind].build(1, height, width))
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, height, width, 1), np.uint8))
    with torch.no_grad():
        network(image)
        expected = network.eval()(image[:1]).numpy()
    (tmp_path / "network.onnx").write_bytes(to_onnx(network, (image[:1],), ("picture",), "features"))
    found = OpenVinoNetwork(tmp_path / "network.onnx", "f32", 2)(image[0].numpy())

    assert np.abs(found - expected).max() <= 1e-3


@pytest.mark.parametrize(
    "kind", ["cae:baseline", "cae:inception", "cae:resnet", "cae:skip", "cae:ssim-ae", "unet", "patch"]
)
def test_a_reconstruction_depends_on_the_image_from_the_start(kind: str) -> None:
    """Through a deep network the signal must not fade; those of 17 narrow layers begin with one grey, and learn."""
    torch.manual_seed(0)
    network = ReconstructionNetwork(NETWORKS[kind].build(1, *SMALL[kind]))
    y, x = np.mgrid[0 : 1 : SMALL[kind][0] * 1j, 0 : 1 : SMALL[kind][1] * 1j]
    images = np.stack([255 * x, 255 * y, 255 * (x < 0.3)])[..., None].astype(np.uint8)
    with torch.no_grad():
        found = network(torch.from_numpy(images))

    assert float(found.std(0).mean()) > 1e-5


@pytest.mark.parametrize("kind", ALL_IN_THE_SLOW_RUN)
def test_each_kind_is_trained_and_sees_a_bright_spot(kind: str) -> None:
    """A few steps on flat images with a little noise: a large spot stands out of the map, a good image does not."""
    height, width = SMALL[kind]
    good = np.random.default_rng(0).normal(120, 6, (14, height, width, 1)).clip(0, 255).astype(np.uint8)
    spot = good[8:].copy()
    spot[:, 8:16, 8:16] = 250
    data = TrainingData(
        fit=good[:8],
        tune=good[8:12],
        synthetic=spot[:4],
        corrupt=corrupt,
        augment=Augment(""),
        levels=lambda maps: [float(amap.max()) for amap in maps],
        budget=Budget(6, None),
        seed=0,
        report=lambda _progress: None,
        clock=itertools.count().__next__,
    )
    trained = autoencoder.train_detector(parse_settings(kind, {"patch": "8"} if kind == "patch" else {}), data)
    with torch.no_grad():
        residual = trained.residual(
            lambda images: (trained.network(torch.from_numpy(image[None])).numpy() for image in images)
        ).graph
        shown = [torch.from_numpy(image[None]) for image in (good[13], spot[5])]
        clean, defective = (residual(image, trained.network(image)) for image in shown)

    assert clean.shape == defective.shape == (height, width)
    assert float(clean.min()) >= 0
    assert float(defective[8:16, 8:16].mean()) > 3 * float(clean[8:16, 8:16].mean())


@pytest.mark.parametrize(("kernel", "stride", "size"), [(4, 2, 16), (4, 2, 15), (8, 1, 9), (3, 1, 7), (3, 2, 8)])
def test_padding_is_that_of_keras(kernel: int, stride: int, size: int) -> None:
    """ceil(size / stride) pixels come out, and the odd pixel of padding lies right and below."""
    layer = SameConv2d(1, 1, kernel, stride)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    with torch.no_grad():
        found = layer(torch.ones(1, 1, size, size))[0, 0]
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)

    assert found.shape == (-(-size // stride), -(-size // stride))
    assert float(found[0, 0]) == (kernel - total // 2) ** 2


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, 5), (3, 2, 4), (4, 2, 4), (1, 1, 3)])
def test_a_transposed_convolution_is_the_way_back_of_a_convolution(kernel: int, stride: int, size: int) -> None:
    """Keras defines it so: the gradient of the convolution that is padded "same"."""
    there, back = SameConv2d(1, 1, kernel, stride), SameConvTranspose2d(1, 1, kernel, stride)
    back.weight = there.weight
    x = torch.rand(1, 1, size * stride, size * stride, requires_grad=True)
    y = torch.rand(1, 1, size, size)
    (there(x) * y).sum().backward()

    assert x.grad is not None
    assert torch.allclose(back(y) - back.bias.view(1, 1, 1, 1), x.grad, atol=1e-6)
