"""Gaussian filters, shared by the corruptors of this folder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, dtype


def gaussian_blur(planes: Tensor, sigma: float) -> Tensor:
    """Blur (N, C, h, w) with a Gaussian of `sigma` pixels, cut off at 4 sigma; border pixels are repeated."""
    import torch  # here and below, so that listing plugins loads no torch

    kernel = gaussian_kernel(sigma, torch.float64)
    return filter_planes(planes, kernel / kernel.sum())


def gaussian_kernel(sigma: float, kind: dtype) -> Tensor:
    """Return exp(-d^2 / 2 sigma^2) for integer distances d of at most 4 sigma pixels, not normalised."""
    import torch

    radius = max(math.ceil(4 * sigma), 1)
    return torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=kind) / sigma) ** 2)


def filter_planes(planes: Tensor, kernel: Tensor) -> Tensor:
    """Filter (N, C, h, w) with a kernel (2 r + 1,) along rows and columns; border pixels are repeated."""
    from torch.nn import functional as F

    kernel = kernel.to(planes)
    single = planes.reshape(-1, 1, *planes.shape[-2:])
    single = F.pad(single, (len(kernel) // 2,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(single, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).view(planes.shape)
