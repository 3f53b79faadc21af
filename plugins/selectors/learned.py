"""Regions where a detector trained on the labelled set expects artifacts (the paper's region selection, Sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, RegionSelector, SelectionContext, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Learned(RegionSelector):
    """M_s = {x : f(I)(x) >= tau} of a detector fine-tuned on the labelled images."""

    name = "learned"
    backbone: str = param("same", doc="the detector that is fine-tuned: NAME, or `same` for the row's own")
    tau: float = param(0.0, ge=0, lt=1, doc="threshold; 0 chooses it by the labelled prevalence")

    def detector(self) -> str | None:
        return self.backbone

    def threshold(self) -> float | None:
        return self.tau or None

    def select(self, at: SelectionContext) -> Tensor:
        """(N, H, W) bool: the scores that reach the threshold."""
        if at.score is None or at.threshold is None:
            raise BenchkitError("selector 'learned' was given no trained detector")
        return at.score(at.images) >= at.threshold


@hookimpl
def benchkit_selectors() -> list[type[RegionSelector]]:
    return [Learned]
