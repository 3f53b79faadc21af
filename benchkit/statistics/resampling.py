"""The paired bootstrap over test images: each method's figure, seed by seed, on the same redraws of the images.

What is resampled are additive terms per image (counts, histograms). A replicate is a new sum of them and the metric
of that sum, exactly as the board computes it. Images must be independent: where several show the same source, add
their terms up and give the sources as images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError

Floats: TypeAlias = NDArray[np.float64]
#: A method's terms: (seeds, N, ...), or a sequence of (N, ...) per seed, or seed -> (N, ...).
Terms: TypeAlias = NDArray[Any] | Sequence[NDArray[Any]] | Mapping[int, NDArray[Any]]
#: Sums over images, (..., terms) -> values (...): see `benchkit.metrics.MetricInfo.pooled`.
Pooled: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

#: Redraws of the images behind every board; a board says how many its own intervals come from.
REPLICATES = 1000
#: Sums held at once while replicates are computed: 8 MiB of float64, of which a curve makes some ten copies.
_SUMS_AT_ONCE = 2**20


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
    terms = {name: _check_terms(name, given) for name, given in methods.items()}
    lengths = {name: len(next(iter(own.values()))) for name, own in terms.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise BenchkitError(f"methods must be scored on the same images, at least one: {lengths or 'no method given'}")
    images = next(iter(lengths.values()))
    weights = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=replicates)
    return {name: _replicates(own, weights.astype(np.float64), pooled) for name, own in terms.items()}


def _replicates(terms: Mapping[int, NDArray[Any]], weights: Floats, pooled: Pooled) -> Replicates:
    stacked = np.stack(list(terms.values()), axis=1).astype(np.float64)  # (N, S, ...)
    total, images = stacked.sum(axis=0), len(stacked)
    figures = np.asarray(pooled(total), np.float64)
    without = np.concatenate([np.asarray(pooled(total - part), np.float64) for part in np.array_split(stacked, images)])
    return Replicates(tuple(terms), figures, _pool_draws(weights, stacked, pooled), (images - 1) * (figures - without))


def _pool_draws(weights: Floats, terms: Floats, pooled: Pooled) -> Floats:
    """Return the metric of every redraw and seed: weights (R, N) times terms (N, S, ...) -> (R, S)."""
    flat = terms.reshape(len(terms), -1)
    block = max(1, _SUMS_AT_ONCE // flat.shape[1])
    parts = []
    for start in range(0, len(weights), block):
        drawn = weights[start : start + block]
        parts.append(np.asarray(pooled((drawn @ flat).reshape(len(drawn), *terms.shape[1:])), np.float64))
    return np.concatenate(parts)


def _check_terms(name: str, terms: Terms) -> dict[int, NDArray[Any]]:
    """Return a method's terms as seed -> (N, ...), in the order of the seeds; raise BenchkitError for unusable ones."""
    pairs = dict(sorted(terms.items())) if isinstance(terms, Mapping) else dict(enumerate(terms))
    if not pairs:
        raise BenchkitError(f"method '{name}' has no seeds")
    if any(int(key) < 0 for key in pairs):
        raise BenchkitError(f"method '{name}' has a negative seed")
    own = {int(key): np.asarray(value) for key, value in pairs.items()}
    if len({value.shape for value in own.values()}) > 1 or next(iter(own.values())).ndim < 2:
        raise BenchkitError(f"method '{name}': every seed's terms must be (images, terms) and of one shape")
    if not all(np.isfinite(value).all() for value in own.values()):
        raise BenchkitError(f"method '{name}' has terms that are not finite; see benchkit.metrics.mean_terms for NaN")
    return own
