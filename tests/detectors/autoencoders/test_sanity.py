"""A network that is dead, or that copies, is refused by name."""

import numpy as np
import pytest
import torch

from edge_inspector.detectors.autoencoders.sanity import refuse_constant, refuse_copies
from edge_inspector.errors import DataError

CLEAN = np.full((2, 16, 16, 1), 100, np.uint8)


def synthetic() -> np.ndarray:
    """Return the clean images with a bright square each."""
    spoiled = CLEAN.copy()
    spoiled[:, 4:8, 4:8] = 160
    return spoiled


def as_reconstruction(images: np.ndarray) -> torch.Tensor:
    """Return what a network that restores these images gives."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def test_a_network_that_restores_defects_is_refused() -> None:
    """Its residual would be nothing where the defect is."""
    with pytest.raises(DataError, match="copies what it is shown"):
        refuse_copies(CLEAN, synthetic(), as_reconstruction(synthetic()))


def test_a_network_that_restores_the_good_part_is_taken() -> None:
    """That is what it is for; and half a copy still shows the other half."""
    refuse_copies(CLEAN, synthetic(), as_reconstruction(CLEAN))
    refuse_copies(CLEAN, synthetic(), (as_reconstruction(CLEAN) + as_reconstruction(synthetic())) / 2)


def test_defects_that_nobody_sees_prove_nothing() -> None:
    """White synthetic on white: the network is not to blame."""
    refuse_copies(CLEAN, CLEAN, as_reconstruction(CLEAN))


def test_a_dead_network_is_refused() -> None:
    """It gives one image for all; one that differs by a grain is alive."""
    same = np.zeros((3, 1, 8, 8), np.float32)
    with pytest.raises(DataError, match="same image whatever it is shown"):
        refuse_constant(same)
    same[1, 0, 3, 3] = 1e-6
    refuse_constant(same)
