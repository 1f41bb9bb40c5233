"""The map is in units of how much good parts differ, and the weights that find defects are kept."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspector.detectors.autoencoders.reconstruction import (
    ReconstructionNetwork,
    ReconstructionResidual,
    as_input,
    fit_network,
    fit_tolerance,
    without_tolerance,
)
from edge_inspector.detectors.settings import CaeSettings, Loss
from edge_inspector.detectors.training_data import Budget, TrainingData
from edge_inspector.errors import DataError
from edge_inspector.lab.training.augment import Augment

SCORES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


def training_data(budget: Budget) -> TrainingData:
    """Return a lesson of eight small images."""
    fit = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), np.uint8)
    return TrainingData(
        fit=fit,
        tune=fit[:2],
        synthetic=fit[:2],
        corrupt=Augment(""),
        augment=Augment(""),
        levels=lambda maps: [float(amap.max()) for amap in maps],
        budget=budget,
        seed=0,
        report=lambda _progress: None,
        clock=itertools.count().__next__,
    )


def a_network() -> ReconstructionNetwork:
    """Return a network of one convolution."""
    torch.manual_seed(0)
    return ReconstructionNetwork(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Sigmoid()))


def weights_of(network: ReconstructionNetwork) -> torch.Tensor:
    """Return all weights as one vector."""
    return torch.cat([parameter.detach().flatten().clone() for parameter in network.parameters()])


def test_the_weights_that_find_most_defects_are_kept() -> None:
    """Training on after the best look makes nothing worse: a lower loss is not a better detector."""
    network, seen = a_network(), []
    qualities = itertools.chain([0.5, 0.9], itertools.repeat(0.6))

    def quality() -> float:
        seen.append(weights_of(network))
        return next(qualities)

    steps = list(
        fit_network(network, training_data(Budget(20, None)), CaeSettings(batch=8), quality, np.random.default_rng(0))
    )

    assert len(seen) == 7
    assert torch.equal(weights_of(network), seen[1])
    assert not torch.equal(seen[1], seen[-1])
    assert steps[-1].quality == 0.9


def test_a_training_that_is_broken_off_holds_the_best_weights_so_far() -> None:
    """Ctrl-C after the first looks loses nothing that was found."""
    network, seen = a_network(), []

    def quality() -> float:
        seen.append(weights_of(network))
        return 1.0 - len(seen) / 10

    training = fit_network(network, training_data(Budget(20, None)), CaeSettings(), quality, np.random.default_rng(0))
    for _ in itertools.takewhile(lambda step: step.share < 0.5, training):
        pass
    training.close()

    assert torch.equal(weights_of(network), seen[0])


@pytest.mark.parametrize(("budget", "steps"), [(Budget(3, None), 3), (Budget(None, 10), 10), (Budget(50, 10), 10)])
def test_the_training_ends_when_epochs_or_time_do(budget: Budget, steps: int) -> None:
    """Whichever comes first; the clock here ticks a second a look."""
    training: Iterator[object] = fit_network(
        a_network(), training_data(budget), CaeSettings(), lambda: 0.5, np.random.default_rng(0)
    )

    assert len(list(training)) == pytest.approx(steps, abs=1)


def test_a_training_that_diverges_is_refused() -> None:
    """A loss that is not a number ends it, with what to try next."""
    network = a_network()
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    training = fit_network(
        network, training_data(Budget(3, None)), CaeSettings(), lambda: 0.5, np.random.default_rng(0)
    )

    with pytest.raises(DataError, match="diverged at step 1: lower the learning rate"):
        list(training)


@pytest.mark.parametrize("loss", get_args(Loss))
def test_each_loss_brings_the_reconstruction_nearer(loss: Loss) -> None:
    """Whichever a prior system had: after a few steps the network tells the images' brightness."""
    network, data = a_network(), replace(training_data(Budget(40, None)), fit=np.full((8, 16, 16, 1), 200, np.uint8))
    training = fit_network(network, data, CaeSettings(loss=loss, rate=0.05), lambda: 0.5, np.random.default_rng(0))
    flat = torch.from_numpy(data.fit[:1])
    before = float((network(flat).detach() - 200 / 255).abs().mean())
    losses = [step.loss for step in training]
    after = float((network(flat).detach() - 200 / 255).abs().mean())

    assert losses[-1] < losses[0]
    assert after < before / 2


def test_good_parts_are_near_zero_and_a_new_spot_is_not() -> None:
    """The map counts in standard deviations of that very place, beyond the mean; nothing is below 0."""
    rng = np.random.default_rng(0)
    maps = torch.from_numpy(rng.normal(5, 1, (200, 1, 24, 24)).astype(np.float32))
    maps[..., 12:] *= 3
    residual = fit_tolerance(without_tolerance("l1", 0), maps, 1.0)
    excess = residual.excess(maps)
    spot = maps[:1].clone()
    spot[..., 4, 4] = 15

    assert float(excess.min()) >= 0
    assert float(excess[..., 14:22].std()) < 2 * float(excess[..., 2:10].std())  # three times before
    assert float(residual.excess(spot)[0, 0, 4, 4]) > 4


def test_structure_that_is_missing_counts_half() -> None:
    """A filled hole leaves less residual than usual, not more; it must not pass for that."""
    maps = torch.from_numpy(np.random.default_rng(0).normal(5, 1, (200, 1, 24, 24)).astype(np.float32))
    residual = fit_tolerance(without_tolerance("l1", 0), maps, 1.0)
    more, less = (residual.excess(residual.mean + change) for change in (4.0, -4.0))

    assert torch.allclose(less, more / 2)


def test_a_place_where_good_parts_never_differ_is_not_infinitely_strict() -> None:
    """The background of a studio shot must not reject a part for a grain of noise."""
    maps = torch.zeros(10, 1, 24, 24)
    maps[:, :, 8:] = torch.rand(10, 1, 16, 24, generator=torch.Generator().manual_seed(0))
    residual = fit_tolerance(without_tolerance("l1", 0), maps, 1.0)
    never = fit_tolerance(without_tolerance("l1", 0), torch.zeros_like(maps), 1.0)
    grain = torch.full((1, 1, 24, 24), 0.01)

    assert float(residual.excess(grain)[0, 0, 2, 2]) < 1
    assert torch.isfinite(never.excess(grain)).all()


@settings(deadline=None, max_examples=20)
@given(kind=st.sampled_from(["ssim", "l1", "l2", "ssim+l1"]), seed=st.integers(0, 99))
def test_a_perfect_reconstruction_leaves_nothing(kind: str, seed: int) -> None:
    """Whatever the residual; and one that differs leaves something."""
    image = torch.from_numpy(np.random.default_rng(seed).integers(0, 200, (1, 20, 20, 3), np.uint8))
    residual = without_tolerance(kind, 1.0)
    reconstruction = as_input(image)

    assert float(residual(image, reconstruction).max()) == pytest.approx(0, abs=1e-5)
    assert float(residual(image, reconstruction + 0.2).max()) > 0.01
    assert residual(image, reconstruction).shape == (20, 20)


def test_a_residual_that_does_not_exist_is_refused() -> None:
    """The kinds are named."""
    residual = ReconstructionResidual("l3", 0, torch.zeros(1), torch.ones(1))

    with pytest.raises(ValueError, match="expected ssim, l1, l2 or ssim"):
        residual(torch.zeros(1, 8, 8, 1, dtype=torch.uint8), torch.zeros(1, 1, 8, 8))
