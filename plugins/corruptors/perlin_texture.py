"""A foreign texture inside the region, at the maxima of Perlin noise.

Zavrtanik, Kristan and Skocaj, "DRAEM: A discriminatively trained reconstruction embedding for surface anomaly
detection" (ICCV 2021, Sec. 3.3): I_a = (1 - M) I + (1 - beta) M I + beta M A, with binarised Perlin noise M, a texture
A and an opacity beta, uniform in [0.1, 1]. In the paper M is the label, with a fixed threshold. Here the label is the
region, and M covers a given fraction of it. The paper's textures are photographs (DTD); here A consists of three
Perlin fields, one per colour. The noise is not rotated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import PixelContext, PixelCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor

#: The lattice has 2^0 ... 2^5 cells along a side, as in the paper.
OCTAVES = 6


def perlin(angles: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return Perlin noise in [-1, 1], (H, W), at rows y (H,) and columns x (W,), in units of the lattice.

    angles: directions of the gradients at the lattice's nodes, (rows, columns) in radians. The noise is 0 at the nodes.
    """
    import torch  # here and below, so that listing plugins loads no torch

    top, left = y.floor().long(), x.floor().long()
    down, right = (y - top).view(-1, 1), (x - left).view(1, -1)

    def corner(below: int, beside: int) -> Tensor:
        angle = angles[(top + below).view(-1, 1), (left + beside).view(1, -1)]
        return angle.cos() * (right - beside) + angle.sin() * (down - below)

    fade_y, fade_x = (f * f * f * (f * (6 * f - 15) + 10) for f in (down, right))
    above = torch.lerp(corner(0, 0), corner(0, 1), fade_x)
    below = torch.lerp(corner(1, 0), corner(1, 1), fade_x)
    # The interpolated products lie within +- sqrt(1/2).
    return math.sqrt(2) * torch.lerp(above, below, fade_y)


def field(angles: Tensor, octaves: Tensor, height: int, width: int) -> Tensor:
    """Return the noise of an image, (H, W), on a lattice of 2^k x 2^l; k and l come from two draws in [0, 1)."""
    import torch

    rows, columns = (2 ** int(draw * OCTAVES) for draw in octaves)
    return perlin(angles, (torch.arange(height) + 0.5) * rows / height, (torch.arange(width) + 0.5) * columns / width)


def covered(noise: Tensor, mask: Tensor, fraction: float) -> Tensor:
    """Return the ceil(fraction * n) of the n pixels in the mask (H, W) where the noise is highest, more with ties."""
    values = noise[mask]
    if not len(values):
        return mask
    highest = values.sort(descending=True).values
    return mask & (noise >= highest[math.ceil(fraction * len(values)) - 1])


@dataclass(frozen=True)
class PerlinTexture(PixelCorruptor):
    """Lays a random texture over part of the region: I_a = (1 - beta M) I + beta M A.

    M is the given fraction of the region where Perlin noise is highest, A a texture of Perlin noise, and beta an
    opacity, uniform from `opacity` to 1. After DRAEM (Zavrtanik et al., ICCV 2021).
    """

    name = "perlin-texture"
    coverage: float = param(0.5, gt=0, le=1, doc="fraction of the region that the texture covers")
    opacity: float = param(0.1, ge=0, le=1, doc="smallest opacity beta")

    def corrupt(self, at: PixelContext) -> Tensor:
        import torch

        height, width = at.images.shape[-2:]
        nodes = 2 ** (OCTAVES - 1) + 1
        angles = 2 * math.pi * at.rng.uniform((4, nodes, nodes), stream="perlin-texture angles")
        draws = at.rng.uniform((9,), stream="perlin-texture")
        results = []
        for image, mask, turns, own in zip(at.images, at.mask[:, 0], angles, draws, strict=True):
            noise, *colours = (field(turns[i], own[2 * i : 2 * i + 2], height, width) for i in range(4))
            texture = torch.stack(colours).to(image) / 2 + 0.5
            beta = self.opacity + (1 - self.opacity) * float(own[8])
            covers = covered(noise, mask, self.coverage)
            results.append(torch.where(covers, (1 - beta) * image + beta * texture, image))
        return torch.stack(results)


@hookimpl
def benchkit_corruptors() -> list[type[PixelCorruptor]]:
    return [PerlinTexture]
