"""Networks that have learned the wrong thing: found after training, before anybody relies on them."""

import numpy as np
import torch
from numpy.typing import NDArray

from edge_inspector.detectors.training_data import Images
from edge_inspector.errors import DataError

_VISIBLE = 8
"""Grey values by which a synthetic defect changes a pixel."""
COPIED = 0.05
"""Share of a defect's contrast that a network which copies leaves unexplained."""


def refuse_constant(reconstructions: NDArray[np.float32]) -> None:
    """Refuse reconstructions, (count, channels, height, width) in 0..1, that are the same for every image.

    Raises:
        DataError: they are; the network is dead and the map would only tell images from that one.
    """
    if len(reconstructions) > 1 and not np.ptp(reconstructions, axis=0).any():
        raise DataError(
            "the network gives the same image whatever it is shown: it has learned nothing. Train longer (--epochs), "
            "or with a lower rate (--set rate=0.0003)"
        )


def refuse_copies(clean: Images, synthetic: Images, reconstructions: torch.Tensor) -> None:
    """Refuse a network that restores synthetic defects as if they belonged to the part.

    Args:
        clean: uint8 (count, height, width, channels), the images before a defect was synthetic.
        synthetic: the same with a defect each.
        reconstructions: of the synthetic images, float32 (count, channels, height, width) in 0..1.

    Raises:
        DataError: it copies whatever it sees, so no defect would ever show.
    """
    contrast = np.abs(synthetic.astype(np.float32) - clean)
    defective = contrast >= _VISIBLE
    if not defective.any():
        return
    restored = reconstructions.permute(0, 2, 3, 1).numpy() * 255
    left = np.abs(restored - synthetic)[defective].mean() / contrast[defective].mean()
    if left < COPIED:
        raise DataError(
            f"the network copies what it is shown: it restores synthetic defects to within {left:.1%} of their "
            "contrast, so it would see none. Train shorter, or take a kind with a smaller code"
        )
