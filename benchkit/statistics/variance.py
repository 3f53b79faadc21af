"""How much of a figure's variance comes from the test images, from the seeds, and from both together.

A figure is the mean over S seeds of a pooled metric on N images. Its variance is C + V / S.

- C (images) is what all seeds share because they are scored on the same images: the mean covariance between two seeds,
  by the jackknife over the images.
- V (seeds) is the variance between seeds, of training noise and of the labelled draw, by the sample variance. V holds
  the interaction of image and seed, so nothing has to be subtracted from C + V / S.
- W (interaction) is the mean variance of one seed's figure over the images, less C. Further images lower W, too.

V has only S - 1 degrees of freedom. So it is pooled over the methods of one detector, moderately: each method's own
variance is drawn towards the mean of all by an empirical-Bayes prior (Smyth 2004, limma), fitted to how unequal the
variances are. A method whose seeds vary far more than the others' keeps its own variance and is not pooled (as in
limma's robust form, Phipson et al. 2016). The degrees of freedom of C + V / S are Satterthwaite's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

from benchkit.statistics.distributions import chi2_median, chi2_upper_quantile

Floats = NDArray[np.float64]

#: The prior's degrees of freedom lie between these. A board has about ten methods, too few to fit a prior that says
#: their variances are all equal (infinite degrees) or unrelated (none): intervals then cover too rarely. Within these
#: limits they cover 93 to 97 % in benchmarks/coverage.py.
PRIOR_DF = (2.0, 4.0)
#: How improbable a method's variance must be, among equal ones and for all methods together, to count as unstable.
UNSTABLE = 1e-4
#: The least degrees of freedom of the image part, for figures that a few images decide.
LEAST_DF = 4.0


@dataclass(frozen=True, slots=True)
class Components:
    """The variance of one figure, split.

    images: C. seeds: V, NaN for one seed. interaction: W. number: S. image_df, seed_df: degrees of freedom of C and V.
    """

    images: float
    seeds: float
    interaction: float
    number: int
    image_df: float
    seed_df: float

    @property
    def total(self) -> float:
        """The variance of the mean over the seeds, C + V / S; without V for one seed."""
        return self.images + (0.0 if np.isnan(self.seeds) else self.seeds / self.number)

    @property
    def total_df(self) -> float:
        """Satterthwaite's degrees of freedom of the total; with one seed those of C."""
        if np.isnan(self.seeds):
            return self.image_df
        return compute_satterthwaite_df((self.images, self.seeds / self.number), (self.image_df, self.seed_df))


