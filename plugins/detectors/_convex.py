"""Logistic regression with an L2 penalty, by L-BFGS; imported inside `fit()` only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

#: L-BFGS ends where no component of the gradient is larger; at most so many iterations.
GRADIENT, ITERATIONS = 1e-6, 500


def fit_logistic(head: Any, features: Tensor, labels: Tensor, weights: Tensor, l2: float) -> None:
    """Set a 1x1 convolution with two outputs to the minimum of the penalised mean cross-entropy.

    features: (N, C, h, w), labels: (N, h, w) in [0, 1], weights: (N, h, w), all as `FrozenDetector.fit` has them. With
    the log-odds z = w x + b of an artifact, the cross-entropy of a cell is softplus(z) - y z. The head's logits are 0
    and z.
    """
    counted = weights.flatten() > 0
    x = features.permute(0, 2, 3, 1).flatten(0, 2)[counted]
    y, share = labels.flatten()[counted], weights.flatten()[counted]
    share = share / share.sum()
    w = torch.zeros(x.shape[1], device=x.device, requires_grad=True)
    prior = (share * y).sum().clamp(1e-6, 1 - 1e-6)
    b = torch.logit(prior)[None].detach().requires_grad_()
    solver = torch.optim.LBFGS(
        [w, b],
        max_iter=ITERATIONS,
        tolerance_grad=GRADIENT,
        tolerance_change=1e-12,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Any:
        solver.zero_grad()
        z = x @ w + b
        value = (share * (functional.softplus(z) - y * z)).sum() + l2 / 2 * w.square().sum()
        value.backward()
        return value

    solver.step(loss)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        head.weight[1] = w[:, None, None]
        head.bias[1] = b[0]
