"""The paper's region selection (Sec. 3): regions where a trained detector predicts artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, RegionSelector, SelectionContext, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Learned(RegionSelector):
    """Selects M_s = {x : f(I)(x) >= tau}, where f is a detector fine-tuned on the labelled images (Sec. 3)."""

    name = "learned"
    detector: str = param("same", doc="the detector f: NAME, or `same` for the row's own detector")
    tau: float = param(
        0.0, ge=0, lt=1, doc="threshold; 0 chooses it so that the mean selected area equals the labelled prevalence"
    )

    def required_detector(self) -> str | None:
        return self.detector

    def threshold(self) -> float | None:
        return self.tau or None

    def select(self, at: SelectionContext) -> Tensor:
        if at.score is None or at.threshold is None:
            raise BenchkitError("selector 'learned' received no trained detector")
        return at.score(at.images) >= at.threshold


@hookimpl
def benchkit_selectors() -> list[type[RegionSelector]]:
    return [Learned]
