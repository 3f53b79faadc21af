"""Random rectangles, independent of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import RegionSelector, SelectionContext, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RandomBoxes(RegionSelector):
    """Selects random rectangles; their sides are uniform between two fractions of the image's sides."""

    name = "random-boxes"
    boxes: int = param(2, ge=1, le=64, doc="rectangles per image")
    smallest: float = param(0.1, gt=0, le=1, doc="smallest side, as a fraction of the image's side")
    largest: float = param(0.3, gt=0, le=1, doc="largest side, as a fraction of the image's side")

    def select(self, at: SelectionContext) -> Tensor:
        import torch

        count, _, height, width = at.images.shape
        draws = at.rng.uniform((self.boxes, 4), stream="random-boxes").to(at.images.device)
        fraction = self.smallest + (self.largest - self.smallest) * draws[..., :2]
        sides = fraction * torch.tensor([height, width], device=draws.device)
        free = torch.tensor([height, width], device=draws.device) - sides
        start = draws[..., 2:] * free
        rows = torch.arange(height, device=draws.device).view(1, 1, -1) + 0.5
        columns = torch.arange(width, device=draws.device).view(1, 1, -1) + 0.5
        inside_rows = (rows >= start[..., :1]) & (rows < (start + sides)[..., :1])
        inside_columns = (columns >= start[..., 1:]) & (columns < (start + sides)[..., 1:])
        return (inside_rows[..., :, None] & inside_columns[..., None, :]).any(dim=1).view(count, height, width)


@hookimpl
def benchkit_selectors() -> list[type[RegionSelector]]:
    return [RandomBoxes]
