"""The masked region resampled while its surroundings are held to the image at every step.

Avrahami, Fried and Lischinski, "Blended Latent Diffusion" (SIGGRAPH 2023, Sec. 4 and its algorithm): before each
denoising step, what lies outside the mask is replaced by the image's latent noised to that step's level. The noising
is the forward process (eq. 4) of z_0, so no inverted trajectory is read. The paper edits towards a text; here the
caption stays the image's own, there is no guidance, and its refinement of the decoder is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, ResamplingCorruptor, StepContext, add_noise, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BlendedLatent(ResamplingCorruptor):
    """Inside: forward-noised and resampled. Outside: z_0 forward-noised to each level, and z_0 itself at the end.

    So outside the mask the latents end as the clean ones, bit for bit (with an empty mask, all of them): no round trip
    shows there. Every level draws its own noise, as in the paper; the first shares the inside's.
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
