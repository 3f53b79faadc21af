"""The statistics of very many methods: as in `intervals`, computed in blocks, and ranks without all pairs.

M methods have M (M - 1) / 2 pairs: 50 million for 10,000 methods. Beyond MOST_PAIRED methods each one is compared with
the mean of all methods instead, paired by image and by seed: d = logit(y) - logit(mean y). d gets an interval at the
level 1 - (1 - LEVEL) / M. All M intervals hold together with LEVEL, whatever their correlations (Bonferroni). If they
hold and two of them are disjoint, then the sign of d_i - d_j is known, which is the order of the two methods' figures.
So all orders and all ranks that follow hold together, too (Klein, Wright and Wieczorek 2020, "A joint confidence region
for an overall ranking of populations"). This finds fewer differences than max-|t| over all pairs. No comparison is
chosen by its result.

The logit matters because the level is so high. Near 0 and 1 a figure is too skewed for Student's t, and a method whose
few seeds all came out there by chance seems to vary little.

Influences may be float32, see `Jackknife.compact`. All is computed in float64.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.special import expit

from benchkit.statistics.confidence_level import LEVEL
from benchkit.statistics.distributions import chi2_median
from benchkit.statistics.intervals import ALIKE, Difference, Interval, Pair, get_slope, is_at_bound, to_logit
from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.ranks import Rank, rank
from benchkit.statistics.variance import LEAST_DF, UNSTABLE, Components, SeedPool, compute_pool_df, fit_prior

Floats = NDArray[np.float64]
#: So many methods of one ranking are compared pair by pair: 200 have 19,900 pairs.
MOST_PAIRED = 200
#: Numbers of one block: 1 MiB of float64.
_AT_ONCE = 2**17


class Parts(NamedTuple):
    """`Components` of many figures, (M,) each; `seeds` is NaN with one seed."""

    images: Floats
    seeds: Floats
    interaction: Floats
    number: int
    image_df: Floats
    seed_df: Floats

    def moderate(self, pool: SeedPool, mean: Floats, mean_df: float, pooled: NDArray[np.bool_]) -> Parts:
        """Return the same with the seed parts of the figures in `pooled` drawn towards `mean`, see `SeedPool`."""
        d_0, d = pool.prior_df, self.seed_df
        drawn = pooled & ~np.isnan(self.seeds) & (mean_df > d)
        moderated = (d_0 * mean + d * self.seeds) / np.maximum(d_0 + d, 1e-9)
        seed_df = np.where(drawn, np.minimum(d_0 + d, mean_df), d)
        return self._replace(seeds=np.where(drawn, moderated, self.seeds), seed_df=seed_df)

    def half_widths(self, level: float) -> tuple[Floats, Floats, Floats]:
        """Return the standard errors, their degrees of freedom, and half the widths of the intervals."""
        if self.number == 1:
            total, degrees = self.images, self.image_df
        else:
            between = self.seeds / self.number
            total = self.images + between
            # As `compute_satterthwaite_df`, of arrays.
            parts = ((self.images, self.image_df), (between, self.seed_df))
            divisor = sum(np.where(part == 0, 0, part**2 / np.maximum(df, 1e-9)) for part, df in parts)
            with np.errstate(divide="ignore", invalid="ignore"):
                degrees = np.where(divisor == 0, np.inf, total**2 / divisor)
        error = np.sqrt(total)
        return error, degrees, special.stdtrit(degrees, (1 + level) / 2) * error

    def components(self) -> Iterator[Components]:
        """Yield the parts of each figure."""
        columns = (self.images, self.seeds, self.interaction, self.image_df, self.seed_df)
        for images, seeds, interaction, image_df, seed_df in zip(*(each.tolist() for each in columns), strict=True):
            yield Components(images, seeds, interaction, self.number, image_df, seed_df)


def split_variances(figures: Floats, influence: Floats) -> Parts:
    """Return `split_variance` of many figures, (M, S), with their influences, (M, N, S).

    The formulas are the same; a loop over 10,000 methods would be too slow. Both agree up to rounding
    (tests/statistics/test_many_methods.py).
    """
    M, N, S = influence.shape
    scale = N * (N - 1) if N > 1 else np.nan
    over_seeds = influence.sum(axis=2)
    mean_variance = np.einsum("mns,mns->m", influence, influence) / (scale * S)
    covariance_sum = np.einsum("mn,mn->m", over_seeds, over_seeds) / scale
    squares = over_seeds / S
    squares -= squares.mean(axis=1, keepdims=True)
    squares *= squares
    variance, fourth = squares.mean(axis=1), np.einsum("mn,mn->m", squares, squares) / N
    most = N - 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        kurtosis = fourth / variance**2
    degrees = np.clip(2 * N / np.maximum(kurtosis - 1, 1e-9), min(LEAST_DF, most), most)
    image_df = np.where(variance > 0, degrees, most)
    if S == 1:
        return Parts(mean_variance, np.full(M, np.nan), np.zeros(M), 1, image_df, np.zeros(M))
    C = np.maximum(0, (covariance_sum - S * mean_variance) / (S * (S - 1)))
    V = figures.var(axis=1, ddof=1)
    W = np.maximum(0, mean_variance - C)
    return Parts(C, V, W, S, image_df, np.full(M, S - 1.0))


def _blocks(numbers: Sequence[int], images: int) -> Iterator[list[int]]:
    """Yield places of methods with the same number of seeds, as many as are computed at once; numbers: of seeds."""
    by_number: dict[int, list[int]] = defaultdict(list)
    for place, number in enumerate(numbers):
        by_number[number].append(place)
    for number, places in by_number.items():
        size = max(1, _AT_ONCE // max(1, number * images))
        yield from (places[i : i + size] for i in range(0, len(places), size))


def _blocks_of(methods: Sequence[Jackknife]) -> Iterator[list[int]]:
    """Yield the blocks of methods."""
    return _blocks([len(method.seeds) for method in methods], methods[0].images if methods else 0)


def _influence_on_logits(methods: Sequence[Jackknife], block: list[int], figures: Floats) -> Floats:
    """Return the influences on the logits of a block's figures, (M, S): (M, N, S)."""
    found = np.stack([methods[i].influence for i in block], dtype=np.float64)
    found /= get_slope(figures)[:, None, :]
    return found


