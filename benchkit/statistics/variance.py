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

from collections.abc import Mapping
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
PRIOR_FREEDOM = (2.0, 4.0)
#: How improbable a method's variance must be, among equal ones and for all methods together, to count as unstable.
UNSTABLE = 1e-4
#: The least degrees of freedom of the image part, for figures that a few images decide.
LEAST_FREEDOM = 4.0


@dataclass(frozen=True, slots=True)
class Components:
    """The variance of one figure, split.

    images: C. seeds: V, NaN for one seed. interaction: W. number: S. freedom: degrees of freedom of C, of V.
    """

    images: float
    seeds: float
    interaction: float
    number: int
    freedom: tuple[float, float]

    @property
    def total(self) -> float:
        """The variance of the mean over the seeds, C + V / S; without V for one seed."""
        return self.images + (0.0 if np.isnan(self.seeds) else self.seeds / self.number)

    @property
    def total_freedom(self) -> float:
        """Satterthwaite's degrees of freedom of the total."""
        if np.isnan(self.seeds):
            return self.freedom[0]
        parts = (self.images, self.seeds / self.number)
        weights = sum(part**2 / max(freedom, 1e-9) for part, freedom in zip(parts, self.freedom, strict=True) if part)
        return self.total**2 / weights if weights else float("inf")


def split_variance(figures: Floats, influence: NDArray[np.floating[Any]]) -> Components:
    """Split the variance of the mean of `figures` (S,), given their influences (N, S), see `Jackknife`.

    All is NaN where there is one image only.
    """
    influence = np.asarray(influence, np.float64)
    images, number = influence.shape
    covariance = influence.T @ influence / (images * (images - 1)) if images > 1 else np.full((number, number), np.nan)
    freedom = image_freedom(influence.mean(axis=1))
    own = float(np.trace(covariance)) / number
    if number == 1:
        return Components(own, float("nan"), 0.0, 1, (freedom, 0.0))
    # np.maximum and not max, which would hide that a part is undefined.
    shared = float(np.maximum(0, (covariance.sum() - number * own) / (number * (number - 1))))
    interaction = float(np.maximum(0, own - shared))
    return Components(shared, float(figures.var(ddof=1)), interaction, number, (freedom, number - 1.0))


def image_freedom(influence: Floats) -> float:
    """Return the degrees of freedom of the image part: 2 N / (kurtosis of the influences - 1), at most N - 1.

    That matches the variance of a sample variance. A figure that a few large images decide has few degrees.
    """
    deviations = influence - influence.mean()
    square = float((deviations**2).mean())
    if not square > 0:
        return float(len(influence) - 1)
    kurtosis = float((deviations**4).mean()) / square**2
    most = len(influence) - 1.0
    return float(np.clip(2 * len(influence) / max(kurtosis - 1, 1e-9), min(LEAST_FREEDOM, most), most))


@dataclass(frozen=True)
class SeedPool:
    """What the methods of one detector say together about the variance between seeds.

    mean: the mean variance of a method's figures between seeds. unshared: the part of it that each method has alone, as
    measured on differences of two methods; by chance it may be larger than the mean. prior: degrees of freedom
    with which a method's own variance is drawn towards the mean. freedom: degrees of freedom of the mean and of the
    unshared part. unstable: methods that are not pooled.
    """

    mean: float
    unshared: float
    prior: float
    freedom: tuple[float, float]
    unstable: frozenset[str]

    @property
    def shared(self) -> float:
        """What all methods have in common in each seed (an easier draw of labelled images, say)."""
        return max(0.0, self.mean - self.unshared)

    def moderate(self, parts: Components, mean: float, freedom: float) -> Components:
        """Return a variance whose seed part is drawn towards `mean`, which has `freedom` degrees.

        It stays as it is where the mean is no better known than itself.
        """
        own = parts.freedom[1]
        if np.isnan(parts.seeds) or freedom <= own:
            return parts
        seeds = (self.prior * mean + own * parts.seeds) / (self.prior + own)
        return replace(parts, seeds=seeds, freedom=(parts.freedom[0], min(self.prior + own, freedom)))


def pool_seeds(methods: Mapping[str, Mapping[int, float]]) -> SeedPool:
    """Pool the variances between seeds. methods: method -> seed -> its figure, on one scale for all."""
    own = {
        name: float(np.var(list(figures.values()), ddof=1))
        for name, figures in methods.items()
        if len(figures) > 1 and np.isfinite(list(figures.values())).all()
    }
    freedom = {name: len(methods[name]) - 1.0 for name in own}
    unstable = find_unstable(own, freedom)
    stable = [name for name in own if name not in unstable]
    if len(stable) < 2:
        return SeedPool(float("nan"), float("nan"), 0.0, (0.0, 0.0), unstable)
    variances, degrees = np.array([own[name] for name in stable]), np.array([freedom[name] for name in stable])
    mean, total = float(np.average(variances, weights=degrees)), float(degrees.sum())
    apart = []
    for first, second in combinations(stable, 2):
        common = [seed for seed in methods[first] if seed in methods[second]]
        if len(common) > 1:
            apart.append(np.var([methods[first][s] - methods[second][s] for s in common], ddof=1) / 2)
    unshared = float(np.mean(apart)) if apart else mean
    correlation = max(0.0, 1 - unshared / mean) if mean > 0 else 0.0
    most = (total / (1 + (len(stable) - 1) * correlation**2), total - float(degrees.max()))
    return SeedPool(mean, unshared, fit_prior(variances, degrees), most, unstable)


def find_unstable(variances: Mapping[str, float], freedom: Mapping[str, float]) -> frozenset[str]:
    """Return the methods whose variance is too large to be one of the others' kind, judged from their median."""
    if len(variances) < 3:
        return frozenset()
    typical = float(np.median([v / (chi2_median(freedom[name]) / freedom[name]) for name, v in variances.items()]))
    return frozenset(
        name
        for name, variance in variances.items()
        if variance > typical * chi2_upper_quantile(UNSTABLE / len(variances), freedom[name]) / freedom[name]
    )


def fit_prior(variances: Floats, freedom: Floats) -> float:
    """Return the prior's degrees of freedom, from how unequal the logarithms of the variances are (Smyth 2004)."""
    low, high = PRIOR_FREEDOM
    floor = max(1e-12 * float(np.median(variances)), 1e-300)
    logs = np.log(np.maximum(variances, floor)) - digamma(freedom / 2) + np.log(freedom / 2)
    beyond_chance = float(logs.var(ddof=1) - polygamma(1, freedom / 2).mean())
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
