"""Noise regularisation of ReNoise (Garibi et al. 2024, Sec. 3.4).

Every loss is a sum of one term per image, so the gradients of images are independent. The step sizes are the authors',
for noise of variance near 1, as a network predicts it. For noise of a thousandth of that variance in latents of 16x16
or less the descent diverges, and the result is not finite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

ROUNDS = 4
PATCH = 4
KL_RATE = 0.065
KL_CLIP = 100.0
VARIANCE_FLOOR = 1e-6
CORRELATION_RATE = 20.0
CORRELATION_STEPS = 5
COARSEST_SIDE = 8


def patch_divergence(eps: Tensor, target: Tensor) -> Tensor:
    """Return the sum over channels and 4x4 patches of |log(v1/v0) + (v0 + (mu0 - mu1)^2)/v1 - 1|, (N,).

    0 is eps, 1 the target, both (N, C, h, w). Variances are unbiased, plus 1e-6. Incomplete patches at the right and
    lower edge are ignored.
    """
    if min(eps.shape[-2:]) < PATCH:
        return eps.sum(dim=(1, 2, 3)) * 0
    mean_0, var_0 = _patch_statistics(eps)
    mean_1, var_1 = _patch_statistics(target)
    terms = torch.log(var_1 / var_0) + (var_0 + (mean_0 - mean_1) ** 2) / var_1 - 1
    return terms.abs().sum(dim=(1, 2, 3))


def _patch_statistics(plane: Tensor) -> tuple[Tensor, Tensor]:
    patches = plane.unfold(-2, PATCH, PATCH).unfold(-2, PATCH, PATCH).flatten(-2)
    return patches.mean(dim=-1), patches.var(dim=-1, unbiased=True) + VARIANCE_FLOOR


def pyramid_levels(height: int, width: int) -> int:
    """Return the number of resolutions that `pair_correlation` reads: halved until the shorter side is at most 8."""
    side, levels = min(height, width), 1
    while side > COARSEST_SIDE:
        side, levels = side // 2, levels + 1
    return levels


def pair_correlation(eps: Tensor, draws: Tensor) -> Tensor:
    """Return the sum over channels, pyramid levels and both axes of mean(n * roll(n, k))^2, (N,).

    eps: (N, C, h, w). draws: (N, C, levels) in [0, 1); k = floor(draw * side // 2) along an axis of that side, so both
    axes of a square latent share one k.
    """
    total, plane = eps.new_zeros(eps.shape[0]), eps
    for level in range(draws.shape[-1]):
        for axis in (-2, -1):
            half = max(plane.shape[axis] // 2, 1)
            shift = (draws[..., level] * half).long()
            total = total + ((plane * _roll(plane, shift, axis)).mean(dim=(-2, -1)) ** 2).sum(dim=1)
        if level + 1 < draws.shape[-1]:
            plane = F.avg_pool2d(plane, kernel_size=2)
    return total


def _roll(plane: Tensor, shift: Tensor, axis: int) -> Tensor:
    """Roll along one axis by a shift (N, C) for each image and channel."""
    side = plane.shape[axis]
    source = (torch.arange(side, device=plane.device) - shift.to(plane.device)[..., None]) % side
    source = source.unsqueeze(-1 if axis == -2 else -2).expand_as(plane)
    return plane.gather(axis, source)


def regularise_noise(eps: Tensor, target: Tensor, draws: Tensor) -> Tensor:
    """Return eps after four rounds of one gradient step on `patch_divergence` and five on `pair_correlation`.

    eps, target: (N, C, h, w). draws: (N, 4, 5, C, levels) in [0, 1), the shifts. Works under inference_mode, too.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Clones, because inference tensors cannot take part in a backward pass.
        eps, target = eps.detach().clone(), target.detach().clone()
        for outer in range(ROUNDS):
            slope = _gradient(lambda x: patch_divergence(x, target), eps)
            eps = eps - KL_RATE * slope.clamp(-KL_CLIP, KL_CLIP)
            for inner in range(CORRELATION_STEPS):
                shifts = draws[:, outer, inner]
                slope = _gradient(lambda x, shifts=shifts: pair_correlation(x, shifts), eps)  # type: ignore[misc]
                eps = eps - CORRELATION_RATE * slope / CORRELATION_STEPS
    return eps


def _gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    leaf = at.detach().requires_grad_()
    (slope,) = torch.autograd.grad(loss(leaf).sum(), leaf)
    return slope
