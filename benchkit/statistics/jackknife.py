"""The jackknife over test images: each method's figure, seed by seed, and how it moves without each image.

Additive terms per image (counts, histograms) are summed and passed to the metric, exactly as the board computes it.
Images must be independent: where several show the same source, add their terms up and give the sources as images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError

Floats: TypeAlias = NDArray[np.float64]
#: A method's terms: (seeds, N, ...), or a sequence of (N, ...) per seed, or seed -> (N, ...).
Terms: TypeAlias = NDArray[Any] | Sequence[NDArray[Any]] | Mapping[int, NDArray[Any]]
#: Sums over images, (..., terms) -> values (...): see `benchkit.metrics.MetricInfo.pooled`.
Pooled: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

#: Numbers that a metric is given at once: 512 KiB, which stay in the processor's cache together with their copies.
_NUMBERS_AT_ONCE = 2**16


@lru_cache
def _share(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Return equal seeds as one object: 100,000 tuples of five take 10 MB."""
    return seeds


@dataclass(frozen=True, slots=True)
class Jackknife:
    """One method's figures and what each test image does to them.

    seeds: S numbers. figures: (S,), the pooled metric of each seed. influence: (N, S), how far each seed's figure moves
    when an image is omitted, times N - 1, centred over the images; float32 after `compact`. NaN where a figure is
    undefined, with or without an image.
    """

    seeds: tuple[int, ...]
    figures: Floats
    influence: NDArray[np.floating[Any]]

    @classmethod
    def of_seed(cls, seed: int, figure: float, without: Floats) -> Jackknife:
        """Return one seed's, from its figure and the figures without each image, (N,)."""
        influence = (len(without) - 1) * (without.mean() - without)
        return cls((seed,), np.array([figure], np.float64), influence[:, None])

    @property
    def images(self) -> int:
        """The number of test images, N."""
        return len(self.influence)

    @property
    def estimate(self) -> float:
        """The mean of the figure over the seeds."""
        return float(self.figures.mean())

    def compact(self) -> Jackknife:
        """Return the same with its influences as float32, in half the memory, for `benchkit.statistics.many_methods`.

        It moves the ends of intervals by less than 1e-6 of their width. Methods of equal seeds share one tuple.
        """
        return replace(self, seeds=_share(self.seeds), influence=self.influence.astype(np.float32))

    def of_seeds(self, seeds: Sequence[int]) -> Jackknife:
        """Return the same for some of the seeds, in the order given."""
        columns = [self.seeds.index(seed) for seed in seeds]
        return Jackknife(tuple(seeds), self.figures[columns], self.influence[:, columns])


def jackknife(methods: Mapping[str, Terms], pooled: Pooled) -> dict[str, Jackknife]:
    """Return every method's figures and their influences.

    methods: method -> additive terms, finite, over the same N images in the same order. pooled: sums (..., terms) ->
    (...). Raises BenchkitError for terms that are missing, not finite, or over different images.
    """
    found = {}
    for name, given in methods.items():
        pairs = sorted(given.items()) if isinstance(given, Mapping) else enumerate(given)
        found[name] = join_seeds(name, [jackknife_seed(name, int(seed), terms, pooled) for seed, terms in pairs])
    if not found:
        raise BenchkitError("no method given")
    check_images(found)
    return found


def jackknife_seed(name: str, seed: int, terms: NDArray[Any], pooled: Pooled) -> Jackknife:
    """Return one seed's figure and its influences; terms: (N, ...). The name is for messages."""
    terms = np.asarray(terms)
    if terms.ndim < 2:
        raise BenchkitError(f"method '{name}': every seed's terms must be (images, terms)")
    if not terms.size:
        raise BenchkitError(f"method '{name}' is scored on no images")
    if terms.dtype.kind == "f" and not np.isfinite(terms).all():
        raise BenchkitError(f"method '{name}' has terms that are not finite; see benchkit.metrics.mean_terms for NaN")
    return Jackknife.of_seed(seed, *leave_one_out(terms, pooled))


def leave_one_out(terms: NDArray[Any], pooled: Pooled) -> tuple[float, Floats]:
    """Return the figure of one seed's terms, (N, ...), and the figures without each image, (N,)."""
    total = terms.sum(axis=0)  # whole numbers stay whole: curves add them up faster
    block = max(1, _NUMBERS_AT_ONCE // total.size)
    parts = [pooled(total - terms[start : start + block]) for start in range(0, len(terms), block)]
    return float(pooled(total)), np.concatenate(parts, dtype=np.float64)


def join_seeds(name: str, parts: Sequence[Jackknife]) -> Jackknife:
    """Return one method's seeds, each a Jackknife of the same images, as one."""
    if not parts:
        raise BenchkitError(f"method '{name}' has no seeds")
    if len({part.images for part in parts}) > 1:
        raise BenchkitError(f"method '{name}': every seed must be scored on the same images")
    return Jackknife(
        tuple(seed for part in parts for seed in part.seeds),
        np.concatenate([part.figures for part in parts]),
        np.concatenate([part.influence for part in parts], axis=1),
    )


def check_images(methods: Mapping[str, Jackknife]) -> None:
    """Raise BenchkitError unless all methods are of one number of images."""
    lengths = {name: own.images for name, own in methods.items()}
    if len(set(lengths.values())) > 1:
        raise BenchkitError(f"methods must be scored on the same images: {lengths}")
