"""Parts that the dataset knows, such as hands, faces and signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, RegionSelector, Sample, SelectionContext, hookimpl, param

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True)
class Parts(RegionSelector):
    """Selects the pixels of named parts, which samples have as attributes.

    attributes["parts"]: (H, W) integers; attributes["part_names"]: the name of each value. Raises BenchkitError for a
    sample without a part map, and for an unknown name.
    """

    name = "parts"
    names: str = param("hand", doc="names of the dataset's parts, joined by +")

    def needs(self) -> Sequence[str]:
        return ("parts",)

    def select(self, at: SelectionContext) -> Tensor:
        import numpy as np
        import torch

        values = [self._values(sample) for sample in at.samples]
        masks = [np.isin(sample.attributes["parts"], own) for sample, own in zip(at.samples, values, strict=True)]
        return torch.from_numpy(np.stack(masks))

    def check_sample(self, sample: Sample) -> None:
        self._values(sample)

    def _values(self, sample: Sample) -> list[int]:
        """Return the values of the named parts in a sample's part map."""
        if not {"parts", "part_names"} <= set(sample.attributes):
            raise BenchkitError(f"selector 'parts': sample '{sample.id}' has no part map: use a split that has one")
        known = list(sample.attributes["part_names"])
        wanted = [name.strip() for name in self.names.split("+")]
        unknown = next((name for name in wanted if name not in known), None)
        if unknown is not None:
            raise BenchkitError(
                f"selector 'parts': the dataset has no part '{unknown}': choose from {', '.join(known)}"
            )
        return [known.index(name) for name in wanted]


@hookimpl
def benchkit_selectors() -> list[type[RegionSelector]]:
    return [Parts]
