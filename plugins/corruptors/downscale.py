"""The inverted latent reduced and brought back: blocks of cells replaced by their mean (Fig. 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


def block_means(plane: Tensor, factor: int) -> Tensor:
    """Every cell of (N, C, h, w) becomes the mean of its block of factor x factor cells, counted from the top left.

    Where factor does not divide a side, the last blocks are smaller and average the cells they have; a factor beyond
    the side makes one block of it.
    """
    from torch.nn import functional as F  # here, so that listing plugins loads no torch

    height, width = plane.shape[-2:]
    means = F.avg_pool2d(plane, (min(factor, height), min(factor, width)), ceil_mode=True)
    full = means.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
    return full[..., :height, :width]


@dataclass(frozen=True)
class Downscale(LatentCorruptor):
    """f = z_t at a factor-th of its resolution (area reduction, nearest enlargement)."""

    name = "downscale"
    steps: int = param(20, ge=0, doc="inversion steps from the clean end")
    factor: int = param(8, ge=1, doc="how many times smaller; 8 suits 64x64 latents, 2 suits 16x16")

    def corrupt(self, at: LatentContext) -> Tensor:
        return block_means(at.z_t, self.factor)


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [Downscale]
