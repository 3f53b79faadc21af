"""Poisson blending of a patch from another place of the image.

Schlüter, Tan, Hou and Kainz, "Natural synthetic anomalies for self-supervised anomaly detection and localization"
(ECCV 2022, Sec. 3), paste patches by Poisson image editing (Pérez, Gangnet and Blake, SIGGRAPH 2003, eq. 7-12). Their
patches come from another image and are resized, and their labels are weighted by the change. Here the patch comes from
the same image at its own scale, and the label is the region.

There are two solvers. `opencv` is cv2.seamlessClone, as in the paper, for each connected component of the region. It
fixes the image at the bounding box, so small steps remain at the region's edge, and it works in steps of 1/255.
`sparse` fixes the image at the edge of the region itself, as the equation says. On embedded images, the mean step
across the edge is 25 of 255 with `opencv`, 18 with `sparse`, and 55 if the patch is only pasted. Inside the region the
two solvers differ by 7 in the mean, and by 40 from the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import PixelContext, PixelCorruptor, hookimpl, param

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def offset(mask: np.ndarray, draw: float) -> tuple[int, int]:
    """Return the shift (rows, columns) of the region's bounding box to another place, uniform over all places.

    A box as large as the image has no other place; it is shifted across the image's edges. draw: in [0, 1).
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


def opencv_clone(source: np.ndarray, target: np.ndarray, mask: np.ndarray, mixed: bool) -> np.ndarray:
    """Return `target` (H, W, 3) in [0, 1] with the gradients of `source` inside the mask (H, W) bool, by OpenCV.

    mixed: use OpenCV's MIXED_CLONE. The image's border pixels are repeated outwards.
    """
    import cv2
    import numpy as np

    # seamlessClone erodes the mask by `worn` pixels, and refuses a mask that touches the edge of the canvas.
    worn, room = 3, 5
    around = ((room, room), (room, room), (0, 0))
    canvases = [np.pad(np.rint(255 * image).astype(np.uint8), around, "edge") for image in (source, target)]
    made, flag = target.copy(), cv2.MIXED_CLONE if mixed else cv2.NORMAL_CLONE
    count, component = cv2.connectedComponents(mask.astype(np.uint8))
    for number in range(1, count):
        own = component == number
        x, y, width, height = cv2.boundingRect(own.astype(np.uint8))
        crop = np.s_[y : y + height + 2 * room, x : x + width + 2 * room]
        near, far = (np.ascontiguousarray(canvas[crop]) for canvas in canvases)
        grown = cv2.dilate(np.pad(own, room)[crop].astype(np.uint8) * 255, np.ones((3, 3), np.uint8), iterations=worn)
        # The patch stays at its place; OpenCV needs the middle of the mask's bounding box, rounded down.
        middle = (room - worn + (width + 2 * worn) // 2, room - worn + (height + 2 * worn) // 2)
        blended = cv2.seamlessClone(near, far, grown, middle, flag)[room:-room, room:-room]
        inside = own[y : y + height, x : x + width]
        made[y : y + height, x : x + width][inside] = blended[inside] / 255
    return made


def sparse_clone(source: np.ndarray, target: np.ndarray, mask: np.ndarray, mixed: bool) -> np.ndarray:
    """Return `target` (H, W, 3) with the gradients of `source` inside the mask (H, W) bool, by a sparse solver.

    mixed: use the larger of the two gradients between two pixels. The image's border pixels are repeated outwards.
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
    """Fills the region with a patch from another place of the image, without a seam, by Poisson image editing.

    The region gets the gradients of the patch and the colours of its surroundings. gradients=mixed uses the larger
    gradient of patch and image between two pixels. After Schlüter et al. (ECCV 2022).
    """

    name = "poisson-patch"
    solver: str = param(
        "opencv", choices=("opencv", "sparse"), doc="OpenCV's seamlessClone, or an exact solution of the equation"
    )
    gradients: str = param("normal", choices=("normal", "mixed"), doc="the patch's, or the larger of patch and image")

    def corrupt(self, at: PixelContext) -> Tensor:
        import numpy as np
        import torch  # here, so that listing plugins loads no torch

        clone = opencv_clone if self.solver == "opencv" else sparse_clone
        draws = at.rng.uniform((), stream="poisson-patch").tolist()
        result = at.images.clone()
        for i, draw in enumerate(draws):
            mask, image = at.mask[i, 0].cpu().numpy(), at.images[i].permute(1, 2, 0).cpu().numpy()
            if mask.any():
                down, right = offset(mask, draw)
                made = clone(np.roll(image, (-down, -right), axis=(0, 1)), image, mask, self.gradients == "mixed")
                result[i] = torch.from_numpy(made).permute(2, 0, 1).clamp(0, 1).to(result)
        return result


@hookimpl
def benchkit_corruptors() -> list[type[PixelCorruptor]]:
    return [PoissonPatch]
