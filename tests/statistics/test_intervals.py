"""Intervals and paired differences against Student's t where the variance has one source, and in simulation."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from benchkit.errors import BenchkitError
from benchkit.statistics.intervals import differences, intervals
from benchkit.statistics.resampling import resample


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums[..., 0] / sums[..., 1]


def without_images(figures: list[float], images: int = 50) -> NDArray[np.float64]:
    """Terms (S, N, 2) of a method whose every image has the seed's figure: only seeds vary."""
    return np.stack([np.tile([figure, 1.0], (images, 1)) for figure in figures])


def test_where_only_seeds_vary_a_difference_is_the_paired_t_test() -> None:
    first, second = [0.30, 0.34, 0.29, 0.36], [0.25, 0.31, 0.28, 0.27]
    drawn = resample({"a": without_images(first), "b": without_images(second)}, ratio)
    found = differences(drawn, [("a", "b")])["a", "b"]
    truth = stats.ttest_rel(first, second)
    low, high = truth.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.p == pytest.approx(truth.pvalue)


def test_where_only_images_vary_a_difference_is_the_paired_t_test_over_images() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal([0.4, 0.5], 0.1, (400, 2))
    terms = {name: np.stack([values[:, i], np.ones(400)], axis=1)[None] for i, name in enumerate("ab")}
    found = differences(resample(terms, ratio, replicates=8000), [("a", "b")])["a", "b"]
    low, high = stats.ttest_rel(values[:, 0], values[:, 1]).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.03)
    assert not found.seed_variance


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 1000))
def test_bounds_lie_in_the_unit_interval_around_the_figure(figures: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    terms = np.stack([np.stack([rng.binomial(1, figure, 30).astype(float), np.ones(30)], axis=1) for figure in figures])
    found = intervals(resample({"a": terms}, ratio, replicates=50))["a"]
    assert 0 <= found.low <= found.estimate + 1e-5 and found.estimate - 1e-5 <= found.high <= 1


def test_a_level_of_more_confidence_is_wider() -> None:
    drawn = resample({"a": without_images([0.3, 0.4, 0.5]), "b": without_images([0.2, 0.4, 0.45])}, ratio)
    wide, narrow = (intervals(drawn, level)["a"] for level in (0.99, 0.9))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_methods_without_a_common_seed_have_no_difference() -> None:
    drawn = resample({"a": {0: np.ones((5, 2))}, "b": {1: np.ones((5, 2))}}, ratio)
    assert differences(drawn, [("a", "b")]) == {}


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_other_levels_are_refused(level: float) -> None:
    with pytest.raises(BenchkitError, match="between 0 and 1"):
        intervals({}, level)


def load_coverage() -> Any:
    file = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_nominal_95_percent_cover_in_a_small_simulation() -> None:
    """The whole table is `python benchmarks/coverage.py`; 40 boards of 9 methods give a fraction to about 3 %."""
    module = load_coverage()
    for world in (module.WORLDS[1], module.WORLDS[2]):
        single, paired = module.cover(world, 3, 40, np.random.default_rng(5))
        assert 0.90 <= single <= 0.99
        assert 0.90 <= paired <= 0.99
