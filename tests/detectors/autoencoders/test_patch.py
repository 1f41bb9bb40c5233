"""The tile rule is system 002's, beside good tiles instead of the image's own pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edge_inspector.detectors.autoencoders.patch import TileRule, fit_tiles, without_good_tiles
from edge_inspector.engines.openvino import OpenVinoDetector
from edge_inspector.lab.training.export import to_onnx

HEIGHT, WIDTH, TILE, K = 20, 27, 8, 2.0
CORNERS = [(y, x) for y in range(0, HEIGHT, TILE) for x in range(0, WIDTH, TILE)]


def good_errors(count: int = 12) -> NDArray[np.float32]:
    """Return errors of good images, larger on the right, (count, 1, height, width)."""
    errors = np.random.default_rng(0).random((count, 1, HEIGHT, WIDTH), np.float32) * 0.1
    errors[..., WIDTH // 2 :] *= 3
    return errors


def a_defect() -> NDArray[np.float32]:
    """Return the errors of an image with one bad tile, in which a few pixels are bad."""
    errors = good_errors(13)[-1:]
    errors[0, 0, 9:14, 2:7] = 0.9
    return errors


def oracle(
    error: NDArray[np.float32], good: NDArray[np.float32], boxes: str, *, each_place: bool
) -> NDArray[np.float64]:
    """Return the map of one image (height, width), tile by tile as the reference tells it (3.3)."""
    means = np.array([[tile.mean() for tile in tiles(one[0])] for one in good.astype(np.float64)])
    amap = np.zeros(error.shape)
    floor = np.percentile(means.std(0, ddof=1), 50, method="lower")
    for place, ((y, x), tile) in enumerate(zip(CORNERS, tiles(error.astype(np.float64)), strict=True)):
        mean, spread = means.mean(), means.std(ddof=1)
        if each_place:
            mean, spread = means[:, place].mean(), np.hypot(means[:, place].std(ddof=1), floor)
        limit = mean + K * spread
        if boxes == "tile":
            shown = np.full(tile.shape, max(0.0, (tile.mean() - mean) / (K * spread)))
        else:
            shown = np.where((tile >= limit) & (tile.mean() >= limit), (tile - mean) / (K * spread), 0)
        amap[y : y + TILE, x : x + TILE] = shown
    return amap


def tiles(error: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Cut an image's errors into tiles; those right and below are smaller."""
    return [error[y : y + TILE, x : x + TILE] for y, x in CORNERS]


def fitted(boxes: str, *, each_place: bool) -> TileRule:
    """Return the rule, fitted on the good images."""
    rule = without_good_tiles(TILE, boxes, K)  # type: ignore[arg-type]
    return fit_tiles(rule, torch.from_numpy(good_errors()), each_place=each_place)


@pytest.mark.parametrize("boxes", ["tile", "pixel"])
@pytest.mark.parametrize("each_place", [True, False])
def test_the_map_is_that_of_the_rule(boxes: str, *, each_place: bool) -> None:
    """Against numpy, with tiles that do not divide the sides; good images and one with a bad tile."""
    rule = fitted(boxes, each_place=each_place)
    for errors in (*good_errors(3)[:, None], a_defect()):
        found = rule.excess(torch.from_numpy(errors))[0, 0].numpy()

        assert found == pytest.approx(oracle(errors[0, 0], good_errors(), boxes, each_place=each_place), abs=1e-4)


def test_a_bad_tile_is_marked_and_no_other() -> None:
    """As a whole, or by its bad pixels only; where good parts always differ nothing is flagged."""
    whole, parts = (
        fitted(boxes, each_place=True).excess(torch.from_numpy(a_defect()))[0, 0] for boxes in ("tile", "pixel")
    )
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[8:16, 0:8] = True

    assert ((whole >= 3).numpy() == inside).all()
    assert float(parts[9:14, 2:7].min()) > 3
    assert float(parts[8, 0]) == 0


@pytest.mark.parametrize("boxes", ["tile", "pixel"])
def test_the_line_sees_the_map_that_torch_gives(tmp_path: Path, boxes: str) -> None:
    """The rule as one ONNX file, run by OpenVINO; a reconstruction that is not finite never gives a clean map."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8)
    reconstruction = np.clip(np.moveaxis(image, 3, 1) / 255 + rng.normal(0, 0.05, (1, 3, HEIGHT, WIDTH)), 0, 1)
    reconstruction[..., 8:16, 8:16] = 0.5
    reconstruction = reconstruction.astype(np.float32)
    rule = fitted(boxes, each_place=True)
    inputs = (torch.from_numpy(image), torch.from_numpy(reconstruction))
    expected = rule(*inputs).numpy()
    (tmp_path / "residual.onnx").write_bytes(to_onnx(rule, inputs, ("picture", "features"), "map"))
    line = OpenVinoDetector(tmp_path / "residual.onnx", tmp_path / "residual.onnx", "f32", 2)
    found = line.residual(image[0], reconstruction)
    broken = line.residual(image[0], np.where(reconstruction == reconstruction[0, 0, 9, 9], np.nan, reconstruction))

    assert expected.max() > 1
    assert np.abs(found - expected).max() <= 1e-3
    assert not np.isfinite(broken).all()
