"""Which methods differ: p-values of many pairs together, and what a paired difference says within a margin.

The family of pairs is controlled by the step-down max-|t| procedure (Romano and Wolf 2005): the probability that any
true equality is taken for a difference is at most 1 - level, whatever the correlations. The maximum's distribution
comes from normal draws with the covariance of the methods, over images and over seeds. Each pair enters with its own
p-value, so that few degrees of freedom are paid for pair by pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchkit.statistics.confidence_level import LEVEL
from benchkit.statistics.distributions import normal_above, normal_upper_quantile, t_below, t_quantile
from benchkit.statistics.intervals import Difference, Pair
from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.variance import PRIOR_DF
from benchkit.statistics.verdict import Verdict

Floats = NDArray[np.float64]

#: Normal draws behind the distribution of the largest |t|.
DRAWS = 20_000
#: Pairs that are drawn at once: their draws take 41 MB.
_PAIRS_AT_ONCE = 256


def adjust_step_down(
    methods: Mapping[str, Jackknife], differences: Mapping[Pair, Difference], seed: int = 0
) -> dict[Pair, float]:
    """Return the p-value of each pair, adjusted for all pairs that are given together.

    Each pair's p-value p gives a normal |z|. Let the pairs be ordered by it, the largest first. The adjusted p-value of
    the j-th pair is the maximum over i <= j of max(p_i, P(max over l >= i of |Z_l| >= |z_i|)), where Z is normal with
    the correlations of the differences. DRAWS draws give the probability.

    Pairs with an undefined p-value keep it, and count in no other pair's adjustment.
    """
    pairs = [pair for pair, difference in differences.items() if np.isfinite(difference.p)]
    adjusted = {pair: float("nan") for pair in differences}
    if not pairs:
        return adjusted
    p_values = np.array([differences[pair].p for pair in pairs])
    z_values = normal_upper_quantile(p_values / 2)
    order = np.argsort(-z_values, kind="stable")
    exceedance = np.empty(len(pairs))
    # From the smallest |z| to the largest, so that one running maximum serves all pairs.
    running_maximum = np.zeros((DRAWS, 1))
    end = len(pairs)
    for drawn in _draw_contrasts(methods, [pairs[i] for i in order[::-1]], seed):
        running_maximum = np.maximum.accumulate(
            np.maximum(drawn, running_maximum[:, -1:], out=drawn), axis=1, out=drawn
        )
        start = end - drawn.shape[1]
        exceedance[start:end] = (running_maximum[:, ::-1] >= z_values[order[start:end]]).mean(axis=0)
        end = start
    adjusted_p = np.maximum.accumulate(np.maximum(exceedance, p_values[order]))
    return adjusted | {pairs[i]: float(p) for i, p in zip(order, adjusted_p, strict=True)}


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that are adjusted for being made together (Holm 1979); NaN stays, and does not count.

    It needs no draws and holds whatever the correlations, and so finds fewer differences than `adjust_step_down`.
    """
    adjusted = [float("nan")] * len(p_values)
    order = sorted((i for i, p in enumerate(p_values) if np.isfinite(p)), key=lambda i: p_values[i])
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def simultaneous_half_widths(
    methods: Mapping[str, Jackknife], differences: Mapping[Pair, Difference], level: float = LEVEL, seed: int = 0
) -> dict[Pair, float]:
    """Return half the width of each pair's interval, so that all intervals hold together (max-|t|, a single step).

    NaN where the p-value is undefined; such pairs widen no other interval.
    """
    pairs = [pair for pair, difference in differences.items() if np.isfinite(difference.p)]
    half_widths = {pair: float("nan") for pair in differences}
    if not pairs:
        return half_widths
    largest = np.zeros(DRAWS)
    for drawn in _draw_contrasts(methods, pairs, seed):
        np.maximum(largest, drawn.max(axis=1), out=largest)
    error_rate = min(1 - level, 2 * normal_above(float(np.quantile(largest, level))))
    for pair in pairs:
        difference = differences[pair]
        width = -t_quantile(error_rate / 2, difference.df) * difference.error if difference.error > 0 else 0.0
        half_widths[pair] = width
    return half_widths


