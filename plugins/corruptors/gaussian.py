"""Gaussian noise in the latent (Sec. 5.3; Tables 2 and 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Gaussian(LatentCorruptor):
    """Replaces the inverted latent by Gaussian noise: f = n ~ N(0, I) (Table 2).

    With steps=0 it replaces the clean latent, which is decoded without resampling ("image latent", Table 4).
    """

    name = "gaussian"
    steps: int = param(20, ge=0, doc="inversion steps from the clean end; 0 is the paper's 'image latent'")

    def corrupt(self, at: LatentContext) -> Tensor:
        return at.noise()


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [Gaussian]
