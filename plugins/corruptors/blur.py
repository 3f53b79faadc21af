"""A Gaussian blur of the inverted latent (Table 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


def gaussian_blur(plane: Tensor, sigma: float) -> Tensor:
    """Blur (N, C, h, w) with a Gaussian of `sigma` cells, cut off at 4 sigma; the border cells repeat outwards."""
    import torch  # here, so that listing plugins loads no torch
    from torch.nn import functional as F

    radius = max(math.ceil(4 * sigma), 1)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(plane)
    count, channels, height, width = plane.shape
    rows = F.pad(plane.reshape(count * channels, 1, height, width), (radius,) * 4, mode="replicate")
    rows = F.conv2d(rows, kernel.view(1, 1, 1, -1))
    return F.conv2d(rows, kernel.view(1, 1, -1, 1)).view_as(plane)


@dataclass(frozen=True)
class Blur(LatentCorruptor):
    """f = z_t blurred; sigma is a share of the image's longer side, so it means the same at every latent size."""

    name = "blur"
    steps: int = param(20, ge=0, doc="inversion steps from the clean end")
    sigma: float = param(0.0625, gt=0, le=1, doc="standard deviation as a share of the image's longer side")

    def corrupt(self, at: LatentContext) -> Tensor:
        return gaussian_blur(at.z_t, self.sigma * max(at.z_t.shape[-2:]))


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [Blur]
