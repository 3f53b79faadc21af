"""The distributions equal those of scipy.stats to the last bit, also where a degree of freedom is odd or undefined."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from benchkit.statistics import distributions as own

FREEDOM = (0.3, 1.0, 2.0, 7.5, 30.0, 1e4, 1e9, np.inf, np.nan)
CHANCES = (0.0, 1e-12, 0.025, 0.5, 0.9, 0.975, 1.0)
POINTS = (-np.inf, -30.0, -1.3, 0.0, 0.7, 4.0, np.inf)


@pytest.mark.parametrize("freedom", FREEDOM)
def test_students_t(freedom: float) -> None:
    for p in CHANCES:
        np.testing.assert_array_equal(own.t_quantile(p, freedom), stats.t.ppf(p, freedom))
        np.testing.assert_array_equal(-own.t_quantile(p, freedom), stats.t.isf(p, freedom))
    for x in POINTS:
        np.testing.assert_array_equal(own.t_below(x, freedom), stats.t.cdf(x, freedom))
        np.testing.assert_array_equal(own.t_below(-x, freedom), stats.t.sf(x, freedom))


@pytest.mark.parametrize("freedom", [one for one in FREEDOM if one < np.inf])
def test_chi_squared(freedom: float) -> None:
    assert own.chi2_median(freedom) == stats.chi2.median(freedom)
    for p in CHANCES:
        assert own.chi2_upper_quantile(p, freedom) == stats.chi2.isf(p, freedom)
    for x in (0.0, 0.1, 3.0, 200.0):
        assert own.chi2_below(x, freedom) == stats.chi2.cdf(x, freedom)


def test_normal() -> None:
    np.testing.assert_array_equal(own.normal_upper_quantile(CHANCES), stats.norm.isf(CHANCES))
    for x in POINTS:
        assert own.normal_above(x) == stats.norm.sf(x)


@pytest.mark.parametrize("modules", ["benchkit.report.board, benchkit.report.notes", "benchkit.leaderboard.check_all"])
def test_a_board_and_a_check_need_no_scipy_stats(modules: str) -> None:
    code = f"import sys, {modules}; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
