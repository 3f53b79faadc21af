"""How much of a figure's variance comes from the test images and how much from the seeds.

A figure is the mean over S seeds of a pooled metric on N images. Its variance is C + V / S. C is what all seeds share
because they are scored on the same images: the mean covariance between two seeds over redraws of the images. V is the
variance between seeds, of training noise and of the labelled draw. It contains the interaction of image and seed, so
nothing has to be subtracted. C is estimated by the bootstrap, V by the sample variance over the seeds.

V has only S - 1 degrees of freedom, so that it is pooled over the methods of one detector, moderately: each method's
own variance is drawn towards the mean of all by an empirical-Bayes prior (Smyth 2004, limma), fitted to how unequal
the variances are. The degrees of freedom of C + V / S are Satterthwaite's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

Floats = NDArray[np.float64]

#: The prior's degrees of freedom lie between these. A board has about ten methods, too few to fit a prior that says
#: their variances are all equal (infinite degrees) or unrelated (none): intervals then cover too rarely.
PRIOR_FREEDOM = (3.0, 12.0)
#: The least degrees of freedom of the image part, for figures that a few images decide.
LEAST_FREEDOM = 4.0


@dataclass(frozen=True)
class Components:
    """The variance of one figure, split.

    images: C. seeds: V, NaN for one seed. number: S. freedom: degrees of freedom of C, of V.
    """

    images: float
    seeds: float
    number: int
    freedom: tuple[float, float]

    @property
    def total(self) -> float:
        """The variance of the mean over the seeds, C + V / S; without V for one seed."""
        return self.images + (0.0 if np.isnan(self.seeds) else self.seeds / self.number)

    @property
    def total_freedom(self) -> float:
        """Satterthwaite's degrees of freedom of the total."""
        parts = [self.images, 0.0 if np.isnan(self.seeds) else self.seeds / self.number]
        weights = sum(part**2 / max(freedom, 1e-9) for part, freedom in zip(parts, self.freedom, strict=True) if part)
        return self.total**2 / weights if weights else float("inf")


def split_variance(figures: Floats, draws: Floats, influence: Floats) -> Components:
    """Split the variance of the mean of `figures` (S,), given their redraws (R, S) and influences (N, S).

    Redraws with an undefined value are left out.
    """
    number, images = len(figures), len(influence)
    covariance = np.cov(draws[np.isfinite(draws).all(axis=1)], rowvar=False).reshape(number, number)
    covariance = covariance * (images / (images - 1) if images > 1 else np.nan)
    freedom = image_freedom(influence.mean(axis=1))
    if number == 1:
        return Components(float(covariance[0, 0]), float("nan"), 1, (freedom, 0.0))
    shared = (covariance.sum() - np.trace(covariance)) / (number * (number - 1))
    return Components(max(0.0, float(shared)), float(figures.var(ddof=1)), number, (freedom, number - 1.0))


def image_freedom(influence: Floats) -> float:
    """Return the degrees of freedom of the image part: 2 N / (kurtosis of the influences - 1), at most N - 1.

    That matches the variance of a sample variance. A figure that a few large images decide has few degrees.
    """
    deviations = influence - influence.mean()
    square = float((deviations**2).mean())
    if not square > 0:
        return float(len(influence) - 1)
    kurtosis = float((deviations**4).mean()) / square**2
    return float(
        np.clip(2 * len(influence) / max(kurtosis - 1, 1e-9), LEAST_FREEDOM, max(LEAST_FREEDOM, len(influence) - 1))
    )


def moderate(variances: Floats, freedom: Floats, scales: Floats | None = None) -> tuple[Floats, Floats]:
    """Draw variances (M,) of several methods towards their mean; return them with their new degrees of freedom.

    freedom: (M,), those of each. scales: (M,), to what the variances are proportional where they are alike; default 1.
    Variances that are NaN, and a single one, stay as they are.
    """
    known = np.isfinite(variances) & (freedom > 0)
    if known.sum() < 2:
        return variances, freedom
    scale = np.ones(len(variances)) if scales is None else scales
    relative, own = variances[known] / scale[known], freedom[known]
    prior = prior_freedom(relative, own)
    centre = float((relative * own).sum() / own.sum())
    moderated, new_freedom = variances.copy(), freedom.copy()
    moderated[known] = scale[known] * (prior * centre + own * relative) / (prior + own)
    new_freedom[known] = np.minimum(prior + own, own.sum())
    return moderated, new_freedom


def prior_freedom(variances: Floats, freedom: Floats) -> float:
    """Return the prior's degrees of freedom, from how unequal the logarithms of the variances are (Smyth 2004)."""
    low, high = PRIOR_FREEDOM
    floor = max(1e-12 * float(np.median(variances)), 1e-300)
    logs = np.log(np.maximum(variances, floor)) - digamma(freedom / 2) + np.log(freedom / 2)
    beyond_chance = float(logs.var(ddof=1) - polygamma(1, freedom / 2).mean())
    if beyond_chance <= 0:
        return high
    return float(np.clip(2 * inverse_trigamma(beyond_chance), low, high))


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
