"""A patch of another place of the image, blended into the region without a seam.

Schlüter, Tan, Hou and Kainz, "Natural synthetic anomalies for self-supervised anomaly detection and localization"
(ECCV 2022, Sec. 3): patches are pasted by Poisson image editing (Pérez, Gangnet and Blake, SIGGRAPH 2003, eq. 7-12).
Theirs come from another image, resized, and the change they make weighs the label; here the image itself is cut, so
that no image depends on another, at its own scale, and the label is the region. The equation is solved here and not by
OpenCV's seamlessClone, which solves on a bounding box (so a region that is no rectangle keeps a seam), wears three
pixels off the mask (so thin regions stay as they were) and fails on the smallest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import PixelContext, PixelCorruptor, hookimpl, param

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def offset(mask: np.ndarray, draw: float) -> tuple[int, int]:
    """Rows and columns from the region's bounding box to another place for it, uniform over all in the image.

    A box as large as the image has no other place: then any shift but none, round the edges. draw: in [0, 1).
    """
    import numpy as np

    y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    rows, columns = mask.shape
    down, across = rows - int(y[-1] - y[0]), columns - int(x[-1] - x[0])
    if down * across == 1:
        return divmod(1 + int(draw * (rows * columns - 1)), columns)
    own = int(y[0]) * across + int(x[0])
    place = int(draw * (down * across - 1))
    new_top, new_left = divmod(place + (place >= own), across)
    return new_top - int(y[0]), new_left - int(x[0])


def cloned(source: np.ndarray, target: np.ndarray, mask: np.ndarray, mixed: bool) -> np.ndarray:
    """`target` (H, W, 3) with the gradients of `source` inside the mask (H, W) bool and its own pixels around it.

    mixed: between two pixels the stronger of the two gradients. The image's border pixels are repeated outwards.
    """
    import numpy as np
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    around = ((1, 1), (1, 1), (0, 0))
    source, inner = np.pad(source.astype(float), around, "edge"), np.pad(mask, 1)
    known = np.pad(target.astype(float), around, "edge")
    y, x = inner.nonzero()
    number = np.full(inner.shape, -1)
    number[y, x] = range(len(y))
    wanted, links = np.zeros((len(y), 3)), []
    for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
        gradient, own = source[y, x] - source[ny, nx], known[y, x] - known[ny, nx]
        wanted += np.where(mixed & (abs(own) > abs(gradient)), own, gradient)
        inside = inner[ny, nx]
        wanted[~inside] += known[ny, nx][~inside]
        links.append(np.stack([number[y, x], number[ny, nx]])[:, inside])
    rows, columns = np.concatenate([*links, np.tile(np.arange(len(y)), (2, 1))], axis=1)
    values = np.where(rows == columns, 4.0, -1.0)
    known[y, x] = splu(coo_matrix((values, (rows, columns))).tocsc()).solve(wanted)
    return known[1:-1, 1:-1]


@dataclass(frozen=True)
class PoissonPatch(PixelCorruptor):
    """The region takes the gradients of another place of the image and meets the colours around it.

    gradients=mixed keeps the stronger of the two gradients between two pixels.
    """

    name = "poisson-patch"
    gradients: str = param("normal", choices=("normal", "mixed"), doc="the patch's, or the stronger of the two")

    def corrupt(self, at: PixelContext) -> Tensor:
        import numpy as np
        import torch  # here, so that listing plugins loads no torch

        draws = at.rng.uniform((), stream="poisson-patch").tolist()
        result = at.images.clone()
        for i, draw in enumerate(draws):
            mask, image = at.mask[i, 0].cpu().numpy(), at.images[i].permute(1, 2, 0).cpu().numpy()
            if mask.any():
                down, right = offset(mask, draw)
                made = cloned(np.roll(image, (-down, -right), axis=(0, 1)), image, mask, self.gradients == "mixed")
                result[i] = torch.from_numpy(made).permute(2, 0, 1).clamp(0, 1).to(result)
        return result


@hookimpl
def benchkit_corruptors() -> list[type[PixelCorruptor]]:
    return [PoissonPatch]
