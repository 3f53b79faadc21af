"""Elastic distortion of the inverted latent.

Simard, Steinkraus and Platt, "Best practices for convolutional neural networks" (ICDAR 2003, Sec. 2), distort images
of digits. Here the latent is distorted, the draws are normal (theirs are uniform), and `strength` is the root mean
square displacement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl, param
from benchkit_plugins.corruptors._gaussian import filter_planes, gaussian_kernel

if TYPE_CHECKING:
    from torch import Tensor


def smooth(field: Tensor, sigma: float) -> Tensor:
    """Filter (N, 2, h, w) with a Gaussian of `sigma` pixels, and scale each image to a root mean square length of 1."""
    import torch  # here and below, so that listing plugins loads no torch

    planes = filter_planes(
        field, gaussian_kernel(sigma, torch.float32)
    )  # scaled below, so the kernel is not normalised
    length = planes.square().sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True).sqrt()
    return planes / length.clamp_min(torch.finfo(field.dtype).tiny)


def displaced(plane: Tensor, field: Tensor) -> Tensor:
    """Read (N, C, h, w) at displaced positions by bilinear interpolation; border pixels are repeated.

    field: displacements (N, 2, h, w) in pixels, rows first. A displacement of 0 reads the exact value.
    """
    import torch

    count, channels, height, width = plane.shape
    whole = field.floor()
    y, x = (field - whole)[:, :, None].unbind(dim=1)
    rows = torch.arange(height, device=plane.device).view(1, -1, 1) + whole[:, 0].long()
    columns = torch.arange(width, device=plane.device).view(1, 1, -1) + whole[:, 1].long()

    def read(down: int, right: int) -> Tensor:
        index = (rows + down).clamp(0, height - 1) * width + (columns + right).clamp(0, width - 1)
        flat = index.view(count, 1, -1).expand(-1, channels, -1)
        return plane.flatten(2).gather(2, flat).view_as(plane)

    above = (1 - x) * read(0, 0) + x * read(0, 1)
    below = (1 - x) * read(1, 0) + x * read(1, 1)
    return (1 - y) * above + y * below


@dataclass(frozen=True)
class ElasticLatent(LatentCorruptor):
    """Distorts the inverted latent: f = z_t read at smoothly displaced positions (after Simard et al., ICDAR 2003).

    Random displacements are smoothed by a Gaussian and scaled. Lengths are fractions of the longer side, so they have
    the same effect at every latent size.
    """

    name = "elastic-latent"
    strength: float = param(0.1, ge=0, le=1, doc="root mean square displacement, as a fraction of the longer side")
    smoothness: float = param(
        0.1, gt=0, le=1, doc="standard deviation of the Gaussian, as a fraction of the longer side"
    )

    def corrupt(self, at: LatentContext) -> Tensor:
        height, width = at.z_t.shape[-2:]
        draws = at.rng.normal((2, height, width), stream="elastic-latent").to(at.z_t)
        field = smooth(draws, self.smoothness * max(height, width))
        return displaced(at.z_t, self.strength * max(height, width) * field)


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [ElasticLatent]
