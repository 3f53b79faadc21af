"""Compare masked resampling with exact resampling, before a run resamples masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchkit.api import Inverter
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env, Model, Output, Stage, pack_arrays
from benchkit.stages.images import Source, to_tensor

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.diffusion.backend import DiffusionBackend

#: How many images are compared, after how many steps, and the largest part of the latent that a mask covers.
IMAGES, STEPS, PART = 2, 10, 0.1
#: Each result must be this close to the exact one inside the mask, in dB.
CLOSENESS = 40.0
#: Of an image that no run evaluates masked.
EQUAL = 120.0


@dataclass(frozen=True)
class MaskedParity(Stage):
    """How far masked resampling is from exact resampling inside the mask: `closeness`, one for each image and mask, dB.

    source: the first images of a set's first chunk. inverter: the plan's first one, with its identity.
    """

    source: Source
    model: Model
    inverter: Spec
    identity: str
    steps: int

    def run(self, env: Env) -> Output:
        from benchkit.diffusion.noise import ImageNoise
        from benchkit.diffusion.pipeline import invert_latents

        samples = self.source.read(env)
        captions, noise = [sample.caption for sample in samples], ImageNoise(0, [sample.id for sample in samples])
        backend = env.backend(self.model)
        z_0 = backend.encode(to_tensor(np.stack([sample.image for sample in samples])))
        masks = list_masks(backend, (z_0.shape[2], z_0.shape[3]))
        if not masks:
            return pack_arrays({"closeness": np.array([EQUAL])})
        inverter = env.registry.make(self.inverter, Inverter)  # type: ignore[type-abstract]
        z_t = invert_latents(backend, inverter, z_0, captions, noise, self.steps)[-1]
        # Gaussian noise is the strongest of the paper's corruptions.
        other = noise.normal(z_t.shape[1:]).to(z_t)
        found = [
            self._compare(backend, z_t[i : i + 1], other[i : i + 1], captions[i : i + 1], mask.to(z_t.device))
            for mask in masks
            for i in range(len(z_t))
        ]
        return pack_arrays({"closeness": np.array(found)})

    def _compare(
        self, backend: DiffusionBackend, z_t: Tensor, other: Tensor, captions: list[str | None], mask: Tensor
    ) -> float:
        """Return how far one masked result is from the exact one inside the mask, in dB of the exact one's range."""
        import torch

        from benchkit.diffusion.masked_resample import resample_masked
        from benchkit.diffusion.masks import blend
        from benchkit.diffusion.pipeline import resample_latents

        corrupted = blend(z_t, other, mask[None, None])
        exact = resample_latents(backend, corrupted, captions, self.steps)
        (masked,) = resample_masked(backend, z_t, [corrupted], mask, backend.embed(captions), self.steps)
        error = (masked - exact)[..., mask].double().square().mean()
        spread = (exact.max() - exact.min()).double()
        return float(10 * torch.log10(spread**2 / error.clamp(min=1e-12)))

    def describe(self) -> str:
        return "compare masked with exact resampling"


def list_masks(backend: DiffusionBackend, shape: tuple[int, int]) -> list[Tensor]:
    """Return a square in the middle and a strip along the upper edge, (h, w) bool, as large as a run evaluates masked.

    They cover at most PART of the latent. Empty where no such mask is evaluated masked.
    """
    from benchkit.diffusion.masked_resample import is_compact

    height, width = shape
    squares = (_mask_square(shape, side) for side in range(round((PART * height * width) ** 0.5), 0, -1))
    strips = (_mask_strip(shape, rows) for rows in range(round(PART * height), 0, -1))
    found = (next((mask for mask in masks if is_compact(backend, mask)), None) for masks in (squares, strips))
    return [mask for mask in found if mask is not None]


def _mask_square(shape: tuple[int, int], side: int) -> Tensor:
    import torch

    mask = torch.zeros(shape, dtype=torch.bool)
    top, left = ((own - side) // 2 for own in shape)
    mask[max(0, top) : top + side, max(0, left) : left + side] = True
    return mask


def _mask_strip(shape: tuple[int, int], rows: int) -> Tensor:
    import torch

    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:rows] = True
    return mask
