"""Downscaling of the inverted latent (Fig. 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


def block_means(plane: Tensor, factor: int) -> Tensor:
    """Replace each pixel of (N, C, h, w) by the mean of its block of factor x factor pixels, from the top left.

    Blocks at the right and lower edge may be smaller.
    """
    from torch.nn import functional as F  # here, so that listing plugins loads no torch

    height, width = plane.shape[-2:]
    means = F.avg_pool2d(plane, (min(factor, height), min(factor, width)), ceil_mode=True)
    full = means.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
    return full[..., :height, :width]


@dataclass(frozen=True)
class Downscale(LatentCorruptor):
    """Lowers the resolution of the inverted latent: f = means of blocks of factor x factor latent pixels (Fig. 5)."""

    name = "downscale"
    steps: int = param(20, ge=0, doc="inversion steps from the clean end")
    factor: int = param(8, ge=1, doc="side of a block in latent pixels; 8 suits 64x64 latents, 2 suits 16x16")

    def corrupt(self, at: LatentContext) -> Tensor:
        return block_means(at.z_t, self.factor)


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [Downscale]
