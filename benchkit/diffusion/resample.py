"""Corruption in latent space and resampling: blend by the mask (eq. 5), then DDIM to the clean end (eq. 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from benchkit.api import ResamplingCorruptor, StepContext, denoise_step
from benchkit.diffusion.checks import call, check_unchanged
from benchkit.diffusion.masks import blend
from benchkit.errors import BenchkitError, PluginError

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import Attend, LatentContext, LatentCorruptor
    from benchkit.diffusion.schedule import Predict, Schedule

    #: eps(z, t, condition), the condition with one row per latent; where a corruptor replaces self-attention also
    #: `attend` and the mask inside which it is replaced.
    ConditionedPredict = Callable[..., Tensor]
    #: Captions -> their condition for ConditionedPredict.
    Embed = Callable[[tuple[str | None, ...]], Any]


def resample(predict: Predict, schedule: Schedule, z: Tensor, steps: int) -> Tensor:
    """Return z_0, (N, C, h, w), after `steps` steps of deterministic DDIM from z (eq. 6, eta = 0).

    predict(z, t): eps for the images' captions. With 0 steps, z is returned as it is.
    """
    for k in range(schedule.check_steps(steps), 0, -1):
        phi, psi = schedule.coefficients(k)
        z = denoise_step(z, predict(z, schedule.t(k)), phi, psi)
    return z


def corrupt(corruptor: LatentCorruptor, at: LatentContext) -> Tensor:
    """Return z_t^corr = (1 - m) z_t + m f, (N, C, h, w), exact to the bit on both sides (eq. 5).

    The corruptor receives copies. Raises PluginError that names it if it fails, changes its input, or returns anything
    but finite latents of the right shape and dtype; BenchkitError if it needs reference images and has none.
    """
    copy = _copy_context(corruptor, at)
    inside = call(corruptor, partial(corruptor.corrupt, copy), like=at.z_t, where=at.mask)
    check_unchanged(corruptor, copy, at, ("z_t", "z_0", "mask"))
    return blend(at.z_t, inside, at.mask)


def corrupt_and_resample(
    predict: ConditionedPredict, embed: Embed, schedule: Schedule, corruptor: LatentCorruptor, at: LatentContext
) -> Tensor:
    """Return what a corruptor makes of a batch: z_0, (N, C, h, w), after eq. 5 and `corruptor.steps` steps of eq. 6.

    at: the batch, inverted by the corruptor's number of steps. Raises BenchkitError for a batch that was inverted by
    another number, PluginError for a corruptor that breaks its contract.
    """
    steps = check_inverted(corruptor, schedule, at)
    z = corrupt(corruptor, at)
    if not isinstance(corruptor, ResamplingCorruptor):
        condition = embed(at.captions)
        return resample(lambda z, t: predict(z, t, condition), schedule, z, steps)
    for k in range(steps, 0, -1):
        z = _take_step(corruptor, predict, embed, schedule, at, z, k)
    return z


def check_inverted(corruptor: LatentCorruptor, schedule: Schedule, at: LatentContext) -> int:
    """Return a corruptor's number of steps; raise BenchkitError for a batch that was inverted by another number."""
    steps = schedule.check_steps(corruptor.steps)
    if not math.isclose(at.alpha_bar, schedule.alpha_bar[steps], rel_tol=1e-9, abs_tol=1e-12):
        raise BenchkitError(
            f"corruptor '{corruptor.name}' takes {steps} steps, where alpha_bar is {schedule.alpha_bar[steps]:.6g}; "
            f"these latents were inverted to alpha_bar {at.alpha_bar:.6g}"
        )
    return steps


def _take_step(
    corruptor: ResamplingCorruptor,
    predict: ConditionedPredict,
    embed: Embed,
    schedule: Schedule,
    at: LatentContext,
    z_t: Tensor,
    k: int,
) -> Tensor:
    """Return z_s as the corruptor computes it from z_t, which stands at step k."""
    t, (phi, psi), allowed, evaluations = schedule.t(k), schedule.coefficients(k), corruptor.network_evaluations(), 0

    def eps(z: Tensor, captions: Sequence[str | None], attend: Attend | None) -> Tensor:
        nonlocal evaluations
        evaluations += 1
        if evaluations > allowed:
            raise PluginError(
                f"corruptor '{corruptor.name}' evaluates the network {evaluations} times at step {k}, more often than "
                f"its network_evaluations() says ({allowed})"
            )
        if z.shape != z_t.shape or len(captions) != len(z):
            raise PluginError(f"corruptor '{corruptor.name}' asked for eps of other images than it received")
        replaced = () if attend is None else (attend, at.mask)
        # A copy, because the memory alignment of a view can change the last bit of a product.
        return predict(z.clone(), t, embed(tuple(captions)), *replaced)

    copy = _copy_context(corruptor, at)
    step = StepContext(copy, z_t.clone(), k, t, phi, psi, schedule.alpha_bar[k], schedule.alpha_bar[k - 1], eps)
    z_s = call(corruptor, partial(corruptor.step, step), like=z_t)
    check_unchanged(corruptor, copy, at, ("z_t", "z_0", "mask"))
    return z_s


def _copy_context(corruptor: LatentCorruptor, at: LatentContext) -> LatentContext:
    """Return a copy of a context, with reference images only if the corruptor needs them."""
    reference = at.reference if corruptor.needs_reference() else None
    if corruptor.needs_reference() and reference is None:
        raise BenchkitError(f"corruptor '{corruptor.name}' needs reference images: give it a set of two images or more")
    return replace(at, z_t=at.z_t.clone(), z_0=at.z_0.clone(), mask=at.mask.clone(), reference=reference)
