"""Strong JPEG compression of the region (ITU-T T.81): a control that no paper proposes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import PixelContext, PixelCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class JpegBlock(PixelCorruptor):
    """Compresses the image as JPEG and keeps the result inside the region: 8 x 8 blocks and coarse colours appear.

    Colours have half the resolution (4:2:0). Blocks lie on the image's grid of 8 pixels. Versions of Pillow's libjpeg
    may differ in the last bit.
    """

    name = "jpeg-block"
    quality: int = param(8, ge=1, le=95, doc="quality of libjpeg; lower is coarser")

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
