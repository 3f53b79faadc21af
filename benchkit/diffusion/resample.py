"""Corruption in latent space and the way back: blend by the mask (eq. 5), resample to the clean end (eq. 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from benchkit.diffusion.checks import call
from benchkit.diffusion.schedule import ddim_step
from benchkit.errors import BenchkitError, PluginError
from benchkit.masks import blend

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import LatentContext, LatentCorruptor
    from benchkit.diffusion.schedule import Predict, Schedule

    #: eps(z, t, condition): the condition has one row per latent, (N, tokens, width).
    ConditionedPredict = Callable[[Tensor, int, Tensor], Tensor]


def resample(predict: Predict, schedule: Schedule, z: Tensor, level: int) -> Tensor:
    """Deterministic DDIM from `level` to the clean end (eq. 6, eta = 0): (N, C, h, w) -> z_0 of the same shape.

    predict(z, t): eps with the captions bound. Level 0 returns z as it is.
    """
    for k in range(schedule.check_level(level), 0, -1):
        z = ddim_step(z, predict(z, schedule.t(k)), *schedule.coefficients(k))
    return z


def corrupt(corruptor: LatentCorruptor, at: LatentContext) -> Tensor:
    """z_t^corr: the corruptor's latents inside the mask, z_t outside, bit for bit (eq. 5); (N, C, h, w).

    The corruptor sees copies. Raises PluginError naming it when it fails, changes what it was shown, or returns
    anything but finite latents of the right shape and dtype.
    """
    shown = replace(at, z_t=at.z_t.clone(), z_0=at.z_0.clone(), mask=at.mask.clone())
    inside = call(corruptor, partial(corruptor.corrupt, shown), like=at.z_t, where=at.mask)
    for field in ("z_t", "z_0", "mask"):
        if not torch.equal(getattr(shown, field), getattr(at, field)):
            raise PluginError(f"corruptor '{corruptor.name}' changed its input {field} in place: work on a copy")
    return blend(at.z_t, inside, at.mask)


def corrupt_and_resample(
    predict: ConditionedPredict,
    schedule: Schedule,
    corruptors: Sequence[LatentCorruptor],
    at: LatentContext,
    condition: Tensor,
    chunk: int = 16,
) -> list[Tensor]:
    """What each corruptor makes of the same images: z_0 after eq. 5 and eq. 6, (N, C, h, w), in the given order.

    corruptors: all at one level (`steps`), at which `at` stands. condition: (N, tokens, width). All methods share one
    loop over the steps; within it the network sees one method's `chunk` of images at a time, always the same rows, so
    that no method's result depends, to the bit, on which others are there. Raises BenchkitError for mixed levels or a
    context of another level, PluginError for a corruptor that breaks its contract.
    """
    if not corruptors:
        return []
    level = _common_level(schedule, corruptors, at, condition)
    # Tensors of their own rather than views into one: a view's memory alignment can change a product's last bit.
    conditions = [rows.clone() for rows in condition.split(chunk)]
    slices = [rows.clone() for c in corruptors for rows in corrupt(c, at).split(chunk)]
    for k in range(level, 0, -1):
        t, (phi, psi) = schedule.t(k), schedule.coefficients(k)
        for i, z in enumerate(slices):
            slices[i] = ddim_step(z, predict(z, t, conditions[i % len(conditions)]), phi, psi)
    return [torch.cat(slices[i : i + len(conditions)]) for i in range(0, len(slices), len(conditions))]


def _common_level(
    schedule: Schedule, corruptors: Sequence[LatentCorruptor], at: LatentContext, condition: Tensor
) -> int:
    level = schedule.check_level(corruptors[0].steps)
    other = next((c for c in corruptors if c.steps != level), None)
    if other is not None:
        raise BenchkitError(
            f"corruptors of different levels in one batch: '{corruptors[0].name}' steps={level}, "
            f"'{other.name}' steps={other.steps}"
        )
    if len(condition) != len(at.z_t):
        raise BenchkitError(f"{len(condition)} captions for {len(at.z_t)} images")
    if not math.isclose(at.alpha_bar, schedule.alpha_bar[level], rel_tol=1e-9, abs_tol=1e-12):
        raise BenchkitError(
            f"the latents stand at alpha_bar {at.alpha_bar:.6g}, level {level} at {schedule.alpha_bar[level]:.6g}"
        )
    return level
