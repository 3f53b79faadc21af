"""A patch of another place of the image, blended into the region without a seam.

Schlüter, Tan, Hou and Kainz, "Natural synthetic anomalies for self-supervised anomaly detection and localization"
(ECCV 2022, Sec. 3): patches are pasted by Poisson image editing (Pérez, Gangnet and Blake, SIGGRAPH 2003, eq. 7-12).
Theirs come from another image, resized, and the change they make weighs the label; here the image itself is cut, so
that no image depends on another, at its own scale, and the label is the region.

Two solvers. `opencv`, as the paper: cv2.seamlessClone, a component of the region at a time. It holds the image fixed on
the bounding box, so that a little of what should meet the surroundings at the region's edge is left as a step there,
and works in steps of 1/255. `sparse` holds it fixed around the region itself: the equation as it is written. On
embedded images the steps across the edge are 25 of 255 by the one, 18 by the other, 55 where the patch is only pasted;
inside, they differ from each other by 7 in the mean, and from the image by 40.
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


def opencv_clone(source: np.ndarray, target: np.ndarray, mask: np.ndarray, mixed: bool) -> np.ndarray:
    """`target` (H, W, 3) in [0, 1] with the gradients of `source` inside the mask (H, W) bool, by OpenCV.

    mixed: OpenCV's MIXED_CLONE. The image's border pixels are repeated outwards.
    """
    import cv2
    import numpy as np

    # seamlessClone wears this much off the mask, all around, and refuses what touches the edge of the canvas.
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
        # The patch lies where it is to stand; OpenCV asks for the middle of the mask's bounding box, rounded down.
        middle = (room - worn + (width + 2 * worn) // 2, room - worn + (height + 2 * worn) // 2)
        blended = cv2.seamlessClone(near, far, grown, middle, flag)[room:-room, room:-room]
        inside = own[y : y + height, x : x + width]
        made[y : y + height, x : x + width][inside] = blended[inside] / 255
    return made


def sparse_clone(source: np.ndarray, target: np.ndarray, mask: np.ndarray, mixed: bool) -> np.ndarray:
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
    solver: str = param("opencv", choices=("opencv", "sparse"), doc="seamlessClone, or the equation solved exactly")
    gradients: str = param("normal", choices=("normal", "mixed"), doc="the patch's, or the stronger of the two")

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
