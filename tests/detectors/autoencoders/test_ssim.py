"""SSIM is scikit-image's, borders included, and keeps its digits on bright flat parts."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from edge_inspector.detectors.autoencoders.ssim import Blur, Ssim, usable_scales

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def images(kind: str) -> Pair:
    """Return two images in 0..1 of that kind, no side a multiple of anything."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:47, 0:61] / 60
    match kind:
        case "noise":
            return rng.random((47, 61)), rng.random((47, 61))
        case "smooth":
            return 0.5 + 0.4 * np.sin(5 * x + 3 * y), 0.5 + 0.4 * np.sin(5 * x + 3 * y + 0.2)
        case "flat and bright":
            bright = np.full((47, 61), 0.98)
            return bright + 0.002 * rng.standard_normal((47, 61)), bright + 0.001 * rng.standard_normal((47, 61))
        case "step":
            return (x > 0.5).astype(float), (x > 0.53).astype(float)
        case "the same":
            return x * y, x * y
    raise ValueError(kind)


KINDS = ("noise", "smooth", "flat and bright", "step", "the same")


def oracle(pair: Pair) -> NDArray[np.float64]:
    """Return scikit-image's map in float64."""
    return structural_similarity(  # type: ignore[no-any-return]
        *pair, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, full=True
    )[1]


def as_tensor(image: NDArray[np.float64], dtype: torch.dtype) -> torch.Tensor:
    """Return an image as a batch of one with one channel."""
    return torch.from_numpy(image)[None, None].to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_map_is_scikit_image_s(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    """Every pixel, up to the border."""
    pair = images(kind)
    x, y = (as_tensor(image, dtype) for image in pair)

    assert np.abs(Ssim()(x, y)[0, 0].numpy() - oracle(pair)).max() < tolerance


def test_colours_are_compared_one_by_one() -> None:
    """A map of three channels is three maps."""
    pairs = [images(kind) for kind in ("noise", "smooth", "step")]
    x, y = (torch.from_numpy(np.stack([pair[i] for pair in pairs]))[None] for i in (0, 1))
    found = Ssim()(x, y)[0].numpy()

    assert np.abs(found - np.stack([oracle(pair) for pair in pairs])).max() < 1e-10


@pytest.mark.parametrize("side", [1, 2, 3, 5, 11])
def test_an_image_smaller_than_the_window_has_a_map(side: int) -> None:
    """Borders are repeated as often as it takes; an image is like itself."""
    x = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))

    assert torch.allclose(Ssim()(x, x), torch.ones_like(x))


@pytest.mark.parametrize(
    ("side", "scales"), [(8, 1), (16, 1), (21, 1), (22, 2), (44, 3), (64, 3), (88, 4), (175, 4), (176, 5), (1024, 5)]
)
def test_small_images_have_fewer_scales(side: int, scales: int) -> None:
    """Below 176 pixels the smallest scale would be smaller than the window."""
    assert usable_scales(side) == scales


@pytest.mark.parametrize("side", [16, 40, 64, 128])
def test_the_colour_loss_is_0_for_equal_images_and_more_for_others(side: int) -> None:
    """The weights sum to 1 however many scales there are: the loss of a given fault does not depend on the size."""
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    ssim = Ssim()
    darker, noisy = ssim.loss(x, 0.7 * x), ssim.loss(x, 1 - x)

    assert float(ssim.loss(x, x)) == pytest.approx(0, abs=1e-6)
    assert 0 < float(darker) < float(noisy) <= 1


def test_the_loss_has_a_gradient_everywhere() -> None:
    """Training on the worst and the best image gives finite gradients, for grey and colour."""
    for channels in (1, 3):
        x = torch.rand(1, channels, 32, 32, generator=torch.Generator().manual_seed(1))
        for start in (x, 1 - x, torch.zeros_like(x), torch.ones_like(x)):
            y = start.clone().requires_grad_()
            Ssim().loss(y, x).backward()  # type: ignore[no-untyped-call]

            assert y.grad is not None
            assert torch.isfinite(y.grad).all()


def test_a_blur_keeps_what_is_flat() -> None:
    """Borders included: nothing is darker at the edge of a part for being at the edge."""
    flat = torch.full((1, 2, 9, 30), 0.7)

    assert torch.allclose(Blur(3.0, 12)(flat), flat)