def pool_many(methods: Mapping[str, Jackknife]) -> SeedPool:
    """Return `pool_methods` of many methods, without a loop over their pairs.

    The mean over all pairs of var(y_i - y_j) / 2 is (M sum var(y_i) - var(sum y_i)) / (M (M - 1)). It is taken over the
    methods that have the seeds which most of them have.
    """
    names, every = list(methods), list(methods.values())
    judged: list[int] = []  # methods with two seeds or more and finite figures
    variance_list: list[float] = []
    df_list: list[float] = []
    for block in _blocks_of(every):
        logits = to_logit(np.stack([every[i].figures for i in block]))
        finite = np.array([bool(np.isfinite(every[i].figures).all()) for i in block])
        if logits.shape[1] > 1:
            kept = [i for i, ok in zip(block, finite, strict=True) if ok]
            judged += kept
            variance_list += logits[finite].var(axis=1, ddof=1).tolist()
            df_list += [logits.shape[1] - 1.0] * len(kept)
    variances, degrees = np.array(variance_list), np.array(df_list)
    is_unstable = np.zeros(len(variances), bool)
    if len(variances) > 2:
        medians = {df: chi2_median(df) / df for df in set(df_list)}
        typical = float(np.median(variances / np.array([medians[df] for df in df_list])))
        is_unstable = variances > typical * special.chdtri(degrees, UNSTABLE / len(variances)) / degrees
    unstable = frozenset(names[judged[i]] for i in np.flatnonzero(is_unstable))
    stable = [judged[i] for i in np.flatnonzero(~is_unstable)]
    if len(stable) < 2:
        return SeedPool(float("nan"), float("nan"), 0.0, 0.0, 0.0, unstable)
    variances, degrees = variances[~is_unstable], degrees[~is_unstable]
    mean = float(np.average(variances, weights=degrees))
    seeds = Counter(every[i].seeds for i in stable).most_common(1)[0][0]
    logits = to_logit(np.stack([every[i].figures for i in stable if every[i].seeds == seeds]))
    M = len(logits)
    pair_sum = M * logits.var(axis=1, ddof=1).sum() - logits.sum(axis=0).var(ddof=1)
    unshared = float(pair_sum / (M * (M - 1))) if M > 1 else mean
    mean_df, unshared_df = compute_pool_df(mean, unshared, degrees)
    return SeedPool(mean, unshared, fit_prior(variances, degrees), mean_df, unshared_df, unstable)


