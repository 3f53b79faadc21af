"""Gaussian blur of the inverted latent (Table 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl, param
from benchkit_plugins.corruptors._gaussian import gaussian_blur

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Blur(LatentCorruptor):
    """Blurs the inverted latent: f = Gaussian blur of z_t (Table 2).

    sigma is a fraction of the longer side, so it has the same effect at every latent size.
    """

    name = "blur"
    steps: int = param(20, ge=0, doc="inversion steps from the clean end")
    sigma: float = param(0.0625, gt=0, le=1, doc="standard deviation as a fraction of the image's longer side")

    def corrupt(self, at: LatentContext) -> Tensor:
        return gaussian_blur(at.z_t, self.sigma * max(at.z_t.shape[-2:]))


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [Blur]
