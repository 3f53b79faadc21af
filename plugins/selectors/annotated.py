"""The dataset's own masks as regions, to measure what another selection costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, RegionSelector, SelectionContext, hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True)
class Annotated(RegionSelector):
    """Selects the annotated pixels: the masks of the dataset, which must have them."""

    name = "annotated"

    def needs(self) -> Sequence[str]:
        return ("mask",)

    def select(self, at: SelectionContext) -> Tensor:
        """Return the masks; raise BenchkitError for a sample without one."""
        import numpy as np
        import torch

        masks = []
        for sample in at.samples:
            if sample.mask is None:
                raise BenchkitError(f"selector 'annotated': sample '{sample.id}' has no mask: use a split with labels")
            masks.append(sample.mask)
        return torch.from_numpy(np.stack(masks).astype(bool))


@hookimpl
def benchkit_selectors() -> list[type[RegionSelector]]:
    return [Annotated]