def intervals_of_many(methods: Mapping[str, Jackknife], pool: SeedPool, level: float = LEVEL) -> dict[str, Interval]:
    """Return `compute_intervals` of many methods; pool: of all of them."""
    names, every = list(methods), list(methods.values())
    found: dict[str, Interval] = {}
    for block in _blocks_of(every):
        figures = np.stack([every[i].figures for i in block])
        pooled = np.array([names[i] not in pool.unstable for i in block])
        parts = split_variances(to_logit(figures), _influence_on_logits(every, block, figures))
        parts = parts.moderate(pool, np.full(len(block), pool.mean), pool.mean_df, pooled)
        estimates = figures.mean(axis=1)
        error, degrees, half_width = parts.half_widths(level)
        centre = to_logit(estimates)
        exact = error == 0
        low = np.where(exact, estimates, np.minimum(expit(centre - half_width), estimates))
        high = np.where(exact, estimates, np.maximum(expit(centre + half_width), estimates))
        columns = np.stack([estimates, low, high, error, degrees], axis=1).tolist()
        for i, (y, least, most, e, f), each in zip(block, columns, parts.components(), strict=True):
            found[names[i]] = Interval(y, least, most, e, f, level, each)
    return {name: found[name] for name in names}


def differences_of_many(
    methods: Mapping[str, Jackknife], pairs: Sequence[Pair], pool: SeedPool, level: float = LEVEL
) -> dict[Pair, Difference]:
    """Return `compute_differences` of many pairs; pool: of all methods."""
    kept, numbers = [], []
    for pair in pairs:
        if number := len({*methods[pair[0]].seeds} & {*methods[pair[1]].seeds}):
            kept.append(pair)
            numbers.append(number)
    found: dict[Pair, Difference] = {}
    for block in _blocks(numbers, next(iter(methods.values())).images if kept else 0):
        ends = [_over_common_seeds(methods[kept[i][0]], methods[kept[i][1]]) for i in block]
        one, other = (np.stack([both[side].figures for both in ends]) for side in (0, 1))
        influence = np.stack([np.subtract(a.influence, b.influence, dtype=np.float64) for a, b in ends])
        figures, slope, against = one - other, get_slope(one.mean(axis=1)), get_slope(other.mean(axis=1))
        predicted = pool.unshared * (slope**2 + against**2) + pool.shared * (slope - against) ** 2
        pooled = np.array([not pool.unstable & {*kept[i]} for i in block])
        parts = _moderate_differences(split_variances(figures, influence), pool, predicted, pooled, len(pairs))
        estimates = figures.mean(axis=1)
        error, degrees, half_width = parts.half_widths(level)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.where(error > 0, 2 * special.stdtr(degrees, -np.abs(estimates) / error), estimates == 0.0)
        at_bound = np.array([is_at_bound(a, b) for a, b in ends])
        error, half_width = (np.where(at_bound, np.nan, each) for each in (error, half_width))
        p = np.where(np.isfinite(error), p, np.nan)
        columns = np.stack([estimates, estimates - half_width, estimates + half_width, error, degrees], axis=1).tolist()
        for i, (y, low, high, e, f), each, q in zip(block, columns, parts.components(), p.tolist(), strict=True):
            found[kept[i]] = Difference(y, low, high, e, f, level, each, q)
    return found if len(set(numbers)) < 2 else {pair: found[pair] for pair in kept}  # already in order


def _over_common_seeds(one: Jackknife, other: Jackknife) -> tuple[Jackknife, Jackknife]:
    """Return two methods over the seeds that both have, in the order of the first one's."""
    if one.seeds == other.seeds:
        return one, other
    common = tuple(seed for seed in one.seeds if seed in other.seeds)
    return one.of_seeds(common), other.of_seeds(common)


