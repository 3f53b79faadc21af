"""What several settings (a detector, a selector and a test set each) say together of the methods that they share.

- The share of a method: which part of the distance from a lower to an upper reference row it covers. All seeds of all
  settings are summarised by the interquartile mean (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of
  the Statistical Precipice"): the mean of the middle half.
- The agreement of two settings: Kendall's tau of their orders, and the pairs that they resolve.

Settings are given, not drawn: intervals cover new test images and new seeds in these settings, and no further setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from benchkit.statistics.confidence_level import LEVEL, check_level
from benchkit.statistics.distributions import t_quantile
from benchkit.statistics.intervals import Difference, Interval, Pair
from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.variance import pool_seeds, split_variance

Floats = NDArray[np.float64]
#: What is cut from each end before the mean is taken.
CUT = 0.25
#: A distance must be this many times as large as its interval reaches to one side, or nothing is divided by it.
LEAST_DISTANCE = 2.0


@dataclass(frozen=True)
class Setting:
    """The rows of one setting. test_set: settings of one test set are scored on the same images, in the same order.

    lower, upper: the rows that lie at 0 and at 1. methods: the rows in question, by name.
    """

    test_set: str
    lower: Jackknife
    upper: Jackknife
    methods: Mapping[str, Jackknife]


@dataclass(frozen=True)
class Share:
    """A method's share. interval: of the interquartile mean. settings: the places of those that have the method, means:
    the mean over its seeds in each of these. seeds: those that all of them have."""

    interval: Interval
    settings: tuple[int, ...]
    means: tuple[float, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Agreement:
    """How far two settings order the same methods alike.

    methods: their number. tau: Kendall's tau-b; low, high: between which it lies, given the pairs that are resolved; p:
    of a tau as extreme between unrelated orders. same, opposite: pairs that both settings resolve, in the same
    direction and in opposite ones; the first of an opposite pair is better in the first setting.
    """

    methods: int
    tau: float
    low: float
    high: float
    p: float
    same: tuple[Pair, ...]
    opposite: tuple[Pair, ...]


def interquartile_mean(values: Floats) -> float:
    """Return the mean of the middle half: a quarter of the values, rounded down, is cut from each end."""
    from scipy import stats  # here, because importing it takes half a second

    return float(stats.trim_mean(np.ravel(values), CUT))


def is_distance(difference: Difference) -> bool:
    """Return whether a difference, upper minus lower, is so far above 0 that shares of it can be given."""
    half_width = (difference.high - difference.low) / 2
    return bool(difference.estimate > LEAST_DISTANCE * half_width)


def share_methods(settings: Sequence[Setting], level: float = LEVEL) -> dict[str, Share]:
    """Return the share of every method that a setting has, with the interval of its interquartile mean.

    Every setting must have a distance, see `is_distance`. A method without a seed that is common to its rows and the
    references in all its settings is omitted. The seed part of the variance is moderated over the methods, as in
    `compute_intervals`.
    """
    check_level(level)
    linearised = {}
    for name in dict.fromkeys(name for setting in settings for name in setting.methods):
        indices = tuple(i for i, setting in enumerate(settings) if name in setting.methods)
        if share := _linearise([settings[i] for i in indices], name):
            linearised[name] = (indices, *share)
    pool = pool_seeds(
        {name: dict(zip(own.seeds, own.figures, strict=True)) for name, (_, own, _) in linearised.items()}
    )
    shares = {}
    for name, (indices, mean_share, means) in linearised.items():
        parts = split_variance(mean_share.figures, mean_share.influence)
        if name not in pool.unstable:
            parts = pool.moderate(parts, pool.mean, pool.mean_df)
        error, df = float(np.sqrt(parts.total)), parts.total_df
        half_width = t_quantile((1 + level) / 2, df) * error
        T = mean_share.estimate
        interval = Interval(T, T - half_width, T + half_width, error, df, level, parts)
        shares[name] = Share(interval, indices, tuple(means), mean_share.seeds)
    return shares


def _linearise(settings: Sequence[Setting], name: str) -> tuple[Jackknife, list[float]] | None:
    """Return the interquartile mean as a mean over seeds, to first order, and the mean share in each setting.

    In setting k with seed r, the share is s_kr = (y_kr - lower_kr) / D_k, with d_kr = upper_kr - lower_kr and D_k the
    mean of d_kr over the S seeds. The interquartile mean is T = sum of w_kr s_kr, with w_kr = 1 / h for the h values
    that are kept, else 0. Seed r contributes, with a_k the sum over r of w_kr s_kr,

        T + sum over k of [(S / h) (clip(s_kr) - mean over r of clip(s_kr)) - a_k (d_kr / D_k - 1)].

    The first part is the influence function of a trimmed mean: clip moves the values that are cut to the nearest one
    that is kept. An image moves s_kr of all seeds alike, so the influence of an image has the weights w_k of settings.
    """
    rows = [(setting.methods[name], setting.lower, setting.upper) for setting in settings]
    seeds = [s for s in rows[0][0].seeds if all(s in own.seeds for three in rows for own in three)]
    if not seeds:
        return None
    chosen = [[own.of_seeds(seeds) for own in three] for three in rows]
    gains = np.array([row.figures - lower.figures for row, lower, _ in chosen])
    d = np.array([upper.figures - lower.figures for _, lower, upper in chosen])
    D = d.mean(axis=1, keepdims=True)
    s = gains / D
    T, order = interquartile_mean(s), np.argsort(s, axis=None, kind="stable")
    cut = int(CUT * s.size)
    w = np.zeros(s.shape)
    w.flat[order[cut : s.size - cut]] = 1 / (s.size - 2 * cut)
    clipped = np.clip(s, s.flat[order[cut]], s.flat[order[s.size - cut - 1]])
    trimmed_part = len(seeds) * w.max() * (clipped - clipped.mean(axis=1, keepdims=True))
    a = (w * s).sum(axis=1)
    figures = T + (trimmed_part - a[:, None] * (d / D - 1)).sum(axis=0)
    influences: dict[str, Floats] = {}
    for k, (setting, (row, lower, upper)) in enumerate(zip(settings, chosen, strict=True)):
        of_gain, of_distance = row.influence - lower.influence, upper.influence - lower.influence
        moved = w[k].sum() * of_gain - a[k] * of_distance
        influences[setting.test_set] = influences.get(setting.test_set, 0.0) + moved / D[k]
    return Jackknife(tuple(seeds), figures, _stack_test_sets(list(influences.values()))), s.mean(axis=1).tolist()


def _stack_test_sets(influences: Sequence[Floats]) -> Floats:
    """Return the influences of all test sets' images, so scaled that `split_variance` adds the sets' variances up."""
    number = sum(map(len, influences))
    scales = [np.sqrt(number * (number - 1) / max(1, len(own) * (len(own) - 1))) for own in influences]
    return np.concatenate([scale * own for scale, own in zip(scales, influences, strict=True)])


@dataclass(frozen=True)
class Order:
    """One setting's order. estimates: method -> figure. adjusted: pair -> p-value, adjusted for all pairs together."""

    estimates: Mapping[str, float]
    adjusted: Mapping[Pair, float]

    def direction(self, first: str, second: str, error_rate: float) -> int:
        """Return 1 or -1 if the first method's figure is resolved above or below the second's, else 0."""
        p = self.adjusted.get((first, second), self.adjusted.get((second, first), np.nan))
        return int(np.sign(self.estimates[first] - self.estimates[second])) if p <= error_rate else 0


