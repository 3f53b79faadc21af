"""Strong JPEG compression of the region (ITU-T T.81): its 8x8 blocks and coarse colours; a control, of no paper."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import PixelContext, PixelCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class JpegBlock(PixelCorruptor):
    """The whole image encoded and decoded, colours at half resolution (4:2:0), kept inside the region.

    Blocks lie on the image's own grid of 8 pixels. The encoder is Pillow's libjpeg, whose last bit may differ between
    versions.
    """

    name = "jpeg-block"
    quality: int = param(8, ge=1, le=95, doc="libjpeg's quality: lower is coarser")

    def corrupt(self, at: PixelContext) -> Tensor:
        import numpy as np
        import torch  # here, so that listing plugins loads no torch
        from PIL import Image

        bytes_ = (at.images * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
        decoded = []
        for pixels in bytes_:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
            decoded.append(np.asarray(Image.open(file)))
        return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).contiguous().to(at.images) / 255


@hookimpl
def benchkit_corruptors() -> list[type[PixelCorruptor]]:
    return [JpegBlock]