def compute_satterthwaite_df(parts: Sequence[float], degrees: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of variances: (sum of v_i)^2 / sum of (v_i^2 / df_i).

    Infinite where all variances are 0 (Satterthwaite 1946).
    """
    total = sum(parts)
    divisor = sum(part**2 / max(df, 1e-9) for part, df in zip(parts, degrees, strict=True) if part)
    return total**2 / divisor if divisor else float("inf")


def split_variance(figures: Floats, influence: NDArray[np.floating[Any]]) -> Components:
    """Split the variance of the mean of `figures` (S,), given their influences (N, S), see `Jackknife`.

    All is NaN where there is one image only.
    """
    u = np.asarray(influence, np.float64)
    N, S = u.shape
    # Covariance (S, S) of the seeds' figures over the images: sum over images of u u^T / (N (N - 1)).
    covariance = u.T @ u / (N * (N - 1)) if N > 1 else np.full((S, S), np.nan)
    image_df = compute_image_df(u.mean(axis=1))
    mean_variance = float(np.trace(covariance)) / S
    if S == 1:
        return Components(mean_variance, float("nan"), 0.0, 1, image_df, 0.0)
    # np.maximum and not max, which would hide that a part is undefined.
    C = float(np.maximum(0, (covariance.sum() - S * mean_variance) / (S * (S - 1))))  # mean of the other entries
    V = float(figures.var(ddof=1))
    W = float(np.maximum(0, mean_variance - C))
    return Components(C, V, W, S, image_df, S - 1.0)


def compute_image_df(influence: Floats) -> float:
    """Return the degrees of freedom of the image part: 2 N / (kurtosis of the influences - 1), at most N - 1.

    That matches the variance of a sample variance. A figure that a few large images decide has few degrees.
    """
    N, deviations = len(influence), influence - influence.mean()
    variance = float((deviations**2).mean())
    if not variance > 0:
        return float(N - 1)
    kurtosis = float((deviations**4).mean()) / variance**2
    most = N - 1.0
    return float(np.clip(2 * N / max(kurtosis - 1, 1e-9), min(LEAST_DF, most), most))


@dataclass(frozen=True)
class SeedPool:
    """What the methods of one detector say together about the variance between seeds.

    mean: the mean variance of a method's figures between seeds. unshared: the part of it that each method has alone, as
    measured on differences of two methods; by chance it may be larger than the mean. prior_df: degrees of freedom
    with which a method's own variance is drawn towards the mean. mean_df, unshared_df: degrees of freedom of the mean
    and of the unshared part. unstable: methods that are not pooled.
    """

    mean: float
    unshared: float
    prior_df: float
    mean_df: float
    unshared_df: float
    unstable: frozenset[str]

    @property
    def shared(self) -> float:
        """What all methods have in common in each seed (an easier draw of labelled images, say)."""
        return max(0.0, self.mean - self.unshared)

    def moderate(self, parts: Components, mean: float, mean_df: float) -> Components:
        """Return a variance whose seed part V is drawn towards `mean`, which has `mean_df` degrees of freedom.

        V becomes (d_0 mean + d V) / (d_0 + d), with d_0 = prior_df and d the degrees of V (Smyth 2004). V stays as it
        is if the mean is no better known than V itself.
        """
        d_0, d = self.prior_df, parts.seed_df
        if np.isnan(parts.seeds) or mean_df <= d:
            return parts
        return replace(parts, seeds=(d_0 * mean + d * parts.seeds) / (d_0 + d), seed_df=min(d_0 + d, mean_df))


def pool_seeds(methods: Mapping[str, Mapping[int, float]]) -> SeedPool:
    """Pool the variances between seeds. methods: method -> seed -> its figure, on one scale for all.

    The unshared part is the mean over all pairs of methods of var(y_i - y_j) / 2, over the seeds that both have.
    """
    variance_of = {
        name: float(np.var(list(figures.values()), ddof=1))
        for name, figures in methods.items()
        if len(figures) > 1 and np.isfinite(list(figures.values())).all()
    }
    df_of = {name: len(methods[name]) - 1.0 for name in variance_of}
    unstable = find_unstable(variance_of, df_of)
    stable = [name for name in variance_of if name not in unstable]
    if len(stable) < 2:
        return SeedPool(float("nan"), float("nan"), 0.0, 0.0, 0.0, unstable)
    variances, degrees = np.array([variance_of[name] for name in stable]), np.array([df_of[name] for name in stable])
    mean = float(np.average(variances, weights=degrees))
    half_difference_variances = []
    for first, second in combinations(stable, 2):
        common = [seed for seed in methods[first] if seed in methods[second]]
        if len(common) > 1:
            between = [methods[first][seed] - methods[second][seed] for seed in common]
            half_difference_variances.append(np.var(between, ddof=1) / 2)
    unshared = float(np.mean(half_difference_variances)) if half_difference_variances else mean
    mean_df, unshared_df = compute_pool_df(mean, unshared, degrees)
    return SeedPool(mean, unshared, fit_prior(variances, degrees), mean_df, unshared_df, unstable)


def compute_pool_df(mean: float, unshared: float, degrees: Floats) -> tuple[float, float]:
    """Return the degrees of freedom of the mean variance and of its unshared part; degrees: (M,), of M methods.

    Methods whose seeds vary together (correlation r) say less about the mean: sum of the degrees / (1 + (M - 1) r^2).
    """
    total = float(degrees.sum())
    correlation = max(0.0, 1 - unshared / mean) if mean > 0 else 0.0
    return total / (1 + (len(degrees) - 1) * correlation**2), total - float(degrees.max())


def find_unstable(variances: Mapping[str, float], df_of: Mapping[str, float]) -> frozenset[str]:
    """Return the methods whose variance is too large to be one of the others' kind, judged from their median."""
    if len(variances) < 3:
        return frozenset()
    typical = float(np.median([v / (chi2_median(df_of[name]) / df_of[name]) for name, v in variances.items()]))
    return frozenset(
        name
        for name, variance in variances.items()
        if variance > typical * chi2_upper_quantile(UNSTABLE / len(variances), df_of[name]) / df_of[name]
    )


def fit_prior(variances: Floats, df: Floats) -> float:
    """Return the prior's degrees of freedom, from how unequal the logarithms of the variances are (Smyth 2004)."""
    low, high = PRIOR_DF
    floor = max(1e-12 * float(np.median(variances)), 1e-300)
    logs = np.log(np.maximum(variances, floor)) - digamma(df / 2) + np.log(df / 2)
    beyond_chance = float(logs.var(ddof=1) - polygamma(1, df / 2).mean())
    return high if beyond_chance <= 0 else float(np.clip(2 * inverse_trigamma(beyond_chance), low, high))


def inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = value > 0, by Newton's method (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x