def compare_orders(first: Order, second: Order, level: float = LEVEL) -> Agreement:
    """Return how far two settings agree on the methods that both have; NaN with fewer than two.

    same, opposite: each setting at this level by itself. low, high: from the pairs that are resolved at half the error
    rate, so that they hold for both settings together at this level; any other pair may lie either way.
    """
    check_level(level)
    names = [n for n, own in first.estimates.items() if np.isfinite([own, second.estimates.get(n, np.nan)]).all()]
    pairs = list(combinations(names, 2))
    if not pairs:
        nothing = float("nan")
        return Agreement(len(names), nothing, nothing, nothing, nothing, (), ())
    from scipy import stats  # here, because importing it takes half a second

    found = stats.kendalltau(*([order.estimates[name] for name in names] for order in (first, second)))
    ways = {pair: [order.direction(*pair, 1 - level) for order in (first, second)] for pair in pairs}
    sure = [np.prod([order.direction(*pair, (1 - level) / 2) for order in (first, second)]) for pair in pairs]
    low, high = (1 - 2 * np.mean(np.array(sure) != 1), 1 - 2 * np.mean(np.array(sure) == -1))
    # Equal figures count half in tau-b, and may leave it outside.
    tau = float(found.statistic)
    return Agreement(
        methods=len(names),
        tau=tau,
        low=float(np.fmin(low, tau)),
        high=float(np.fmax(high, tau)),
        p=float(found.pvalue),
        same=tuple(pair if way[0] > 0 else pair[::-1] for pair, way in ways.items() if way[0] * way[1] > 0),
        opposite=tuple(pair if way[0] > 0 else pair[::-1] for pair, way in ways.items() if way[0] * way[1] < 0),
    )
