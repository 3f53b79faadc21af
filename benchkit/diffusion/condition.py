"""The text condition of the denoiser for a batch of captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Condition:
    """Embedded captions, one row each, from `DiffusionBackend.embed`.

    text: (N, tokens, width) float32, the outputs of all text encoders, concatenated. pooled: (N, width) float32, one
    vector per caption if the denoiser takes one (SDXL), else None.
    """

    text: Tensor
    pooled: Tensor | None = None

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, rows: slice | Sequence[int]) -> Condition:
        """Return the rows of a slice or of a list of positions."""
        return Condition(self.text[rows], None if self.pooled is None else self.pooled[rows])

    def split(self, size: int) -> list[Condition]:
        """Pieces of `size` rows, the last one of what is left."""
        return [self[start : start + size] for start in range(0, len(self), size)]

    def clone(self) -> Condition:
        """A copy with memory of its own."""
        return Condition(self.text.clone(), None if self.pooled is None else self.pooled.clone())
