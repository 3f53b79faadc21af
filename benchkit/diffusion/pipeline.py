"""The corruption pipeline of the paper's Section 3.2: invert, corrupt inside the mask, resample, decode.

Stages, the Python API, the previews and the figures all call these functions, so that a method gives the same images
whichever way it is reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, PixelContext
from benchkit.diffusion.inversion import trajectory
from benchkit.diffusion.masks import to_latent
from benchkit.diffusion.pixels import corrupt_pixels
from benchkit.diffusion.resample import corrupt_and_resample, resample
from benchkit.specs.spec import CHUNK

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import Inverter, LatentCorruptor, Noise, PixelCorruptor, Reference
    from benchkit.diffusion.backend import DiffusionBackend

    Captions = Sequence[str | None]


@dataclass(frozen=True)
class Batch:
    """Clean images that are corrupted together.

    z_0: (N, C, h, w) float32, the scaled mean of the encoder's posterior. masks: (N, H, W) bool, the selected pixels.
    captions: one an image. rng: the images' noise. reference: another image for each, where a corruptor reads one.
    """

    z_0: Tensor
    masks: Tensor
    captions: tuple[str | None, ...]
    rng: Noise
    reference: Reference | None = None


def invert_latents(
    backend: DiffusionBackend,
    inverter: Inverter,
    z_0: Tensor,
    captions: Captions,
    rng: Noise,
    steps: int,
    start: tuple[int, Tensor] | None = None,
) -> list[Tensor]:
    """Return the inverted latents after `start` up to `steps` (eq. 2), each (N, C, h, w); an empty list for 0 steps.

    start: a number of steps and the latents that an earlier call reached there; None starts from z_0.
    """
    condition = backend.embed(captions)
    return trajectory(inverter, lambda z, t: backend.predict(z, t, condition), backend.schedule, z_0, rng, start, steps)


def latent_context(backend: DiffusionBackend, batch: Batch, z_t: Tensor, steps: int) -> LatentContext:
    """Return what a corruptor is shown of a batch that was inverted to `z_t` in `steps` steps."""
    return LatentContext(
        z_t=z_t,
        z_0=batch.z_0,
        mask=to_latent(batch.masks, backend.factor).to(batch.z_0.device),
        alpha_bar=backend.schedule.alpha_bar[steps],
        image_side=max(batch.masks.shape[1:]),
        captions=batch.captions,
        rng=batch.rng,
        reference=batch.reference,
    )


def corrupt_latents(
    backend: DiffusionBackend, corruptors: Sequence[LatentCorruptor], at: LatentContext
) -> list[Tensor]:
    """Return what each corruptor makes of a batch: z_0 after eq. 5 and eq. 6, (N, C, h, w).

    All corruptors take the same number of steps, at which `at` stands. Decode the results with `backend.decode`.
    """
    condition = backend.embed(at.captions)
    return corrupt_and_resample(backend.predict, backend.schedule, corruptors, at, condition, CHUNK, backend.embed)


def corrupt_images(
    backend: DiffusionBackend,
    corruptor: PixelCorruptor,
    images: Tensor,
    masks: Tensor,
    captions: tuple[str | None, ...],
    rng: Noise,
) -> Tensor:
    """Return images corrupted in pixel space and passed through the autoencoder once, (N, 3, H, W) in [0, 1]."""
    at = PixelContext(images.cpu(), masks[:, None], captions, rng)
    return corrupt_pixels(backend.autoencode, corruptor, at)


def resample_latents(backend: DiffusionBackend, z_t: Tensor, captions: Captions, steps: int) -> Tensor:
    """Return z_0 after `steps` steps of plain DDIM from z_t (eq. 6): the round trip's second half."""
    condition = backend.embed(captions)
    return resample(lambda z, t: backend.predict(z, t, condition), backend.schedule, z_t, steps)
