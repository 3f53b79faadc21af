"""Intervals of figures and of paired differences, by Student's t on a variance that is split into images and seeds.

A figure in [0, 1] gets its interval on the logit scale, so that bounds stay inside [0, 1] and are wider towards the
middle. A difference of two figures gets it on its own scale, where pairing cancels what the two share. The seed part
is moderated over all methods given together (see `variance`): give those of one detector and one test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from benchkit.errors import BenchkitError
from benchkit.statistics.resampling import Replicates
from benchkit.statistics.variance import Components, moderate, split_variance

Floats = NDArray[np.float64]
K = TypeVar("K")
LEVEL = 0.95
#: Figures nearer to 0 or 1 than this are taken to lie there on the logit scale.
EDGE = 1e-6


@dataclass(frozen=True)
class Interval:
    """A figure with its interval.

    error: the standard error and freedom its degrees of freedom, on the scale of the interval. components: the parts
    of the variance. seeds: S. Figures that are undefined have NaN bounds.
    """

    estimate: float
    low: float
    high: float
    error: float
    freedom: float
    level: float
    components: Components

    @property
    def seeds(self) -> int:
        """How many seeds the figure is the mean of."""
        return self.components.number

    @property
    def seed_variance(self) -> bool:
        """Whether the interval covers other seeds: never with one, which says nothing of another training run."""
        return self.seeds > 1


@dataclass(frozen=True)
class Difference(Interval):
    """A paired difference, first method minus second. p: two-sided p-value of no difference."""

    p: float = float("nan")


def intervals(methods: Mapping[str, Replicates], level: float = LEVEL) -> dict[str, Interval]:
    """Return the interval of every method's mean figure; figures lie in [0, 1]."""
    check_level(level)
    parts = {name: split_variance(to_logit(r.figures), to_logit(r.draws), r.influence) for name, r in methods.items()}
    found = {}
    for name, part in _moderated(parts, {}).items():
        estimate = methods[name].estimate
        centre, error, reach = float(to_logit(np.array(estimate))), *_reach(part, level)
        low, high = (float(bound) for bound in expit([centre - reach, centre + reach]))
        found[name] = Interval(estimate, low, high, error, part.total_freedom, level, part)
    return found


def differences(
    methods: Mapping[str, Replicates], pairs: Sequence[tuple[str, str]], level: float = LEVEL
) -> dict[tuple[str, str], Difference]:
    """Return the paired difference of each pair, first minus second, over the seeds that both have.

    Pairs without a common seed are left out. A seed part is moderated relative to how steep the logit is at the two
    figures, since methods with higher figures have larger spreads.
    """
    check_level(level)
    parts, scales, estimates = {}, {}, {}
    for first, second in pairs:
        common = [seed for seed in methods[first].seeds if seed in methods[second].seeds]
        if not common:
            continue
        one, other = methods[first].of_seeds(common), methods[second].of_seeds(common)
        figures, draws = one.figures - other.figures, one.draws - other.draws
        parts[first, second] = split_variance(figures, draws, one.influence - other.influence)
        scales[first, second] = float(np.mean([(e * (1 - e)) ** 2 for e in (one.estimate, other.estimate)]))
        estimates[first, second] = float(figures.mean())
    found = {}
    for pair, part in _moderated(parts, scales).items():
        estimate, (error, reach) = estimates[pair], _reach(part, level)
        p = float(2 * stats.t.sf(abs(estimate) / error, part.total_freedom)) if error > 0 else float(estimate == 0)
        found[pair] = Difference(
            estimate, estimate - reach, estimate + reach, error, part.total_freedom, level, part, p
        )
    return found


def to_logit(figures: Floats) -> Floats:
    """Return log(x / (1 - x)), finite for 0 and 1."""
    return np.asarray(logit(np.clip(figures, EDGE, 1 - EDGE)), np.float64)


def check_level(level: float) -> None:
    """Raise BenchkitError unless this is a level of confidence."""
    if not 0 < level < 1:
        raise BenchkitError(f"a level lies between 0 and 1, such as 0.95, not {level}")


def _reach(part: Components, level: float) -> tuple[float, float]:
    """Return the standard error, and how far the interval reaches to either side."""
    error = float(np.sqrt(part.total))
    return error, float(stats.t.ppf((1 + level) / 2, part.total_freedom)) * error


def _moderated(parts: Mapping[K, Components], scales: Mapping[K, float]) -> dict[K, Components]:
    """Return the components with moderated seed variances."""
    order = list(parts)
    variances = np.array([parts[key].seeds for key in order])
    freedom = np.array([parts[key].freedom[1] for key in order])
    scale = np.array([max(scales.get(key, 1.0), 1e-12) for key in order])
    variances, freedom = moderate(variances, freedom, scale)
    return {
        key: replace(parts[key], seeds=float(v), freedom=(parts[key].freedom[0], float(f)))
        for key, v, f in zip(order, variances, freedom, strict=True)
    }
