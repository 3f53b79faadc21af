"""Blended latent diffusion: resample the masked region, and replace its surroundings at every step.

Avrahami, Fried and Lischinski, "Blended Latent Diffusion" (SIGGRAPH 2023, Sec. 4). Their method edits towards a text.
Here the image keeps its own caption, and there is neither guidance nor the paper's refinement of the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, ResamplingCorruptor, StepContext, add_noise, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BlendedLatent(ResamplingCorruptor):
    """Resamples the masked region from forward-noised latents (eq. 4), next to the forward-noised image.

    Before each step, the latents outside the mask are replaced by z_0 with the noise of that step (eq. 4), as in
    blended latent diffusion (Avrahami et al., SIGGRAPH 2023). After the last step they are z_0 itself, so nothing
    changes outside the mask. Each step draws new noise; the first one uses the noise of the masked region.
    """

    name = "blended-latent"
    steps: int = param(20, ge=1, doc="DDIM steps from the clean end")

    def corrupt(self, at: LatentContext) -> Tensor:
        return add_noise(at.z_0, at.noise(), at.alpha_bar)

    def step(self, at: StepContext) -> Tensor:
        import torch  # here, so that listing plugins loads no torch

        start = at.start
        shape = tuple(start.z_0.shape[1:])
        first = at.step == self.steps
        noise = start.noise() if first else start.rng.normal(shape, stream=f"blended-latent {at.step}").to(start.z_0)
        z = torch.where(start.mask, at.z_t, add_noise(start.z_0, noise, at.alpha_bar))
        z_s = at.solve(at.eps(z), z)
        return torch.where(start.mask, z_s, start.z_0) if at.step == 1 else z_s


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [BlendedLatent]
