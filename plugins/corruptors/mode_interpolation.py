"""A latent part of the way to another image's: samples between two modes of the data.

Aithal, Maini, Lipton and Kolter, "Understanding hallucinations in diffusion models through mode interpolation"
(NeurIPS 2024), find that diffusion models hallucinate where they interpolate between nearby modes (Sec. 4). They
explain such samples and make none at will; this is the simplest way to make one inside a mask.
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
    """f = z_t + sqrt(alpha_bar) w (z_0' - z_0): the clean part moves a fraction w of the way to a reference image's.

    The noise part of z_t stays the image's own, so that the latent keeps the magnitude of its level, which a mean of
    two inverted latents would not. reference=image draws another image of the set; reference=mirror is the image
    itself, left and right exchanged, and needs no other. Between the captions of two images interpolates
    `prompt-swap`, with guidance=0.5.
    """

    name = "mode-interpolation"
    weight: float = param(0.5, ge=0, le=1, doc="how far towards the reference image; 0 is the round trip")
    reference: str = param("image", choices=("image", "mirror"), doc="whose latent is the other mode")

    def needs_reference(self) -> bool:
        return self.reference == "image"

    def corrupt(self, at: LatentContext) -> Tensor:
        other = at.reference.z_0 if self.reference == "image" and at.reference else at.z_0.flip(-1)
        return at.z_t + math.sqrt(at.alpha_bar) * self.weight * (other - at.z_0)


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [ModeInterpolation]
