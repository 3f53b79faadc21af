"""How sure is a figure? Bootstrap over test images and seeds: intervals, paired differences, ranks.

What is resampled are additive terms per image (counts, histograms): a replicate is a new sum of them and the metric of
that sum, exactly as the board computes it. One draw of images serves all methods and seeds, so that methods are
compared on the same images. Seeds are drawn after that, together for methods that were run with the same seeds.

What the intervals cover: the figure that a new draw of test images, from where these came from, and new training
seeds would give. They know nothing of another generator, another annotator or another test set. Images must be
independent: where several show the same source, add their terms up and give the sources as images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.errors import BenchkitError

Floats: TypeAlias = NDArray[np.float64]
#: A method's terms: (seeds, N, ...), or a sequence of (N, ...) per seed, or seed -> (N, ...).
Terms: TypeAlias = NDArray[Any] | Sequence[NDArray[Any]] | Mapping[int, NDArray[Any]]
#: Sums over images, (..., terms) -> values (...): see `benchkit.metrics.MetricInfo.pooled`.
Pooled: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

#: Of every board; a board says how many its own intervals come from.
REPLICATES = 1000
LEVEL = 0.95
#: Sums held at once while replicates are computed: 8 MiB of float64, of which a curve makes some ten copies.
_SUMS_AT_ONCE = 2**20


@dataclass(frozen=True)
class Bootstrap:
    """One paired bootstrap of several methods.

    estimates: method -> the mean over its seeds of the pooled metric; NaN where a seed's is undefined. replicates:
    method -> (R,) values, paired: index r is the same draw of images for every method; NaN where the metric of any of
    the method's seeds is undefined in that draw. seeds: method -> its seeds.
    """

    estimates: Mapping[str, float]
    replicates: Mapping[str, Floats]
    seeds: Mapping[str, tuple[int, ...]]
    images: int
    seeds_resampled: bool = True

    def of(self, method: str) -> Floats:
        """The (R,) replicates of a method; raises BenchkitError for a method that was not given."""
        if method not in self.replicates:
            raise BenchkitError(f"no method '{method}' in this bootstrap, only {', '.join(self.replicates)}")
        return self.replicates[method]


@dataclass(frozen=True)
class Interval:
    """A figure and its percentile interval.

    seeds: how many the figure is the mean of (of a difference, the fewer of the two). seed_variance: whether the
    interval covers it; never with one seed, for then nothing is known of how another training run would differ.
    undefined: fraction of replicates without a value, which the interval leaves out.
    """

    estimate: float
    low: float
    high: float
    level: float
    seeds: int
    seed_variance: bool
    undefined: float

    @property
    def covers(self) -> str:
        """What the interval covers, in words for a table's foot."""
        return "test images and seeds" if self.seed_variance else "test images only, no seed variance"


@dataclass(frozen=True)
class Difference(Interval):
    """A paired difference, first method minus second, and the fraction of replicates in which it is above zero.

    positive: ties count half. It is no p-value: it says how often a redraw of the data leaves the sign as it is.
    """

    positive: float = float("nan")


def bootstrap(
    methods: Mapping[str, Terms],
    pooled: Pooled,
    *,
    replicates: int = REPLICATES,
    seed: int | np.random.Generator = 0,
    resample_seeds: bool = True,
) -> Bootstrap:
    """Resample test images (and seeds) and recompute a pooled metric for every method, paired.

    methods: method -> additive terms, finite, over the same N images in the same order; the numbers of seeds may
    differ. pooled: sums (..., terms) -> (...). seed: an integer or a Generator. A method's replicates depend on the
    seed, on the images and on its own terms, not on which other methods are on the board.

    Seeds are resampled with replacement and the deviations of the draw from the mean over seeds are widened by
    sqrt(S / (S - 1)), without which S seeds show only (S - 1) / S of their variance (Rao and Wu 1988). With two or
    three seeds the interval is still short: it knows the seeds' variance from two or three values. A replicate may
    leave the metric's range by the widening. Drawing images and
    seeds crosswise errs on the wide side for what image and seed share (Owen 2007, "The pigeonhole bootstrap").

    Raises BenchkitError for terms that are missing, not finite or over different images.
    """
    if replicates < 1:
        raise BenchkitError(f"a bootstrap needs at least one replicate, not {replicates}")
    terms = {name: check_terms(name, given) for name, given in methods.items()}
    images = count_images(terms)
    root = int(np.random.default_rng(seed).integers(2**63))
    # Every kind of draw has its own stream, keyed by what it is for: a method that joins changes nobody else's.
    image_rng = np.random.default_rng([root, 0])
    draws = image_rng.multinomial(images, np.full(images, 1 / images), size=replicates).astype(np.float64)
    estimates, values = {}, {}
    for name, own in terms.items():
        stacked = np.stack(list(own.values()), axis=1)
        estimates[name] = float(np.mean(pooled(stacked.sum(axis=0))))
        per_seed = pool_draws(draws, stacked, pooled)
        values[name] = _over_seeds(per_seed, tuple(own), root) if resample_seeds else per_seed.mean(axis=1)
    return Bootstrap(estimates, values, {name: tuple(own) for name, own in terms.items()}, images, resample_seeds)


