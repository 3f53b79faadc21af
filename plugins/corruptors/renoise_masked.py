"""The paper's method: forward-noised latents inside the mask (eq. 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, add_noise, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RenoiseMasked(LatentCorruptor):
    """Replaces the inverted latent by the forward-noised one: f = sqrt(alpha_bar) z_0 + sqrt(1 - alpha_bar) n (eq. 4).

    This is the paper's method. The noise n has the right magnitude, but does not fit the inverted latents
    around the mask.
    """

    name = "renoise-masked"

    def corrupt(self, at: LatentContext) -> Tensor:
        return add_noise(at.z_0, at.noise(), at.alpha_bar)


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [RenoiseMasked]
