"""x = g(x) for a batch of images, each solved as if it were alone (Anderson 1965, type II)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

#: Added to the normal equations, as a fraction of their trace: near a solution the differences are nearly parallel.
RIDGE = 1e-10


def fixed_point(
    update: Callable[[Tensor], Tensor], start: Tensor, tolerance: float, max_iterations: int, memory: int
) -> Tensor:
    """Iterate x <- g(x) from `start` until each image changes by at most `tolerance` (root mean square).

    update: g, (N, C, h, w) -> the same; row i of its result may depend on row i alone. memory: how many earlier
    iterates are combined; 0 is plain iteration. g is always called on the whole batch, in which a converged image
    stays put, so that no image's result depends on how long its neighbours take. An image that has not converged
    after `max_iterations` calls keeps the g(x) with the smallest change. Returns (N, C, h, w).
    """
    x, best = start, start
    smallest = torch.full((start.shape[0],), torch.inf, dtype=torch.float64, device=start.device)
    history: list[tuple[Tensor, Tensor]] = []
    for _ in range(max_iterations):
        image = update(x)
        change = (image - x).double().square().mean(dim=(1, 2, 3)).sqrt()
        # The first change is taken whatever it is, so that a network gone NaN shows in the result.
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
    """The combination of the images g(x_j) whose combined residual is least, image by image."""
    x, image = history[-1]
    if len(history) == 1:
        return image
    residual = (image - x).double().flatten(1)
    residual_steps = [residual - (g - y).double().flatten(1) for y, g in history[:-1]]
    # Sums of products rather than batched matrix products, whose rounding may depend on the batch.
    gram = torch.stack([torch.stack([(a * b).sum(1) for b in residual_steps], 1) for a in residual_steps], 1)
    right = torch.stack([(a * residual).sum(1) for a in residual_steps], 1)
    scale = gram.diagonal(dim1=1, dim2=2).sum(1) * RIDGE + torch.finfo(torch.float64).tiny
    eye = torch.eye(len(residual_steps), dtype=gram.dtype, device=gram.device)
    # An image that has stopped has a zero matrix, which must not raise on behalf of the others.
    weights, _ = torch.linalg.solve_ex(gram + scale[:, None, None] * eye, right)
    weights = torch.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)
    step = sum(w[:, None, None, None] * (image - g).double() for w, (_, g) in zip(weights.T, history[:-1], strict=True))
    return (image.double() - step).to(image.dtype)
