"""Quantiles and probabilities of Student's t, the normal and the chi-squared distribution, from scipy.special alone.

The import of scipy.stats takes half a second.

Every function equals its counterpart in scipy.stats to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]


def t_quantile(p: float, df: float) -> float:
    """Return the quantile of Student's t distribution."""
    if p == 0:  # where special.stdtrit returns +inf
        return -np.inf if df > 0 else np.nan
    return float(special.stdtrit(df, p))


def t_below(x: float, df: float) -> float:
    """Return the probability that Student's t is at most x."""
    return float(special.stdtr(df, x))


def normal_above(x: float) -> float:
    """Return the probability that a normal variable is above x."""
    return float(special.ndtr(-x))


def normal_upper_quantile(p: ArrayLike) -> Floats:
    """Return what a normal variable is above with probability p."""
    return np.asarray(-special.ndtri(p))


def chi2_below(x: float, df: float) -> float:
    """Return the probability that a chi-squared variable is at most x >= 0."""
    return float(special.chdtr(df, x))


def chi2_upper_quantile(p: float, df: float) -> float:
    """Return what a chi-squared variable is above with probability p."""
    return float(special.chdtri(df, p))


def chi2_median(df: float) -> float:
    """Return the median of a chi-squared variable."""
    return float(2 * special.gammaincinv(df / 2, 0.5))
