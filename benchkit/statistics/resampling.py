"""The paired bootstrap over test images: each method's figure, seed by seed, on the same redraws of the images.

What is resampled are additive terms per image (counts, histograms). A replicate is a new sum of them and the metric
of that sum, exactly as the board computes it. Images must be independent: where several show the same source, add
their terms up and give the sources as images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.statistics.bootstrap import REPLICATES, Floats, Pooled, Terms, check_terms, count_images, pool_draws


@dataclass(frozen=True)
class Replicates:
    """One method's figures, observed and redrawn.

    seeds: S numbers. figures: (S,), the pooled metric of each seed. draws: (R, S), the same on R redraws of the
    images; row r is the same redraw for every method of one `resample`. influence: (N, S), how far each seed's figure
    moves when an image is left out, times N - 1. Undefined figures are NaN.
    """

    seeds: tuple[int, ...]
    figures: Floats
    draws: Floats
    influence: Floats

    @property
    def images(self) -> int:
        """The number of test images, N."""
        return len(self.influence)

    @property
    def estimate(self) -> float:
        """The mean of the figure over the seeds."""
        return float(self.figures.mean())

    def of_seeds(self, seeds: Sequence[int]) -> Replicates:
        """Return the same for some of the seeds, in the order given."""
        columns = [self.seeds.index(seed) for seed in seeds]
        return Replicates(tuple(seeds), self.figures[columns], self.draws[:, columns], self.influence[:, columns])


def resample(
    methods: Mapping[str, Terms], pooled: Pooled, *, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Replicates]:
    """Redraw the test images with replacement and recompute a pooled metric for every method and seed.

    methods: method -> additive terms, finite, over the same N images in the same order. pooled: sums (..., terms) ->
    (...). One draw of images serves all methods and seeds. A method's replicates depend on `seed`, on the images and
    on its own terms, not on which other methods there are. Raises BenchkitError for terms that are missing, not
    finite, or over different images.
    """
    if replicates < 1:
        raise BenchkitError(f"a bootstrap needs at least one replicate, not {replicates}")
    terms = {name: check_terms(name, given) for name, given in methods.items()}
    images = count_images(terms)
    weights = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=replicates)
    return {name: _replicates(own, weights.astype(np.float64), pooled) for name, own in terms.items()}


def _replicates(terms: Mapping[int, NDArray[Any]], weights: Floats, pooled: Pooled) -> Replicates:
    stacked = np.stack(list(terms.values()), axis=1).astype(np.float64)  # (N, S, ...)
    total, images = stacked.sum(axis=0), len(stacked)
    figures = np.asarray(pooled(total), np.float64)
    without = np.concatenate([np.asarray(pooled(total - part), np.float64) for part in np.array_split(stacked, images)])
    return Replicates(tuple(terms), figures, pool_draws(weights, stacked, pooled), (images - 1) * (figures - without))
