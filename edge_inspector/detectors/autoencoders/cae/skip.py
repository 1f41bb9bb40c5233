"""`cae:skip`, the autoencoder that system 001 names: a dense code of 64 numbers, and two shortcuts past it."""

from torch import Tensor, nn

from edge_inspector.detectors.autoencoders.architecture import Sizes
from edge_inspector.detectors.features.same import SameConv2d, SameConvTranspose2d, batch_norm, glorot

SIZES = Sizes(multiple=256)
_CODE = 64
_SLOPE = 0.3


def build(channels: int, height: int, width: int) -> "SkipAutoencoder":
    """Return the network, (batch, channels, height, width) in 0..1 to the same; sides are multiples of 256.

    2,967,041 parameters for grey, 2,968,195 for colour at 256, batch normalisation counted four a channel (reference
    table 1.1.6).
    """
    return SkipAutoencoder(channels, height // 256, width // 256).apply(glorot)


class SkipAutoencoder(nn.Module):
    """Eight halvings to a dense code and back; what was there after three and after five is added on the way back.

    The first shortcut passes the code at an eighth of the size, so the network can copy defects: train it briefly.
    """

    def __init__(self, channels: int, rows: int, columns: int) -> None:
        super().__init__()
        self.to_fine = nn.Sequential(_down(channels, 32), _leaky(), _down(32, 32), _leaky(), _down(32, 64))
        self.to_coarse = nn.Sequential(_leaky(), _down(64, 64), _leaky(), _down(64, 128))
        self.to_code = nn.Sequential(
            *(_leaky(), _down(128, 128)),
            *(_leaky(), _down(128, 256)),
            *(_leaky(), _down(256, 256)),
            *(_leaky(), nn.Flatten()),
            *(nn.Linear(256 * rows * columns, _CODE), nn.ReLU()),
        )
        self.from_code = nn.Sequential(
            *(nn.Linear(_CODE, 256 * rows * columns), nn.ReLU()),
            nn.Unflatten(1, (256, rows, columns)),
            *(SameConvTranspose2d(256, 256, 3, 1), _leaky()),
            *(_up(256, 256), _leaky()),
            *(_up(256, 128), _leaky()),
            _up(128, 128),
        )
        self.from_coarse = nn.Sequential(_leaky(), batch_norm(128), _up(128, 64), _leaky(), _up(64, 64))
        self.from_fine = nn.Sequential(
            *(_leaky(), batch_norm(64)),
            *(_up(64, 32), _leaky()),
            *(_up(32, 32), _leaky()),
            *(_up(32, channels), nn.Sigmoid()),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction of (batch, channels, height, width)."""
        fine = self.to_fine(x)
        coarse = self.to_coarse(fine)
        reconstruction: Tensor = self.from_fine(self.from_coarse(self.from_code(self.to_code(coarse)) + coarse) + fine)
        return reconstruction


def _leaky() -> nn.LeakyReLU:
    return nn.LeakyReLU(_SLOPE)


def _down(inputs: int, filters: int) -> SameConv2d:
    return SameConv2d(inputs, filters, 3, 2)


def _up(inputs: int, filters: int) -> SameConvTranspose2d:
    return SameConvTranspose2d(inputs, filters, 3, 2)
