"""Intervals of figures and of paired differences, by Student's t on a variance that is split into images and seeds.

A figure in [0, 1] gets its interval on the logit scale, so that bounds stay inside [0, 1]. A difference of two figures
gets it on its own scale, where pairing cancels what the two share. The seed part is moderated over all methods given
together (see `variance`): give those of one detector and one test set.

An interval covers the figure that new test images, from where these came from, and new training seeds would give. It
knows nothing of another generator, another annotator or another test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from benchkit.statistics.confidence_level import LEVEL, check_level
from benchkit.statistics.distributions import chi2_below, t_below, t_quantile
from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.variance import Components, SeedPool, pool_seeds, split_variance

Floats = NDArray[np.float64]
Pair = tuple[str, str]
#: How improbable the seed part of a difference must be, among pairs with separate seed effects and for all pairs
#: together, for its rows to count as alike. `none` and `pseudo`, for example, train on almost the same images.
ALIKE = 1e-3
#: Figures nearer to 0 or 1 than this count as this on the logit scale: 0.01 %, which no board prints apart from 0.
EDGE = 1e-4


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its interval.

    error: the standard error and df its degrees of freedom, on the scale of the interval. components: the parts
    of the variance on that scale. Bounds are NaN where the figure is undefined, with or without an image.
    """

    estimate: float
    low: float
    high: float
    error: float
    df: float
    level: float
    components: Components

    @property
    def seed_variance(self) -> bool:
        """Whether the interval covers other seeds: never with one, which says nothing of another training run."""
        return self.components.number > 1


@dataclass(frozen=True, slots=True)
class Difference(Interval):
    """A paired difference, first method minus second. p: two-sided p-value of no difference."""

    p: float = float("nan")


def compute_intervals(methods: Mapping[str, Jackknife], level: float = LEVEL) -> dict[str, Interval]:
    """Return the interval of every method's mean figure; figures lie in [0, 1]."""
    check_level(level)
    pool = pool_methods(methods)
    found = {}
    for name, method in methods.items():
        parts = split_variance(to_logit(method.figures), method.influence / get_slope(method.figures))
        if name not in pool.unstable:
            parts = pool.moderate(parts, pool.mean, pool.mean_df)
        estimate, (error, half_width) = method.estimate, _half_width(parts, level)
        low, high = (float(expit(to_logit(np.array(estimate)) + side * half_width)) for side in (-1, 1))
        # A figure beyond EDGE lies outside of its interval on the logit scale.
        bounds = (min(low, estimate), max(high, estimate)) if error != 0 else (estimate, estimate)
        found[name] = Interval(estimate, *bounds, error, parts.total_df, level, parts)
    return found


def compute_differences(
    methods: Mapping[str, Jackknife], pairs: Sequence[Pair], level: float = LEVEL
) -> dict[Pair, Difference]:
    """Return the paired difference of each pair, first minus second, over the seeds that both have.

    Pairs without a common seed are omitted. The seed part of a difference is drawn towards what the pooled methods
    predict for it: the sum of their unshared variances, each times the squared slope dy / d logit(y) = y (1 - y) at
    its figure, and the shared one times the squared difference of the slopes. A pair whose own seed part is far too
    small for that, because the two rows' seeds vary together (ALIKE), keeps its own.

    A pair has no interval if all figures of both rows are 0, or all are 1: such figures do not show how far further
    seeds and images would move them.
    """
    check_level(level)
    pool = pool_methods(methods)
    found = {}
    for first, second in pairs:
        common = [seed for seed in methods[first].seeds if seed in methods[second].seeds]
        if not common:
            continue
        one, other = methods[first].of_seeds(common), methods[second].of_seeds(common)
        figures = one.figures - other.figures
        parts = split_variance(figures, one.influence - other.influence)
        if not pool.unstable & {first, second}:
            slopes = [float(get_slope(np.array(each.estimate))) for each in (one, other)]
            predicted = pool.unshared * (slopes[0] ** 2 + slopes[1] ** 2) + pool.shared * (slopes[0] - slopes[1]) ** 2
            if not _vary_together(parts, predicted, len(pairs)):
                parts = pool.moderate(parts, predicted, pool.unshared_df)
        estimate, (error, half_width) = float(figures.mean()), _half_width(parts, level)
        df = parts.total_df
        p = 2 * t_below(-abs(estimate) / error, df) if error > 0 else float(estimate == 0)
        if is_at_bound(one, other):
            error = half_width = p = float("nan")
        p = p if np.isfinite(error) else float("nan")
        found[first, second] = Difference(
            estimate, estimate - half_width, estimate + half_width, error, df, level, parts, p
        )
    return found


def is_at_bound(one: Jackknife, other: Jackknife) -> bool:
    """Return whether all figures of two methods are 0, or all are 1."""
    figures = np.concatenate([one.figures, other.figures])
    return bool((figures == 0).all() or (figures == 1).all())


def _vary_together(parts: Components, predicted: float, pairs: int) -> bool:
    """Return whether the seed part of a difference is improbably small for two rows with separate seed effects."""
    df = parts.seed_df
    if np.isnan(parts.seeds) or not predicted > 0:
        return False
    return chi2_below(df * parts.seeds / predicted, df) < ALIKE / pairs


def pool_methods(methods: Mapping[str, Jackknife]) -> SeedPool:
    """Pool what the methods' figures say about the variance between seeds, on the logit scale."""
    logits = {name: to_logit(method.figures).tolist() for name, method in methods.items()}
    return pool_seeds({name: dict(zip(methods[name].seeds, own, strict=True)) for name, own in logits.items()})


def to_logit(figures: Floats) -> Floats:
    """Return log(x / (1 - x)), finite for 0 and 1."""
    return np.asarray(logit(np.clip(figures, EDGE, 1 - EDGE)), np.float64)


def get_slope(figures: Floats) -> Floats:
    """Return the derivative y (1 - y) of a figure by its logit."""
    inside = np.clip(figures, EDGE, 1 - EDGE)
    return np.asarray(inside * (1 - inside))


def _half_width(parts: Components, level: float) -> tuple[float, float]:
    """Return the standard error, and how far the interval reaches to either side."""
    error = float(np.sqrt(parts.total))
    return error, t_quantile((1 + level) / 2, parts.total_df) * error
