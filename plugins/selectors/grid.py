"""Random cells of a regular grid: regions of one size and shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import RegionSelector, SelectionContext, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Grid(RegionSelector):
    """Divides the image into cells x cells rectangles and selects a random fraction of them, at least one.

    If `cells` does not divide a side, rectangles differ by one pixel.
    """

    name = "grid"
    cells: int = param(4, ge=1, le=64, doc="cells along each side of the image")
    fraction: float = param(0.125, gt=0, le=1, doc="fraction of the cells that is selected")

    def select(self, at: SelectionContext) -> Tensor:
        import torch

        count, _, height, width = at.images.shape
        total = self.cells**2
        draws = at.rng.uniform((total,), stream="grid")
        chosen = torch.zeros(count, total, dtype=torch.bool)
        chosen.scatter_(1, draws.argsort(dim=1)[:, : max(1, round(self.fraction * total))], True)
        rows, columns = (torch.arange(size) * self.cells // size for size in (height, width))
        return chosen.view(count, self.cells, self.cells)[:, rows][:, :, columns].to(at.images.device)


@hookimpl
def benchkit_selectors() -> list[type[RegionSelector]]:
    return [Grid]
