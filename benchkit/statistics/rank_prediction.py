"""Predict a figure of one instrument from figures of others, by a linear map, and measure how well that works.

The rows of one method (with different numbers of steps, say) are alike. So each row is predicted from the rows of the
other methods alone, as a new method would be: leave one method out. The errors of these predictions give the interval
of a new one, by Student's t; its degrees of freedom are the number of methods minus the number of coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchkit.errors import BenchkitError
from benchkit.statistics.confidence_level import LEVEL, check_level

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PredictedRank:
    """A predicted figure and its place among known ones, each with its interval. rank: 1 is best."""

    figure: float
    low: float
    high: float
    rank: int
    rank_low: int
    rank_high: int


@dataclass(frozen=True)
class Validation:
    """How well rows are predicted from the rows of other methods.

    predicted: the figure of every row. spearman, kendall: rank correlations of predicted and true figures, NaN where
    either are all equal. covered: the fraction of rows whose true rank among the other methods' rows lies in the
    predicted interval.
    """

    predicted: Floats
    rows: int
    methods: int
    spearman: float
    kendall: float
    covered: float


def least_methods(inputs: int) -> int:
    """Return how many methods `validate` needs: one is left out, one more inside of it, and one degree must remain."""
    return inputs + 3


def fit_linear(inputs: Floats, targets: Floats) -> Floats:
    """Return intercept and slopes (1 + K,) of the least-squares map from inputs (N, K) to targets (N,).

    Of several equally good maps (inputs that depend on each other) it is the one with the smallest coefficients.
    """
    return np.asarray(np.linalg.lstsq(_with_one(inputs), targets, rcond=None)[0], np.float64)


def apply_linear(coefficients: Floats, inputs: Floats) -> Floats:
    """Return the figures (N,) that the map gives for inputs (N, K)."""
    return np.asarray(_with_one(inputs) @ coefficients, np.float64)


def predict_left_out(inputs: Floats, targets: Floats, methods: Sequence[str]) -> Floats:
    """Return every row's figure (N,) as the rows of all other methods predict it. methods: the N rows' methods."""
    groups = np.asarray(methods)
    predicted = np.empty(len(targets))
    for method in dict.fromkeys(methods):
        own = groups == method
        predicted[own] = apply_linear(fit_linear(inputs[~own], targets[~own]), inputs[own])
    return predicted


def predict_ranks(
    inputs: Floats, targets: Floats, methods: Sequence[str], new: Floats, level: float = LEVEL
) -> list[PredictedRank]:
    """Return the rank of each new row (M, K) among the known rows, inputs (N, K) and targets (N,).

    Higher targets are better. The rank is 1 + the number of known rows with a higher figure, from 1 to N + 1; its
    interval is that of the figure's ends. Raises BenchkitError for rows of too few methods.
    """
    check_level(level)
    _check_rows(inputs, targets, methods, inputs.shape[1] + 2)
    figures = apply_linear(fit_linear(inputs, targets), new)
    errors = targets - predict_left_out(inputs, targets, methods)
    df = len(set(methods)) - inputs.shape[1] - 1
    half_width = float(stats.t.ppf((1 + level) / 2, df) * np.sqrt(np.mean(errors**2)))
    return [_rank_figure(float(figure), half_width, targets) for figure in figures]


def validate(inputs: Floats, targets: Floats, methods: Sequence[str], level: float = LEVEL) -> Validation:
    """Predict every row from the rows of the other methods, and compare with what it is.

    Also the interval of a row comes from the other methods alone. Raises BenchkitError for rows of fewer methods than
    `least_methods`.
    """
    _check_rows(inputs, targets, methods, least_methods(inputs.shape[1]))
    groups = np.asarray(methods)
    predicted, covered = np.empty(len(targets)), np.zeros(len(targets), bool)
    for method in dict.fromkeys(methods):
        own = groups == method
        rest = targets[~own]
        ranks = predict_ranks(inputs[~own], rest, [str(one) for one in groups[~own]], inputs[own], level)
        for row, rank in zip(np.flatnonzero(own), ranks, strict=True):
            predicted[row] = rank.figure
            covered[row] = rank.rank_low <= _rank(float(targets[row]), rest) <= rank.rank_high
    varied = np.ptp(predicted) > 0 and np.ptp(targets) > 0
    spearman = float(stats.spearmanr(predicted, targets).statistic) if varied else float("nan")
    kendall = float(stats.kendalltau(predicted, targets).statistic) if varied else float("nan")
    return Validation(predicted, len(targets), len(set(methods)), spearman, kendall, float(covered.mean()))


def _rank_figure(figure: float, half_width: float, targets: Floats) -> PredictedRank:
    low, high = figure - half_width, figure + half_width
    return PredictedRank(figure, low, high, _rank(figure, targets), _rank(high, targets), _rank(low, targets))


def _rank(figure: float, targets: Floats) -> int:
    return 1 + int((targets > figure).sum())


def _with_one(inputs: Floats) -> Floats:
    return np.column_stack([np.ones(len(inputs)), inputs])


def _check_rows(inputs: Floats, targets: Floats, methods: Sequence[str], least: int) -> None:
    if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
        raise BenchkitError("a prediction needs rows whose figures are all defined")
    if (number := len(set(methods))) < least:
        raise BenchkitError(f"a prediction needs rows of at least {least} methods, not {number}")
