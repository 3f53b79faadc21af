"""Corruption in latent space and the way back: blend by the mask (eq. 5), resample to the clean end (eq. 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from benchkit.api import ResamplingCorruptor, StepContext
from benchkit.diffusion.checks import call, check_unchanged
from benchkit.diffusion.masks import blend
from benchkit.diffusion.schedule import ddim_step
from benchkit.errors import BenchkitError, PluginError

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import Attend, LatentContext, LatentCorruptor
    from benchkit.diffusion.condition import Condition
    from benchkit.diffusion.schedule import Predict, Schedule

    #: eps(z, t, condition): the condition has one row per latent. A corruptor that replaces attention needs two
    #: arguments more: what attention returns, and the mask where it does.
    ConditionedPredict = Callable[..., Tensor]
    #: What a checkpoint makes of captions, or for a network in closed form a tensor; it has one row per caption.
    Rows = Condition | Tensor
    Embed = Callable[[Sequence[str | None]], Rows]


def resample(predict: Predict, schedule: Schedule, z: Tensor, steps: int) -> Tensor:
    """Deterministic DDIM from `steps` steps to the clean end (eq. 6, eta = 0): (N, C, h, w) -> z_0 of the same shape.

    predict(z, t): eps with the captions bound. 0 steps return z as it is.
    """
    for k in range(schedule.check_steps(steps), 0, -1):
        z = ddim_step(z, predict(z, schedule.t(k)), *schedule.coefficients(k))
    return z


def corrupt(corruptor: LatentCorruptor, at: LatentContext) -> Tensor:
    """z_t^corr: the corruptor's latents inside the mask, z_t outside, bit for bit (eq. 5); (N, C, h, w).

    The corruptor sees copies. Raises PluginError naming it when it fails, changes what it was shown, or returns
    anything but finite latents of the right shape and dtype; BenchkitError when it needs reference images and none are
    there.
    """
    shown = _copy(corruptor, at)
    inside = call(corruptor, partial(corruptor.corrupt, shown), like=at.z_t, where=at.mask)
    check_unchanged(corruptor, shown, at, ("z_t", "z_0", "mask"))
    return blend(at.z_t, inside, at.mask)


def corrupt_and_resample(
    predict: ConditionedPredict,
    schedule: Schedule,
    corruptors: Sequence[LatentCorruptor],
    at: LatentContext,
    condition: Rows,
    chunk: int = 16,
    embed: Embed | None = None,
) -> list[Tensor]:
    """What each corruptor makes of the same images: z_0 after eq. 5 and eq. 6, (N, C, h, w), in the given order.

    corruptors: all of one number of `steps`, at which `at` stands. condition: of at.captions, one row each; embed
    makes those of other captions. All methods share one loop over the steps, in which a ResamplingCorruptor takes its
    own; the network sees one method's `chunk` of images at a time, always the same rows, so that no method's result
    depends, to the bit, on which others are there. Raises BenchkitError for different numbers of steps or a context at
    another step, PluginError for a corruptor that breaks its contract.
    """
    if not corruptors:
        return []
    steps = _common_steps(schedule, corruptors, at, condition)
    network = _Network(predict, at, condition, chunk, embed)
    results = [corrupt(c, at) for c in corruptors]
    for k in range(steps, 0, -1):
        for i, corruptor in enumerate(corruptors):
            if isinstance(corruptor, ResamplingCorruptor):
                results[i] = _own_step(corruptor, at, results[i], k, schedule, network)
            else:
                eps = network(results[i], schedule.t(k), at.captions)
                results[i] = ddim_step(results[i], eps, *schedule.coefficients(k))
    return results


class _Network:
    """The denoiser of one batch, which sees `chunk` images at a time, always the same rows, under any captions."""

    def __init__(
        self, predict: ConditionedPredict, at: LatentContext, condition: Rows, chunk: int, embed: Embed | None
    ) -> None:
        self.predict, self.chunk, self.embed = predict, chunk, embed
        self.masks = at.mask.split(chunk)
        self.conditions = {at.captions: self._rows(condition)}

    def __call__(self, z: Tensor, t: int, captions: tuple[str | None, ...], attend: Attend | None = None) -> Tensor:
        if captions not in self.conditions:
            if self.embed is None:
                raise BenchkitError("other captions than the images' own need a text encoder: pass `embed`")
            self.conditions[captions] = self._rows(self.embed(captions))
        # Only asked for where it is wanted, so that any eps(z, t, condition) will do elsewhere.
        attention = [(attend, mask) if attend else () for mask in self.masks]
        rows = zip(self._rows(z), self.conditions[captions], attention, strict=True)
        return torch.cat([self.predict(z, t, condition, *more) for z, condition, more in rows])

    def _rows(self, batch: Rows) -> list[Any]:
        # Tensors of their own rather than views into one: a view's memory alignment can change a product's last bit.
        return [rows.clone() for rows in batch.split(self.chunk)]


def _own_step(
    corruptor: ResamplingCorruptor, at: LatentContext, z: Tensor, k: int, schedule: Schedule, network: _Network
) -> Tensor:
    """z_s as the corruptor takes the step from step k to step k-1."""
    spent = 0

    def predict(z: Tensor, captions: Sequence[str | None], attend: Attend | None) -> Tensor:
        nonlocal spent
        spent += 1
        if spent > corruptor.network_evaluations():
            raise PluginError(
                f"corruptor '{corruptor.name}' predicts more often than its network_evaluations() says: {spent} "
                f"times in the step "
                f"from step {k}, where network_evaluations() is {corruptor.network_evaluations()}"
            )
        if z.shape != at.z_t.shape or len(captions) != len(z):
            raise PluginError(f"corruptor '{corruptor.name}' asked for eps of other images than it was shown")
        return network(z, schedule.t(k), tuple(captions), attend)

    shown, alphas = _copy(corruptor, at), schedule.alpha_bar
    step = StepContext(shown, z.clone(), k, schedule.t(k), *schedule.coefficients(k), alphas[k], alphas[k - 1], predict)
    result = call(corruptor, partial(corruptor.step, step), like=z)
    check_unchanged(corruptor, shown, at, ("z_t", "z_0", "mask"))
    return result


def _copy(corruptor: LatentCorruptor, at: LatentContext) -> LatentContext:
    """What a corruptor is shown: copies, and reference images only if it needs them."""
    needed = corruptor.needs_reference()
    if needed and at.reference is None:
        raise BenchkitError(
            f"corruptor '{corruptor.name}' needs a second image to draw reference images from: give it a set"
        )
    reference = at.reference if needed else None
    return replace(at, z_t=at.z_t.clone(), z_0=at.z_0.clone(), mask=at.mask.clone(), reference=reference)


def _common_steps(schedule: Schedule, corruptors: Sequence[LatentCorruptor], at: LatentContext, condition: Rows) -> int:
    steps = schedule.check_steps(corruptors[0].steps)
    other = next((c for c in corruptors if c.steps != steps), None)
    if other is not None:
        raise BenchkitError(
            f"corruptors with different steps in one batch: '{corruptors[0].name}' steps={steps}, "
            f"'{other.name}' steps={other.steps}"
        )
    if len(condition) != len(at.z_t):
        raise BenchkitError(f"{len(condition)} captions for {len(at.z_t)} images")
    if not math.isclose(at.alpha_bar, schedule.alpha_bar[steps], rel_tol=1e-9, abs_tol=1e-12):
        raise BenchkitError(
            f"the latents stand at alpha_bar {at.alpha_bar:.6g}; step {steps} is at {schedule.alpha_bar[steps]:.6g}"
        )
    return steps