def _moderate_differences(
    parts: Parts, pool: SeedPool, predicted: Floats, pooled: NDArray[np.bool_], number: int
) -> Parts:
    """Return differences moderated as those of `compute_differences`: not where two rows' seeds vary together."""
    if parts.number == 1:
        return parts
    df = parts.seed_df
    with np.errstate(divide="ignore", invalid="ignore"):
        together = (predicted > 0) & (special.chdtr(df, df * parts.seeds / predicted) < ALIKE / number)
    return parts.moderate(pool, predicted, pool.unshared_df, pooled & ~together)


class Joint(NamedTuple):
    """Joint intervals of methods' logits less that of the mean of all, (M,) each; NaN where there is none."""

    names: tuple[str, ...]
    low: Floats
    high: Floats

    def rank(self, estimates: Mapping[str, float], *, higher_is_better: bool = True) -> tuple[dict[str, Rank], int]:
        """Return every method's rank with its simultaneous interval, see `rank_methods`, and how many pairs differ."""
        goodness = np.array([estimates[name] for name in self.names]) * (1 if higher_is_better else -1)
        places = rank(-np.nan_to_num(goodness, nan=-np.inf), "best").astype(int)
        low, high = (self.low, self.high) if higher_is_better else (-self.high, -self.low)
        finite = np.isfinite(low) & np.isfinite(high)
        lows, highs = np.sort(low[finite]), np.sort(high[finite])
        ahead = np.where(finite, len(lows) - np.searchsorted(lows, high, "right"), 0)
        behind = np.where(finite, np.searchsorted(highs, low, "left"), 0)
        least, most = np.minimum(places, 1 + ahead), np.maximum(places, len(places) - behind)
        ranks = zip(self.names, places.tolist(), least.tolist(), most.tolist(), strict=True)
        return {name: Rank(place, first, last) for name, place, first, last in ranks}, int(behind.sum())


def joint_intervals(methods: Mapping[str, Jackknife], pool: SeedPool, level: float = LEVEL) -> Joint:
    """Return the interval of every method's logit less that of the mean of all methods, so that all hold together.

    The mean is over the methods that have all of the seeds which most methods have. A method without any of these seeds
    has no interval, nor has one whose figure is undefined without some image. The seed part is drawn towards the
    unshared variance of the pooled methods.
    """
    names, every = tuple(methods), list(methods.values())
    low, high = np.full(len(every), np.nan), np.full(len(every), np.nan)
    seeds = Counter(method.seeds for method in every).most_common(1)[0][0]
    complete = [own for own in every if set(seeds) <= set(own.seeds) and np.isfinite(own.influence).all()]
    if not complete:
        return Joint(names, low, high)
    influence, figures = np.zeros((every[0].images, len(seeds))), np.zeros(len(seeds))
    for own in (own if own.seeds == seeds else own.of_seeds(seeds) for own in complete):
        influence += own.influence
        figures += own.figures
    figures = figures / len(complete)
    influence = influence / len(complete) / get_slope(figures)
    unshared = pool.unshared * (1 + 1 / len(complete))
    by_seeds: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, own in enumerate(every):
        if common := tuple(seed for seed in seeds if seed in own.seeds):
            by_seeds[common].append(place)
    for common, places in by_seeds.items():
        columns = [seeds.index(seed) for seed in common]
        centre, against = to_logit(figures[columns]), influence[:, columns]
        chosen = [every[i] if every[i].seeds == common else every[i].of_seeds(common) for i in places]
        for block in _blocks_of(chosen):
            here = [places[i] for i in block]
            theirs = np.stack([chosen[i].figures for i in block])
            parts = split_variances(to_logit(theirs) - centre, _influence_on_logits(chosen, block, theirs) - against)
            pooled = np.array([names[i] not in pool.unstable for i in here])
            parts = parts.moderate(pool, np.full(len(here), unshared), pool.unshared_df, pooled)
            half_width = parts.half_widths(1 - (1 - level) / len(every))[2]
            d = to_logit(theirs.mean(axis=1)) - to_logit(figures[columns].mean())
            low[here], high[here] = d - half_width, d + half_width
    return Joint(names, low, high)
