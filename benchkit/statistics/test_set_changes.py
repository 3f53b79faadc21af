"""How a paired difference changes from one test set to another, when the same trained detectors are scored on both.

The difference of two methods is known for every seed on both test sets. Its change, second set minus first, is formed
seed by seed: what a seed does to both sets alike cancels. The variance of the mean change over S seeds is
C1 + C2 + V / S. C1 and C2 are the image parts of the difference on each set (see `variance`); the sets are of different
images, so they add up. V is the sample variance of the change between seeds. The interval is Student's t with
Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchkit.statistics.confidence_level import LEVEL, check_level
from benchkit.statistics.distributions import t_below, t_quantile
from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.variance import compute_satterthwaite_df, split_variance


@dataclass(frozen=True)
class Change:
    """A change with its interval and the two-sided p-value of no change; all NaN where nothing is known."""

    estimate: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")


def measure_change(
    first: tuple[Jackknife, Jackknife], second: tuple[Jackknife, Jackknife], level: float = LEVEL
) -> Change:
    """Return how the difference of two methods changes from the first test set to the second, second minus first.

    first, second: the two methods on one test set; the difference is the first method minus the second one. Only seeds
    count that all four have; without one, all is NaN. With a single seed the interval covers other images alone.
    """
    check_level(level)
    seeds = [seed for seed in first[0].seeds if all(seed in one.seeds for one in (*first, *second))]
    if not seeds:
        return Change()
    figures, images = [], []
    for test_set in (first, second):
        one, other = (method.of_seeds(seeds) for method in test_set)
        figures.append(one.figures - other.figures)
        images.append(split_variance(figures[-1], one.influence - other.influence))
    changes = figures[1] - figures[0]
    variances = [parts.images for parts in images]
    degrees = [parts.image_df for parts in images]
    if len(seeds) > 1:
        variances.append(float(changes.var(ddof=1)) / len(seeds))
        degrees.append(len(seeds) - 1.0)
    estimate, error = float(changes.mean()), float(np.sqrt(sum(variances)))
    df = compute_satterthwaite_df(variances, degrees)
    half_width = t_quantile((1 + level) / 2, df) * error if error else 0.0
    p = 2 * t_below(-abs(estimate) / error, df) if error > 0 else float(estimate == 0)
    return Change(estimate, estimate - half_width, estimate + half_width, p if np.isfinite(error) else float("nan"))
