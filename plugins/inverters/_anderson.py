"""Anderson acceleration (Anderson 1965, type II): solve x = g(x) for each image of a batch independently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

#: Regularisation of the normal equations, as a fraction of their trace: near a solution they are nearly singular.
RIDGE = 1e-10


def fixed_point(
    update: Callable[[Tensor], Tensor], start: Tensor, tolerance: float, max_iterations: int, memory: int
) -> Tensor:
    """Iterate x <- g(x) from `start` until each image changes by at most `tolerance` (root mean square).

    update: g, (N, C, h, w) -> the same; row i of its result depends on row i only. memory: number of earlier iterates
    that are combined; 0 is plain iteration. g is always called with the whole batch, in which converged images no
    longer change, so no image's result depends on the others. An image that has not converged after `max_iterations`
    calls gets the g(x) with the smallest change. Returns (N, C, h, w).
    """
    x, best = start, start
    smallest = torch.full((start.shape[0],), torch.inf, dtype=torch.float64, device=start.device)
    history: list[tuple[Tensor, Tensor]] = []
    for _ in range(max_iterations):
        image = update(x)
        change = (image - x).double().square().mean(dim=(1, 2, 3)).sqrt()
        # The first iterate is kept in any case, so that NaN from the network reaches the result.
        better = (smallest > tolerance) & ((change < smallest) | smallest.isinf())
        best = torch.where(better[:, None, None, None], image, best)
        smallest = torch.where(better, change, smallest)
        active = smallest > tolerance
        if not bool(active.any()):
            break
        history = [*history, (x, image)][-memory - 1 :]
        x = torch.where(active[:, None, None, None], _extrapolate(history), x)
    return best


def _extrapolate(history: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return for each image the combination of the g(x_j) that minimises the combined residual."""
    x, image = history[-1]
    if len(history) == 1:
        return image
    residual = (image - x).double().flatten(1)
    residual_steps = [residual - (g - y).double().flatten(1) for y, g in history[:-1]]
    # Sums of products, because the rounding of batched matrix products may depend on the batch.
    gram = torch.stack([torch.stack([(a * b).sum(1) for b in residual_steps], 1) for a in residual_steps], 1)
    right = torch.stack([(a * residual).sum(1) for a in residual_steps], 1)
    scale = gram.diagonal(dim1=1, dim2=2).sum(1) * RIDGE + torch.finfo(torch.float64).tiny
    eye = torch.eye(len(residual_steps), dtype=gram.dtype, device=gram.device)
    # The matrix of a converged image is zero, which must not raise an error for the others.
    weights, _ = torch.linalg.solve_ex(gram + scale[:, None, None] * eye, right)
    weights = torch.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)
    step = sum(w[:, None, None, None] * (image - g).double() for w, (_, g) in zip(weights.T, history[:-1], strict=True))
    return (image.double() - step).to(image.dtype)
