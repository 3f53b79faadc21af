"""Cells of a regular grid: regions of one size and shape, wherever they fall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import RegionSelector, SelectionContext, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Grid(RegionSelector):
    """The image cut into cells x cells rectangles, of which a fraction is drawn, at least one.

    Where `cells` does not divide a side, the rectangles differ by a pixel.
    """

    name = "grid"
    cells: int = param(4, ge=1, le=64, doc="cells along each side of the image")
    fraction: float = param(0.125, gt=0, le=1, doc="fraction of the cells that is selected; 1 selects everything")

    def select(self, at: SelectionContext) -> Tensor:
        """(N, H, W) bool; each image's cells come from its own draws."""
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
