"""Gaussian blur of the pixels: a control that no paper proposes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import PixelContext, PixelCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PixelBlur(PixelCorruptor):
    """Blurs the pixels of the region with a Gaussian, as `blur` blurs the latent.

    sigma is a fraction of the image's longer side. The filter is cut off at 4 sigma; border pixels are repeated.
    """

    name = "pixel-blur"
    sigma: float = param(0.03, gt=0, le=1, doc="standard deviation as a fraction of the image's longer side")

    def corrupt(self, at: PixelContext) -> Tensor:
        import cv2
        import numpy as np
        import torch  # here, so that listing plugins loads no torch

        sigma = self.sigma * max(at.images.shape[-2:])
        size = 2 * math.ceil(4 * sigma) + 1
        planes = at.images.cpu().permute(0, 2, 3, 1).contiguous().numpy()
        blurred = [cv2.GaussianBlur(p, (size, size), sigma, borderType=cv2.BORDER_REPLICATE) for p in planes]
        return torch.from_numpy(np.stack(blurred)).permute(0, 3, 1, 2).contiguous().to(at.images)


@hookimpl
def benchkit_corruptors() -> list[type[PixelCorruptor]]:
    return [PixelBlur]
