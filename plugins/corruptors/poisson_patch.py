"""A patch of another place of the image, blended into the region without a seam.

Schlüter, Tan, Hou and Kainz, "Natural synthetic anomalies for self-supervised anomaly detection and localization"
(ECCV 2022, Sec. 3): patches are pasted by Poisson image editing (Pérez, Gangnet and Blake 2003), here OpenCV's
seamlessClone. Theirs come from another image, resized, and the change they make weighs the label; here the image itself
is cut, so that no image depends on another, at its own scale, and the label is the region. seamlessClone solves on a
bounding box, of which the region alone is kept: around a region that is no rectangle a faint seam may remain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import PixelContext, PixelCorruptor, hookimpl, param

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

#: seamlessClone wears this many pixels off the mask (and so would leave thin regions as they are): they are added.
WORN = 3
#: Pixels around the image, since it needs known ones on every side of the mask.
MARGIN = WORN + 2


def offset(mask: np.ndarray, draw: float) -> tuple[int, int]:
    """Rows and columns from the region's bounding box to another place for it, uniform over all in the image.

    A box as large as the image has no other place: then any shift but none, round the edges. draw: in [0, 1).
    """
    import cv2

    left, top, width, height = cv2.boundingRect(mask)
    rows, columns = mask.shape
    down, across = rows - height + 1, columns - width + 1
    if down * across == 1:
        return divmod(1 + int(draw * (rows * columns - 1)), columns)
    own = top * across + left
    place = int(draw * (down * across - 1))
    new_top, new_left = divmod(place + (place >= own), across)
    return new_top - top, new_left - left


def cloned(source: np.ndarray, target: np.ndarray, mask: np.ndarray, flags: int) -> np.ndarray:
    """`target` (H, W, 3) uint8 with the gradients of `source` inside the mask (H, W) uint8, 255 where it is set."""
    import cv2
    import numpy as np

    around = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    source, target, mask = np.pad(source, around, "edge"), np.pad(target, around, "edge"), np.pad(mask, MARGIN)
    mask = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=WORN)
    left, top, width, height = cv2.boundingRect(mask)
    # It wants the middle of the mask's bounding box, rounded down.
    done = cv2.seamlessClone(source, target, mask, (left + width // 2, top + height // 2), flags)
    return done[MARGIN:-MARGIN, MARGIN:-MARGIN]


@dataclass(frozen=True)
class PoissonPatch(PixelCorruptor):
    """The region takes the gradients of another place of the image and keeps the colours at its border.

    gradients=mixed keeps the stronger of the two gradients at each pixel. Works on 8-bit pixels, as seamlessClone does.
    """

    name = "poisson-patch"
    gradients: str = param("normal", choices=("normal", "mixed"), doc="the patch's, or the stronger of the two")

    @classmethod
    def unavailable(cls) -> str | None:
        import cv2

        return None if hasattr(cv2, "seamlessClone") else f"OpenCV {cv2.__version__} lacks seamlessClone"

    def corrupt(self, at: PixelContext) -> Tensor:
        import cv2
        import numpy as np
        import torch

        flags = cv2.NORMAL_CLONE if self.gradients == "normal" else cv2.MIXED_CLONE
        draws = at.rng.uniform((), stream="poisson-patch").tolist()
        result = at.images.clone()
        for i, draw in enumerate(draws):
            mask = np.ascontiguousarray(at.mask[i, 0].cpu().numpy()).astype(np.uint8) * 255
            if not mask.any():
                continue
            image = (at.images[i] * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
            down, right = offset(mask, draw)
            made = cloned(np.roll(image, (-down, -right), axis=(0, 1)), image, mask, flags)
            result[i] = torch.from_numpy(made.copy()).permute(2, 0, 1).to(result) / 255
        return result


@hookimpl
def benchkit_corruptors() -> list[type[PixelCorruptor]]:
    return [PoissonPatch]
