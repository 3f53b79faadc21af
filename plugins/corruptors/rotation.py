"""Rotation of the inverted latent by 90 degrees (Table 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentContext, LatentCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


def quarter_turn(plane: Tensor, top: int, left: int, side: int) -> Tensor:
    """Rotate the square of `side` pixels at (top, left) of (C, h, w) by 90 degrees counter-clockwise, in a copy.

    Where the square leaves the plane, it reads the plane's mirror image, and writes nothing. Pixels outside the square
    stay as they are.
    """
    import torch  # here and below, so that listing plugins loads no torch

    height, width = plane.shape[-2:]
    rows, columns = torch.arange(top, top + side), torch.arange(left, left + side)
    turned = torch.rot90(plane[:, _mirror(rows, height)][:, :, _mirror(columns, width)], 1, (-2, -1))
    result = plane.clone()
    y, x = slice(max(top, 0), min(top + side, height)), slice(max(left, 0), min(left + side, width))
    result[:, y, x] = turned[:, y.start - top : y.stop - top, x.start - left : x.stop - left]
    return result


def _mirror(index: Tensor, size: int) -> Tensor:
    import torch

    index = index % (2 * size)
    return torch.where(index < size, index, 2 * size - 1 - index)


def bounding_square(component: Tensor) -> tuple[int, int, int]:
    """Return top, left and side of a square around the selected pixels of (h, w).

    The square is centred on them, and moved into the plane where it fits.
    """
    import torch

    y, x = torch.nonzero(component, as_tuple=True)
    bounds = ((int(y.min()), int(y.max()) + 1), (int(x.min()), int(x.max()) + 1))
    side = max(last - first for first, last in bounds)
    corner = []
    for (first, last), size in zip(bounds, component.shape, strict=True):
        start = (first + last - side) // 2
        corner.append(min(max(start, 0), size - side) if side <= size else start)
    return corner[0], corner[1], side


def components(mask: Tensor) -> list[Tensor]:
    """Return the connected components of (h, w) bool, each (h, w) bool; diagonal neighbours are connected."""
    import torch
    from torch.nn import functional as F

    selected = mask.double()[None]
    labels = torch.arange(1, mask.numel() + 1, dtype=torch.float64, device=mask.device).view_as(selected) * selected
    while True:
        # The highest label of a component spreads by one pixel per iteration.
        spread = F.max_pool2d(labels, 3, stride=1, padding=1) * selected
        if torch.equal(spread, labels):
            return [labels[0] == value for value in labels.unique() if value > 0]
        labels = spread


@dataclass(frozen=True)
class Rotation(LatentCorruptor):
    """Rotates the inverted latent: f = z_t rotated by 90 degrees counter-clockwise (Table 2).

    extent=image rotates the whole latent, as in the paper; one that is not square is mirrored to a square first.
    extent=component rotates each connected component of the mask inside its bounding square, always from z_t itself.
    """

    name = "rotation"
    steps: int = param(20, ge=0, doc="inversion steps from the clean end")
    extent: str = param(
        "image",
        choices=("image", "component"),
        doc="what is rotated: the whole latent, or each connected component of the mask",
    )

    def corrupt(self, at: LatentContext) -> Tensor:
        import torch

        turn = self._turn_plane if self.extent == "image" else self._turn_components
        return torch.stack([turn(plane, mask[0]) for plane, mask in zip(at.z_t, at.mask, strict=True)])

    def _turn_plane(self, plane: Tensor, mask: Tensor) -> Tensor:
        height, width = mask.shape
        side = max(height, width)
        return quarter_turn(plane, (height - side) // 2, (width - side) // 2, side)

    def _turn_components(self, plane: Tensor, mask: Tensor) -> Tensor:
        import torch

        result = plane
        for component in components(mask):
            result = torch.where(component, quarter_turn(plane, *bounding_square(component)), result)
        return result


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [Rotation]
