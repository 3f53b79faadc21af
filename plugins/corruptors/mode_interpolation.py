"""Interpolation between the latents of two images.

Aithal, Maini, Lipton and Kolter, "Understanding hallucinations in diffusion models through mode interpolation"
(NeurIPS 2024, Sec. 4), find that diffusion models hallucinate where they interpolate between nearby modes. They explain
such samples but do not construct them; this is a simple way to construct one inside a mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ModeInterpolation(LatentCorruptor):
    """Interpolates towards a reference image: f = z_t + sqrt(alpha_bar) w (z_0' - z_0), with its clean latent z_0'.

    Only the clean part of z_t moves, by the fraction w. The noise part stays, so the latent keeps its magnitude, which
    a mean of two inverted latents would not. reference=image draws another image of the set, reference=mirror takes
    the same image with left and right exchanged. After Aithal et al. (NeurIPS 2024), who find that diffusion models
    hallucinate between nearby modes.
    """

    name = "mode-interpolation"
    weight: float = param(0.5, ge=0, le=1, doc="w, the fraction of the way to the reference image; 0 is the round trip")
    reference: str = param(
        "image", choices=("image", "mirror"), doc="reference image: another one of the set, or the mirrored image"
    )

    def needs_reference(self) -> bool:
        return self.reference == "image"

    def corrupt(self, at: LatentContext) -> Tensor:
        other = at.reference.z_0 if self.reference == "image" and at.reference else at.z_0.flip(-1)
        return at.z_t + math.sqrt(at.alpha_bar) * self.weight * (other - at.z_0)


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [ModeInterpolation]
