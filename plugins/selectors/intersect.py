"""The intersection of several selections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, RegionSelector, SelectionContext, hookimpl, param, split_parts

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Intersect(RegionSelector):
    """Selects the pixels that all selectors in `of` select; raises BenchkitError for fewer than two selectors."""

    name = "intersect"
    of: str = param("random-boxes+grid", doc="selectors, A+B or A+(B:key=value,key=value)")

    def __post_init__(self) -> None:
        if len(self.parts()) < 2:
            raise BenchkitError(
                f"selector 'intersect': of={self.of} is one selector: join two by +, a list in brackets"
            )

    def parts(self) -> tuple[str, ...]:
        return split_parts(self.of)

    def select(self, at: SelectionContext) -> Tensor:
        import torch

        return torch.stack(at.parts).all(dim=0)


@hookimpl
def benchkit_selectors() -> list[type[RegionSelector]]:
    return [Intersect]
