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


@pytest.mark.parametrize("df", FREEDOM)
def test_students_t(df: float) -> None:
    for p in CHANCES:
        np.testing.assert_array_equal(own.t_quantile(p, df), stats.t.ppf(p, df))
        np.testing.assert_array_equal(-own.t_quantile(p, df), stats.t.isf(p, df))
    for x in POINTS:
        np.testing.assert_array_equal(own.t_below(x, df), stats.t.cdf(x, df))
        np.testing.assert_array_equal(own.t_below(-x, df), stats.t.sf(x, df))


@pytest.mark.parametrize("df", [one for one in FREEDOM if one < np.inf])
def test_chi_squared(df: float) -> None:
    assert own.chi2_median(df) == stats.chi2.median(df)
    for p in CHANCES:
        assert own.chi2_upper_quantile(p, df) == stats.chi2.isf(p, df)
    for x in (0.0, 0.1, 3.0, 200.0):
        assert own.chi2_below(x, df) == stats.chi2.cdf(x, df)


def test_normal() -> None:
    np.testing.assert_array_equal(own.normal_upper_quantile(CHANCES), stats.norm.isf(CHANCES))
    for x in POINTS:
        assert own.normal_above(x) == stats.norm.sf(x)


@pytest.mark.parametrize("modules", ["benchkit.report.board, benchkit.report.notes", "benchkit.leaderboard.check_all"])
def test_a_board_and_a_check_need_no_scipy_stats(modules: str) -> None:
    code = f"import sys, {modules}; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
