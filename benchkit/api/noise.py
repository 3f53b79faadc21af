"""The random draws that belong to an image, and the forward process that adds them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Noise(Protocol):
    """Random draws of each image of a batch. They depend on (seed, image id, stream) only.

    So every method that asks with the same arguments gets the same draws.
    """

    def normal(self, shape: Sequence[int], stream: str = "") -> Tensor:
        """Return standard normal draws, (N, *shape) float32; row i depends on the seed and on image i's id only."""
        ...

    def uniform(self, shape: Sequence[int], stream: str = "") -> Tensor:
        """Return uniform draws in [0, 1), (N, *shape) float32; row i depends on the seed and on image i's id only."""
        ...


def add_noise(z_0: Tensor, noise: Tensor, alpha_bar: float) -> Tensor:
    """Return z_t = sqrt(alpha_bar) z_0 + sqrt(1 - alpha_bar) noise: forward noising (eq. 4).

    z_0, noise: (N, C, h, w). alpha_bar: cumulative alpha of step t, in [0, 1].
    """
    return math.sqrt(alpha_bar) * z_0 + math.sqrt(1 - alpha_bar) * noise
