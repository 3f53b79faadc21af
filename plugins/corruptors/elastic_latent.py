"""The inverted latent smoothly displaced, as elastic distortions displace images.

Simard, Steinkraus and Platt, "Best practices for convolutional neural networks" (ICDAR 2003, Sec. 2): random
displacements, smoothed by a Gaussian, scaled, and read by bilinear interpolation. They distort digits; that the plane
is a latent, that the draws are normal (theirs are uniform) and that the strength is the root mean square are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl, param
from benchkit_plugins.corruptors._gaussian import filter_planes, gaussian_kernel

if TYPE_CHECKING:
    from torch import Tensor


def smooth(field: Tensor, sigma: float) -> Tensor:
    """(N, 2, h, w) filtered with a Gaussian of `sigma` cells cut off at 4 sigma, the border repeated, then scaled to
    a root mean square length of 1 an image."""
    import torch  # here and below, so that listing plugins loads no torch

    planes = filter_planes(field, gaussian_kernel(sigma, torch.float32))  # the scale makes a normalised kernel needless
    length = planes.square().sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True).sqrt()
    return planes / length.clamp_min(torch.finfo(field.dtype).tiny)


def displaced(plane: Tensor, field: Tensor) -> Tensor:
    """What (N, C, h, w) holds at each cell plus its displacement (N, 2, h, w), rows first, in cells; bilinear, the
    border repeated. Where the displacement is 0 the cell is read exactly."""
    import torch

    count, channels, height, width = plane.shape
    whole = field.floor()
    share_y, share_x = (field - whole).unbind(dim=1)
    rows = torch.arange(height, device=plane.device).view(1, -1, 1) + whole[:, 0].long()
    columns = torch.arange(width, device=plane.device).view(1, 1, -1) + whole[:, 1].long()

    def cells(down: int, right: int) -> Tensor:
        index = (rows + down).clamp(0, height - 1) * width + (columns + right).clamp(0, width - 1)
        flat = index.view(count, 1, -1).expand(-1, channels, -1)
        return plane.flatten(2).gather(2, flat).view_as(plane)

    y, x = share_y[:, None], share_x[:, None]
    above = (1 - x) * cells(0, 0) + x * cells(0, 1)
    below = (1 - x) * cells(1, 0) + x * cells(1, 1)
    return (1 - y) * above + y * below


@dataclass(frozen=True)
class ElasticLatent(LatentCorruptor):
    """f = z_t read at smoothly displaced cells; lengths are shares of the longer side, so they fit every latent."""

    name = "elastic-latent"
    strength: float = param(0.1, ge=0, le=1, doc="root mean square displacement, a fraction of the longer side")
    smoothness: float = param(0.1, gt=0, le=1, doc="standard deviation of the smoothing, a fraction of the longer side")

    def corrupt(self, at: LatentContext) -> Tensor:
        height, width = at.z_t.shape[-2:]
        draws = at.rng.normal((2, height, width), stream="elastic-latent").to(at.z_t)
        field = smooth(draws, self.smoothness * max(height, width))
        return displaced(at.z_t, self.strength * max(height, width) * field)


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [ElasticLatent]
