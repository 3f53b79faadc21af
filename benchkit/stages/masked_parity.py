"""Compare masked resampling with exact resampling, before a run resamples masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchkit.api import Inverter
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env, Model, Output, Stage, packed
from benchkit.stages.images import Source, to_tensor

if TYPE_CHECKING:
    from torch import Tensor

#: How many images are compared, after how many steps, and the part of the latent that the mask covers: a square.
IMAGES, STEPS, PART = 2, 10, 0.1
#: Each result must be this close to the exact one inside the mask, in dB.
CLOSENESS = 40.0


@dataclass(frozen=True)
class MaskedParity(Stage):
    """How far masked resampling is from exact resampling inside the mask: `closeness`, (N,) in dB.

    source: the first images of the plan's first chunk. inverter: the plan's first one, with its identity.
    """

    source: Source
    model: Model
    inverter: Spec
    identity: str
    steps: int

    def run(self, env: Env) -> Output:
        import torch

        from benchkit.diffusion.masked_resample import resample_masked
        from benchkit.diffusion.masks import blend
        from benchkit.diffusion.noise import ImageNoise
        from benchkit.diffusion.pipeline import invert_latents, resample_latents

        samples = self.source.read(env)
        captions, noise = [sample.caption for sample in samples], ImageNoise(0, [sample.id for sample in samples])
        backend = env.backend(self.model)
        z_0 = backend.encode(to_tensor(np.stack([sample.image for sample in samples])))
        inverter = env.registry.make(self.inverter, Inverter)  # type: ignore[type-abstract]
        z_t = invert_latents(backend, inverter, z_0, captions, noise, self.steps)[-1]
        mask = make_square(z_t.shape[2], z_t.shape[3]).to(z_t.device)
        # Gaussian noise is the strongest of the paper's corruptions.
        corrupted = blend(z_t, noise.normal(z_t.shape[1:]).to(z_t), mask.expand(len(z_t), 1, -1, -1))
        condition, found = backend.embed(captions), []
        for i in range(len(z_t)):
            row = slice(i, i + 1)
            exact = resample_latents(backend, corrupted[row], captions[row], self.steps)
            (masked,) = resample_masked(backend, z_t[row], [corrupted[row]], mask, condition[row], self.steps)
            error = (masked - exact)[..., mask].double().square().mean()
            spread = (exact.max() - exact.min()).double()
            found.append(10 * torch.log10(spread**2 / error.clamp(min=1e-12)).item())
        return packed({"closeness": np.array(found)})

    def describe(self) -> str:
        return "compare masked with exact resampling"


def make_square(height: int, width: int) -> Tensor:
    """Return a mask (h, w) bool of a square in the middle that covers PART of a latent."""
    import torch

    side = max(1, round((PART * height * width) ** 0.5))
    side = min(side, height, width)
    mask = torch.zeros(height, width, dtype=torch.bool)
    top, left = (height - side) // 2, (width - side) // 2
    mask[top : top + side, left : left + side] = True
    return mask
