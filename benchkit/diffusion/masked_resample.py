"""Resample corrupted latents with masked evaluations of the denoiser: the grid's `sampling.resampling: masked`.

The round trip is resampled beside the corruptions of one image, step by step, so that one step's record is kept at a
time. Outside of the tiles that the mask touches, the result is the round trip's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from benchkit.api import denoise_step
from benchkit.diffusion.masked_unet import HALO, Record, can_be_halved, find_levels, find_work, make_whole_levels
from benchkit.diffusion.resample import resample

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.diffusion.backend import DiffusionBackend
    from benchkit.diffusion.condition import Condition

#: Masks that leave at most this part of an evaluation's multiply-adds are evaluated masked, the others exactly. At 0.27
#: an evaluation was 3.1 times as fast as an exact one, at 0.56 1.7 times (docs/explanation/performance.md).
MOST_WORK = 0.4
#: Latents with a shorter side than this are always evaluated exactly. Masked evaluations take one image at a time, and
#: a small network spends most of such an evaluation on other things than multiply-adds.
SMALLEST_SIDE = 32


def resample_all(
    backend: DiffusionBackend, z_t: Tensor, corrupted: Sequence[Tensor], masks: Tensor, condition: Condition, steps: int
) -> list[Tensor]:
    """Return z_0 of several corruptions of one batch, each (N, C, h, w), after `steps` steps of eq. 6.

    z_t: the inverted latents before the corruption, (N, C, h, w). corrupted: each corruption's latents, which equal z_t
    outside of the masks, (N, 1, h, w) bool. Images whose mask is compact are evaluated masked, the others exactly.
    Which ones are is decided by the mask alone, so that a result does not depend on the other corruptions.
    """
    compact = [i for i in range(len(z_t)) if is_compact(backend, masks[i, 0].cpu())]
    rest = [i for i in range(len(z_t)) if i not in compact]
    results = [torch.empty_like(z) for z in corrupted]
    if rest:
        own = condition[rest]
        for z, result in zip(corrupted, results, strict=True):
            result[rest] = resample(lambda x, t: backend.predict(x, t, own), backend.schedule, z[rest], steps)
    for i in compact:
        row = slice(i, i + 1)
        found = resample_masked(backend, z_t[row], [z[row] for z in corrupted], masks[i, 0], condition[row], steps)
        for result, z_0 in zip(results, found, strict=True):
            result[row] = z_0
    return results


def resample_masked(
    backend: DiffusionBackend,
    z_t: Tensor,
    corrupted: Sequence[Tensor],
    mask: Tensor,
    condition: Condition,
    steps: int,
    halo: int = HALO,
) -> list[Tensor]:
    """Return z_0 of several corruptions of one image, each (1, C, h, w), by masked evaluations.

    The arguments are those of `resample_all` for one image; mask: (h, w) bool. halo: pixels by which it grows.
    """
    config, height, width = backend.denoiser_config, *mask.shape
    whole, touched = (
        make_whole_levels(config, (height, width), z_t.device),
        find_levels(config, mask.to(z_t.device), halo),
    )
    trip, latents = z_t, list(corrupted)
    for k in range(backend.schedule.check_steps(steps), 0, -1):
        (phi, psi), t, record = backend.schedule.coefficients(k), backend.schedule.t(k), Record()
        trip = denoise_step(trip, backend.predict(trip, t, condition, partial_evaluation=(whole, record)), phi, psi)
        latents = [
            denoise_step(z, backend.predict(z, t, condition, partial_evaluation=(touched, record)), phi, psi)
            for z in latents
        ]
    return latents


def is_compact(backend: DiffusionBackend, mask: Tensor) -> bool:
    """Return whether a latent mask (h, w) bool leaves little enough of an evaluation's work."""
    shape = mask.shape[0], mask.shape[1]
    if not mask.any() or min(shape) < SMALLEST_SIDE or not can_be_halved(backend.denoiser_config, shape):
        return False
    return find_work(backend.denoiser_config, backend.count_multiply_adds(shape), mask) <= MOST_WORK
