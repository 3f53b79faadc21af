"""Ranks of methods: as observed, and how far they may lie from that; rank correlations.

`rank`, `spearman` and `kendall` equal their counterparts in scipy.stats to the last bit, and need numpy alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Rank:
    """A method's place. rank: 1 is best, ties share the best place. low, high: the simultaneous interval."""

    rank: int
    low: int
    high: int


def rank_methods(
    estimates: Mapping[str, float], different: Collection[tuple[str, str]], *, higher_is_better: bool = True
) -> dict[str, Rank]:
    """Return every method's rank, with an interval from the pairs that were found different together.

    A method's rank lies between 1 + the number of methods significantly better and M - the number significantly worse,
    for all methods at once with the confidence of the family of all pairs. different: pairs, the better one first. The
    interval contains the observed rank, also where the pairs were compared over a part of the seeds. Methods with an
    undefined figure come last, from rank 1 to M.
    """
    names = list(estimates)
    goodness = np.array([estimates[name] if higher_is_better else -estimates[name] for name in names], float)
    ranks = rank(-np.nan_to_num(goodness, nan=-np.inf), "best").astype(int)
    ahead, behind = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for better, worse in different:
        ahead[worse] += 1
        behind[better] += 1
    return {
        name: Rank(observed, min(observed, 1 + ahead[name]), max(observed, len(names) - behind[name]))
        for name, observed in zip(names, ranks.tolist(), strict=True)
    }


def rank_at_points(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ranks of methods at each point of time, and Kendall's tau-b of each point's order with the last.

    values: (methods, points), greater is better. The ranks are (methods, points): 1 is best, ties share the best rank.
    Tau is (points,), NaN where all methods have the same value at that point or at the last one.
    """
    ranks = np.array([rank(-point, "best") for point in values.T], np.int64).reshape(values.shape[::-1]).T
    return ranks, np.array([kendall(point, values[:, -1]) for point in values.T], float)


def rank(values: ArrayLike, ties: str = "mean") -> NDArray[np.float64]:
    """Return the ranks of values from 1, smallest first. Equal ones share the mean of their places, or with `best` the
    smallest."""
    values = np.asarray(values)
    ordered = np.sort(values)
    first = np.searchsorted(ordered, values, "left") + 1.0
    return np.asarray(first if ties == "best" else (first + np.searchsorted(ordered, values, "right")) / 2, np.float64)


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Return Spearman's rank correlation of two samples that both vary."""
    return float(np.asarray(np.corrcoef(np.column_stack([rank(first), rank(second)]), rowvar=False))[1, 0])


def kendall(first: ArrayLike, second: ArrayLike) -> float:
    """Return Kendall's tau-b of two samples; NaN where a value is NaN, or all values of a sample are equal.

    tau-b = (concordant - discordant pairs) / sqrt(n_1 n_2), with n the pairs that are not tied in a sample.
    """
    one, other = (np.asarray(values, np.float64) for values in (first, second))
    pairs = np.triu_indices(len(one), 1)
    signs = [np.sign(values[pairs[0]] - values[pairs[1]]) for values in (one, other)]
    untied = [int(np.count_nonzero(each)) for each in signs]
    if not all(untied) or np.isnan([one, other]).any():
        return float("nan")
    concordance = int((signs[0] * signs[1]).sum())
    return float(np.clip(concordance / np.sqrt(untied[0]) / np.sqrt(untied[1]), -1, 1))
