"""Parts that the dataset itself knows: the hands, the face, the sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, RegionSelector, Sample, SelectionContext, hookimpl, param

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class Parts(RegionSelector):
    """The pixels of the named parts, from the samples' attributes.

    attributes["parts"]: (H, W) integers; attributes["part_names"]: the name of each value. Raises BenchkitError where
    a sample has no part map, and for a name that it does not know.
    """

    name = "parts"
    names: str = param("hand", doc="names of the dataset's parts, joined by +")

    def needs(self) -> Sequence[str]:
        return ("parts",)

    def select(self, at: SelectionContext) -> Tensor:
        """(N, H, W) bool."""
        import numpy as np
        import torch

        return torch.from_numpy(np.stack([self._mask(sample) for sample in at.samples]))

    def check_sample(self, sample: Sample) -> None:
        self._values(sample)

    def _mask(self, sample: Sample) -> np.ndarray:
        import numpy as np

        values = self._values(sample)
        return np.isin(sample.attributes["parts"], values)

    def _values(self, sample: Sample) -> list[int]:
        """The values of the named parts in a sample's part map."""
        if not {"parts", "part_names"} <= set(sample.attributes):
            raise BenchkitError(f"selector 'parts': sample '{sample.id}' has no part map: use a split that has one")
        known = list(sample.attributes["part_names"])
        wanted = [name.strip() for name in self.names.split("+")]
        unknown = next((name for name in wanted if name not in known), None)
        if unknown is not None:
            raise BenchkitError(f"selector 'parts': no part is called '{unknown}': choose from {', '.join(known)}")
        return [known.index(name) for name in wanted]


@hookimpl
def benchkit_selectors() -> list[type[RegionSelector]]:
    return [Parts]
