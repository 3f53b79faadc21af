"""The jackknife over test images: each method's figure, seed by seed, and how it moves without each image.

Additive terms per image (counts, histograms) are summed and passed to the metric, exactly as the board computes it.
Images must be independent: where several show the same source, add their terms up and give the sources as images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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

#: Numbers that a metric is given at once: 8 MiB of float64, of which a curve makes some ten copies.
_NUMBERS_AT_ONCE = 2**20


@dataclass(frozen=True)
class Jackknife:
    """One method's figures and what each test image does to them.

    seeds: S numbers. figures: (S,), the pooled metric of each seed. influence: (N, S), how far each seed's figure moves
    when an image is omitted, times N - 1, centred over the images. NaN where a figure is undefined, with or without an
    image.
    """

    seeds: tuple[int, ...]
    figures: Floats
    influence: Floats

    @property
    def images(self) -> int:
        """The number of test images, N."""
        return len(self.influence)

    @property
    def estimate(self) -> float:
        """The mean of the figure over the seeds."""
        return float(self.figures.mean())

    def of_seeds(self, seeds: Sequence[int]) -> Jackknife:
        """Return the same for some of the seeds, in the order given."""
        columns = [self.seeds.index(seed) for seed in seeds]
        return Jackknife(tuple(seeds), self.figures[columns], self.influence[:, columns])


def jackknife(methods: Mapping[str, Terms] | Iterable[tuple[str, Terms]], pooled: Pooled) -> dict[str, Jackknife]:
    """Return every method's figures and their influences.

    methods: method -> additive terms, finite, over the same N images in the same order; as pairs they are read one
    after another. pooled: sums (..., terms) -> (...). A method's result depends on its own terms only. Raises
    BenchkitError for terms that are missing, not finite, or over different images.
    """
    pairs = methods.items() if isinstance(methods, Mapping) else methods
    found = {name: _jackknife(_check_terms(name, given), pooled) for name, given in pairs}
    lengths = {name: own.images for name, own in found.items()}
    if len(set(lengths.values())) != 1:
        raise BenchkitError(f"methods must be scored on the same images: {lengths or 'no method given'}")
    return found


def _check_terms(name: str, terms: Terms) -> dict[int, NDArray[Any]]:
    """Return a method's terms as seed -> (N, ...), in the order of the seeds; raise BenchkitError for unusable ones."""
    pairs = dict(sorted(terms.items())) if isinstance(terms, Mapping) else dict(enumerate(terms))
    if not pairs:
        raise BenchkitError(f"method '{name}' has no seeds")
    own = {int(key): np.asarray(value) for key, value in pairs.items()}
    if len({value.shape for value in own.values()}) > 1 or next(iter(own.values())).ndim < 2:
        raise BenchkitError(f"method '{name}': every seed's terms must be (images, terms) and of one shape")
    if not next(iter(own.values())).size:
        raise BenchkitError(f"method '{name}' is scored on no images")
    if not all(np.isfinite(value).all() for value in own.values()):
        raise BenchkitError(f"method '{name}' has terms that are not finite; see benchkit.metrics.mean_terms for NaN")
    return own


def _jackknife(terms: Mapping[int, NDArray[Any]], pooled: Pooled) -> Jackknife:
    stacked = np.stack(list(terms.values()), axis=1).astype(np.float64)  # (N, S, ...)
    total, images = stacked.sum(axis=0), len(stacked)
    block = max(1, _NUMBERS_AT_ONCE // max(1, total.size))
    parts = [pooled(total - stacked[start : start + block]) for start in range(0, images, block)]
    without = np.concatenate(parts, dtype=np.float64)
    influence = (images - 1) * (without.mean(axis=0) - without)
    return Jackknife(tuple(terms), np.asarray(pooled(total), np.float64), influence)
