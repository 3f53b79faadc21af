"""Region selectors: they choose where an image is corrupted."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchkit.api.plugin import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from benchkit.api.datasets import Sample
    from benchkit.api.noise import Noise


@dataclass(frozen=True)
class SelectionContext:
    """What a region selector receives.

    images: (N, 3, H, W) float32 in [0, 1], after one pass through the autoencoder. samples: the dataset's records of
    the same images (masks, part maps). rng: the images' noise. score(images): artifact probability (N, H, W) in
    [0, 1], predicted by the detector that the selector requires, if any. threshold: the threshold on that score.
    parts: the selections of the selector's `parts`, (N, H, W) bool each.
    """

    images: Tensor
    samples: Sequence[Sample]
    rng: Noise
    score: Callable[[Tensor], Tensor] | None = None
    threshold: float | None = None
    parts: tuple[Tensor, ...] = ()


class RegionSelector(Plugin):
    """Base class of region selectors: image -> mask of the region to corrupt."""

    kind: ClassVar[str] = "selector"

    @abstractmethod
    def select(self, at: SelectionContext) -> Tensor:
        """Return the selected regions, (N, H, W) bool."""

    def required_detector(self) -> str | None:
        """Return the detector that must be trained on the labelled set first, or None if nothing is learned.

        `NAME:key=value` names one; `same` is the row's own detector.
        """
        return None

    def threshold(self) -> float | None:
        """Return the threshold on at.score, in (0, 1); asked only if `required_detector` names one.

        With None, benchkit chooses it so that the mean selected area equals the prevalence of the labelled set
        (`matching_threshold` in benchkit/stages/threshold.py).
        """
        return None