def _draw_contrasts(methods: Mapping[str, Jackknife], pairs: Sequence[Pair], seed: int) -> Iterator[Floats]:
    """Yield normal draws |z| (DRAWS, pairs) with the correlations of the pairs' differences, some pairs at a time.

    All of them would need 160 kB a pair.
    """
    names = sorted({name for pair in pairs for name in pair})
    place = {name: i for i, name in enumerate(names)}
    factor = _square_root(method_covariance([methods[name] for name in names]))
    normal = np.random.default_rng(seed).standard_normal((DRAWS, len(names))) @ factor.T
    starts = [0, *range(_PAIRS_AT_ONCE, len(pairs) - 1, _PAIRS_AT_ONCE)]  # a column alone would be summed differently
    for start, end in zip(starts, [*starts[1:], len(pairs)], strict=True):
        block = pairs[start:end]
        contrasts = np.stack([normal[:, place[a]] - normal[:, place[b]] for a, b in block], axis=1)
        spread = contrasts.std(axis=0)
        yield np.asarray(np.abs(contrasts, out=contrasts) / np.where(spread > 0, spread, np.inf))


def method_covariance(methods: Sequence[Jackknife]) -> Floats:
    """Return the covariance (M, M) of the methods' mean figures, over images and over seeds.

    Methods i and j: sum over images n of u_ni u_nj / (N (N - 1)), with u the mean influence over the seeds, and for
    i = j also V_i / S_i. The seed parts V are drawn towards their mean and count as independent. A covariance of S
    seeds has rank S - 1: with two seeds all differences would seem to vary together, and many of them would count as
    one.
    """
    u = np.stack([method.influence.mean(axis=1) for method in methods], axis=1)
    N = len(u)
    covariance = u.T @ u / max(1, N * (N - 1))
    df = np.array([len(method.seeds) - 1.0 for method in methods])
    variances = np.array([method.figures.var(ddof=1) if len(method.seeds) > 1 else 0.0 for method in methods])
    prior_df = PRIOR_DF[1] if df.any() else 0.0
    mean = float(np.average(variances, weights=df)) if df.any() else 0.0
    V = (prior_df * mean + df * variances) / np.maximum(prior_df + df, 1e-9)
    return np.asarray(covariance + np.diag(np.where(df > 0, V / (df + 1), 0.0)))


def judge(difference: Difference, adjusted: float, margin: float, *, higher_is_better: bool = True) -> Verdict:
    """Return what a paired difference shows, given its adjusted p-value and the margin below which none matters.

    better, worse: the adjusted p-value is at most 1 - level. equivalent: it is not, and the interval of two one-sided
    tests at the same error rate (a 90 % interval for a level of 95 %) lies within the margin. unresolved: neither.
    """
    if adjusted <= 1 - difference.level:
        return "better" if (difference.estimate > 0) == higher_is_better else "worse"
    half_width = t_quantile(difference.level, difference.df) * difference.error
    return "equivalent" if abs(difference.estimate) + half_width < margin else "unresolved"


def probability_of_improvement(difference: Difference) -> float:
    """Return the probability that the first method's true figure is above the second's, by the difference's t."""
    if not difference.error > 0:
        return 0.5 + 0.5 * float(np.sign(difference.estimate))
    return t_below(difference.estimate / difference.error, difference.df)


def find_significant(adjusted: Mapping[Pair, float], level: float = LEVEL) -> set[Pair]:
    """Return the pairs that differ at this level of confidence."""
    return {pair for pair, p in adjusted.items() if p <= 1 - level}


def _square_root(covariance: Floats) -> Floats:
    """Return L with L L^T = covariance, also where it is singular.

    An eigenvector may have either sign, which libraries choose differently: here its largest component is positive, so
    that every machine draws the same.
    """
    values, vectors = np.linalg.eigh(covariance)
    vectors = vectors * np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0))
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)))