def interval(boot: Bootstrap, method: str, level: float = LEVEL) -> Interval:
    """A method's figure with its percentile interval over test images, and over seeds where there are several.

    The interval is NaN where the figure itself is.
    """
    values = boot.of(method)
    return Interval(boot.estimates[method], **_percentiles(boot, values, (method,), level))


def difference(boot: Bootstrap, first: str, second: str, level: float = LEVEL) -> Difference:
    """The difference between two methods on the same images (and the same seeds, where both were run with them).

    An interval without zero says that another draw of images and seeds would hardly turn the order. Of many pairs
    compared at 95 %, one in twenty equal ones is called different: nothing is corrected for that.
    """
    values = boot.of(first) - boot.of(second)
    positive = float(np.nanmean(_sign_share(values))) if not np.isnan(values).all() else float("nan")
    estimate = boot.estimates[first] - boot.estimates[second]
    return Difference(estimate, **_percentiles(boot, values, (first, second), level), positive=positive)


def ranks(boot: Bootstrap, higher_is_better: bool = True, level: float = LEVEL) -> pd.DataFrame:
    """Every method's rank (1 is best): as observed, and in the replicates as median with a percentile interval.

    Columns rank, median, low, high, indexed by method, best first. Ties share their mean rank; a method whose figure
    is undefined comes last in that replicate. Ranks are relative to this set of methods.
    """
    _check_level(level)
    observed = _ranks(np.array([[boot.estimates[name] for name in boot.replicates]]), higher_is_better)[0]
    drawn = _ranks(np.stack(list(boot.replicates.values()), axis=1), higher_is_better)
    # Ranks are no continuum: quantiles are ranks that occurred.
    low, median, high = np.quantile(drawn, [(1 - level) / 2, 0.5, (1 + level) / 2], axis=0, method="inverted_cdf")
    columns = {"rank": observed, "median": median, "low": low, "high": high}
    return pd.DataFrame(columns, index=pd.Index(boot.replicates, name="method")).sort_values("rank", kind="stable")


def check_terms(name: str, terms: Terms) -> dict[int, NDArray[Any]]:
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


def count_images(terms: Mapping[str, Mapping[int, NDArray[Any]]]) -> int:
    """Return the number of images, which all methods must share."""
    lengths = {name: len(next(iter(own.values()))) for name, own in terms.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise BenchkitError(f"methods must be scored on the same images, at least one: {lengths or 'no method given'}")
    return next(iter(lengths.values()))


def pool_draws(draws: Floats, terms: NDArray[Any], pooled: Pooled) -> Floats:
    """The metric of every draw and seed: draws (R, N) times terms (N, S, ...) -> (R, S)."""
    flat = terms.reshape(len(terms), -1).astype(np.float64)
    block = max(1, _SUMS_AT_ONCE // flat.shape[1])
    parts = []
    for start in range(0, len(draws), block):
        drawn = draws[start : start + block]
        sums = (drawn @ flat).reshape(len(drawn), *terms.shape[1:])
        parts.append(np.asarray(pooled(sums), np.float64))
    return np.concatenate(parts)


def _over_seeds(per_seed: Floats, seeds: tuple[int, ...], root: int) -> Floats:
    """The mean over seeds drawn with replacement, deviations widened: (R, S) -> (R,)."""
    number = len(seeds)
    mean = per_seed.mean(axis=1)
    if number == 1:
        return np.asarray(mean)
    # Keyed by the seeds themselves, so that methods run with the same seeds are drawn together.
    rng = np.random.default_rng([root, 1, *seeds])
    weights = rng.multinomial(number, np.full(number, 1 / number), size=len(per_seed)) / number
    return np.asarray(mean + np.sqrt(number / (number - 1)) * ((weights * per_seed).sum(axis=1) - mean))


def _percentiles(boot: Bootstrap, values: Floats, methods: tuple[str, ...], level: float) -> dict[str, Any]:
    _check_level(level)
    missing = np.isnan(values)
    known = not missing.all() and not any(np.isnan(boot.estimates[name]) for name in methods)
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2]) if known else (np.nan, np.nan)
    seeds = min(len(boot.seeds[name]) for name in methods)
    return {
        "low": float(low),
        "high": float(high),
        "level": level,
        "seeds": seeds,
        "seed_variance": seeds > 1 and boot.seeds_resampled,
        "undefined": float(missing.mean()),
    }


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise BenchkitError(f"a level lies between 0 and 1, such as 0.95, not {level}")


def _sign_share(values: Floats) -> Floats:
    return np.where(np.isnan(values), np.nan, (values > 0) + 0.5 * (values == 0))


def _goodness(values: Floats, higher_is_better: bool) -> Floats:
    signed = values if higher_is_better else -values
    return np.where(np.isnan(signed), -np.inf, signed)


def _ranks(values: Floats, higher_is_better: bool) -> Floats:
    """Ranks along the last axis, 1 is best, ties at their mean."""
    from scipy.stats import rankdata  # here, for it costs half a second that most commands need not spend

    return np.asarray(rankdata(-_goodness(values, higher_is_better), axis=-1))
