"""The corruption pipeline of the paper's Section 3.2: invert, corrupt inside the mask, resample, decode.

Stages, the Python API, the previews and the figures all call these functions, so a method gives the same images
everywhere; a run with `sampling.resampling: masked` approximates them. A batch is one chunk (`sampling.chunk`, 16
images by default); its size can change the last bits of a network's output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

from benchkit.api import LatentContext
from benchkit.diffusion.checks import call, check_unchanged
from benchkit.diffusion.inversion import compute_trajectory
from benchkit.diffusion.masked_resample import resample_all
from benchkit.diffusion.masks import blend, to_latent
from benchkit.diffusion.resample import check_inverted, corrupt, corrupt_and_resample, resample

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import Inverter, LatentCorruptor, Noise, PixelContext, PixelCorruptor, Reference
    from benchkit.diffusion.backend import DiffusionBackend

    Captions = Sequence[str | None]


@dataclass(frozen=True)
class Batch:
    """Clean images that are corrupted together.

    z_0: (N, C, h, w) float32, the scaled mean of the encoder's posterior. masks: (N, H, W) bool, the selected pixels.
    captions: one per image. rng: the images' noise. reference: another image for each, if a corruptor needs one.
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
    """Return the inverted latents after each step beyond `start`, up to `steps` (eq. 2), each (N, C, h, w).

    start: (number of steps, latents there) of an earlier call; None starts from z_0.
    """
    condition = backend.embed(captions)
    return compute_trajectory(
        inverter, lambda z, t: backend.predict(z, t, condition), backend.schedule, z_0, rng, start, steps
    )


def latent_context(backend: DiffusionBackend, batch: Batch, z_t: Tensor, steps: int) -> LatentContext:
    """Return what a corruptor receives of a batch that was inverted to `z_t` in `steps` steps."""
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
    backend: DiffusionBackend, corruptors: Sequence[LatentCorruptor], at: LatentContext, masked: bool = False
) -> list[Tensor]:
    """Return what each corruptor makes of a batch: z_0 after eq. 5 and eq. 6, (N, C, h, w).

    All corruptors take the number of steps by which `at` was inverted. masked: approximate eq. 6 by evaluations of the
    denoiser inside compact masks only; no corruptor may act while resampling. Decode the results with `backend.decode`.
    """
    if masked:
        steps = {check_inverted(corruptor, backend.schedule, at) for corruptor in corruptors}
        latents = [corrupt(corruptor, at) for corruptor in corruptors]
        return resample_all(backend, at.z_t, latents, at.mask, backend.embed(at.captions), *steps)
    embed = cache(backend.embed)  # corruptors share the captions' conditions
    return [corrupt_and_resample(backend.predict, embed, backend.schedule, c, at) for c in corruptors]


def corrupt_pixels(autoencode: Callable[[Tensor], Tensor], corruptor: PixelCorruptor, at: PixelContext) -> Tensor:
    """Return images corrupted inside the mask, after one pass through the autoencoder, (N, 3, H, W) in [0, 1].

    The corruptor receives copies. Raises PluginError that names it if it fails, changes its input, or returns anything
    but finite images.
    """
    copy = replace(at, images=at.images.clone(), mask=at.mask.clone())
    inside = call(corruptor, partial(corruptor.corrupt, copy), like=at.images, where=at.mask)
    check_unchanged(corruptor, copy, at, ("images", "mask"))
    return autoencode(blend(at.images, inside.clamp(0, 1), at.mask))


def resample_latents(backend: DiffusionBackend, z_t: Tensor, captions: Captions, steps: int) -> Tensor:
    """Return z_0 after `steps` steps of plain DDIM from z_t (eq. 6): the second half of the round trip."""
    condition = backend.embed(captions)
    return resample(lambda z, t: backend.predict(z, t, condition), backend.schedule, z_t, steps)
