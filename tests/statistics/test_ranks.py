"""Ranks and rank correlations equal those of scipy.stats to the last bit, with numpy alone."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import stats

from benchkit.statistics import ranks as own


def test_ranks_and_their_correlation() -> None:
    rng = np.random.default_rng(0)
    for count, ties in itertools.product((3, 5, 40), (2, 1000)):
        for _ in range(20):
            first, second = rng.integers(0, ties, (2, count)) / 7
            np.testing.assert_array_equal(own.rank(first), stats.rankdata(first))
            np.testing.assert_array_equal(own.rank(first, "best"), stats.rankdata(first, method="min"))
            if np.ptp(first) and np.ptp(second):
                assert own.spearman(first, second) == stats.spearmanr(first, second).statistic
                assert own.kendall(first, second) == stats.kendalltau(first, second).statistic
    assert np.isnan([own.kendall([1, 1, 1], [1, 2, 3]), own.kendall([1, 2, 3], [1, 1, 1])]).all()
