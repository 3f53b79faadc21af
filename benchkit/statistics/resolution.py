"""What a board can tell apart, and what more seeds or more images would add to that."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from benchkit.statistics.intervals import Difference

Pair = tuple[str, str]


@dataclass(frozen=True)
class Resolution:
    """What a family of pairs shows.

    difference: the median over pairs of half the width of the paired interval: a difference of this size is just
    resolved in a typical pair. resolved, pairs: how many were found different, of how many.
    """

    difference: float
    resolved: int
    pairs: int


def measure_resolution(differences: Mapping[Pair, Difference], different: Collection[Pair]) -> Resolution:
    """Return what the pairs resolve; NaN without pairs."""
    widths = [(found.high - found.low) / 2 for found in differences.values() if np.isfinite(found.low)]
    return Resolution(float(np.median(widths)) if widths else float("nan"), len(different), len(differences))


def predict_width(difference: Difference, images: int, *, more_seeds: int = 0, more_images: int = 0) -> float:
    """Return half the width that a paired interval would have with more seeds or more test images.

    The image part falls as 1 / images, the seed part as 1 / seeds. The seed part holds the interaction of image and
    seed, which more images would lower too, so that the prediction errs on the wide side.
    """
    parts = difference.components
    grown = replace(
        parts,
        images=parts.images * images / (images + more_images),
        number=parts.number + more_seeds,
        freedom=(parts.freedom[0] * (images + more_images) / images, parts.freedom[1] + more_seeds),
    )
    return float(stats.t.ppf((1 + difference.level) / 2, grown.total_freedom) * np.sqrt(grown.total))
