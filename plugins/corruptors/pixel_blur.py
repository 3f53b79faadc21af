"""A Gaussian blur of the pixels: what `blur` does to the latent, done to the image; a control, of no paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import PixelContext, PixelCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PixelBlur(PixelCorruptor):
    """The image blurred, cut off at 4 sigma, the border pixels repeated outwards.

    sigma is a fraction of the image's longer side, as in `blur`.
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
