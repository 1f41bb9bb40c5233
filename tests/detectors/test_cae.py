"""The networks are those of the prior systems' layer tables, and refuse sizes that they cannot take."""

import numpy as np
import pytest
import torch

from edge_inspector.detectors.cae import NETWORKS, check_size
from edge_inspector.detectors.cae.same import SameConv2d
from edge_inspector.detectors.reconstruction import ReconstructionNetwork
from edge_inspector.errors import UsageError

PARAMETERS = [("cae:mvtec", 1, 746_210), ("cae:mvtec", 3, 751_332), ("cae:my", 1, 139_329), ("cae:my", 3, 140_483)]


@pytest.mark.parametrize(("kind", "channels", "expected"), PARAMETERS)
def test_a_network_has_the_parameters_of_its_table(kind: str, channels: int, expected: int) -> None:
    """One layer too many or too wide shows here (reference tables 1.1.1 and 1.1.2)."""
    network = NETWORKS[kind].build(channels)

    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_a_reconstruction_is_a_picture_of_the_same_size(kind: str, channels: int, size: tuple[int, int]) -> None:
    """uint8 in, 0 to 1 out, as many channels and pixels."""
    torch.manual_seed(0)
    network = ReconstructionNetwork(NETWORKS[kind].build(channels))
    picture = np.random.default_rng(0).integers(0, 256, (2, *size, channels), np.uint8)
    with torch.no_grad():
        found = network(torch.from_numpy(picture))

    assert found.shape == (2, channels, *size)
    assert found.dtype == torch.float32
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


@pytest.mark.parametrize(
    ("kind", "width", "height"), [("cae:my", 65, 64), ("cae:my", 64, 72), ("cae:mvtec", 48, 64), ("cae:mvtec", 64, 80)]
)
def test_a_size_that_the_network_cannot_take_is_refused(kind: str, width: int, height: int) -> None:
    """The message says which sizes it takes and which was asked for."""
    with pytest.raises(UsageError, match=rf"multiples of \d+, got {width}x{height}"):
        check_size(kind, height, width)


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
