"""Intervals and paired differences against Student's t where the variance has one source, and in simulation."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from benchkit.errors import BenchkitError
from benchkit.statistics.intervals import compute_differences, compute_intervals
from benchkit.statistics.jackknife import jackknife
from tests.helpers.benchmarks import load_benchmark


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def without_images(figures: list[float], images: int = 50) -> NDArray[np.float64]:
    """Terms (S, N, 2) of a method whose every image has the seed's figure: only seeds vary."""
    return np.stack([np.tile([figure, 1.0], (images, 1)) for figure in figures])


def test_where_only_seeds_vary_a_difference_is_the_paired_t_test() -> None:
    first, second = [0.30, 0.34, 0.29, 0.36], [0.25, 0.31, 0.28, 0.27]
    drawn = jackknife({"a": without_images(first), "b": without_images(second)}, ratio)
    found = compute_differences(drawn, [("a", "b")])["a", "b"]
    truth = stats.ttest_rel(first, second)
    low, high = truth.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.p == pytest.approx(truth.pvalue)


def test_where_only_images_vary_a_difference_is_the_paired_t_test_over_images() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal([0.4, 0.5], 0.1, (400, 2))
    terms = {name: np.stack([values[:, i], np.ones(400)], axis=1)[None] for i, name in enumerate("ab")}
    found = compute_differences(jackknife(terms, ratio), [("a", "b")])["a", "b"]
    low, high = stats.ttest_rel(values[:, 0], values[:, 1]).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.005)
    assert not found.seed_variance


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 1000))
def test_bounds_lie_in_the_unit_interval_around_the_figure(figures: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    terms = np.stack([np.stack([rng.binomial(1, figure, 30).astype(float), np.ones(30)], axis=1) for figure in figures])
    found = compute_intervals(jackknife({"a": terms}, ratio))["a"]
    assert 0 <= found.low <= found.estimate + 1e-5 and found.estimate - 1e-5 <= found.high <= 1


def test_a_level_of_more_confidence_is_wider() -> None:
    drawn = jackknife({"a": without_images([0.3, 0.4, 0.5]), "b": without_images([0.2, 0.4, 0.45])}, ratio)
    wide, narrow = (compute_intervals(drawn, level)["a"] for level in (0.99, 0.9))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_methods_without_a_common_seed_have_no_difference() -> None:
    drawn = jackknife({"a": {0: np.ones((5, 2))}, "b": {1: np.ones((5, 2))}}, ratio)
    assert compute_differences(drawn, [("a", "b")]) == {}


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_other_levels_are_refused(level: float) -> None:
    with pytest.raises(BenchkitError, match="between 0 and 1"):
        compute_intervals({}, level)


def test_one_unstable_row_leaves_the_others_alone() -> None:
    rng = np.random.default_rng(3)
    steady = {str(i): without_images(list(0.4 + 0.01 * rng.normal(size=3))) for i in range(6)}
    calm = jackknife(steady, ratio)
    wild = jackknife({**steady, "wild": without_images([0.01, 0.6, 0.2])}, ratio)
    for name, found in compute_intervals(calm).items():
        assert compute_intervals(wild)[name].high - compute_intervals(wild)[name].low == pytest.approx(
            found.high - found.low
        )
    assert compute_intervals(wild)["wild"].df == pytest.approx(2), "its own three seeds"


def test_a_figure_at_0_or_1_has_an_interval_that_holds_it() -> None:
    drawn = jackknife({"none": np.array([[[0.0, 1.0]] * 9] * 2), "all": np.array([[[1.0, 1.0]] * 9] * 2)}, ratio)
    none, every = compute_intervals(drawn)["none"], compute_intervals(drawn)["all"]
    assert (none.low, none.high, every.low, every.high) == (0, 0, 1, 1), "nothing varies"
    varying = jackknife({"few": np.array([[[0.0, 1.0]] * 9] * 2 + [[[0.0, 1.0]] * 8 + [[1e-5, 1.0]]])}, ratio)
    few = compute_intervals(varying)["few"]
    assert 0 <= few.low <= few.estimate <= few.high <= 1e-3


def test_a_figure_of_one_image_has_no_interval() -> None:
    found = compute_intervals(jackknife({"a": np.array([[[0.2, 1.0]], [[0.3, 1.0]]])}, ratio))["a"]
    assert found.estimate == pytest.approx(0.25)
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("world", ["seeds dominate", "both"])
def test_nominal_95_percent_cover_in_a_small_simulation(world: str) -> None:
    """The whole table is `python benchmarks/coverage.py`."""
    module = load_benchmark("coverage")
    chosen = next(one for one in module.WORLDS if one.name == world)
    single, paired, *_ = module.cover(chosen, 3, 60)
    assert not single.fails
    assert not paired.fails
    assert single.error < 2 and paired.error < 2


@pytest.mark.slow
def test_nominal_95_percent_cover_in_every_cell_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["coverage.py"])
    assert load_benchmark("coverage").main() == 0


def test_a_cell_fails_only_beyond_its_simulation_error() -> None:
    coverage = load_benchmark("coverage").Coverage
    assert coverage(92.0, 0.4).fails and coverage(98.0, 0.4).fails
    assert not coverage(92.5, 0.4).fails and not coverage(95.0, 0.4).fails


def test_two_rows_whose_seeds_vary_together_are_judged_by_their_own_seeds() -> None:
    rng = np.random.default_rng(3)
    figures = {f"row {i}": rng.normal(0.2 + 0.02 * i, 0.03, 5).clip(0.05, 0.6).tolist() for i in range(8)}
    figures["twin"] = [y + e for y, e in zip(figures["row 0"], [0.001, -0.0005, 0.0008, 0.0002, 0.0004], strict=True)]
    drawn = jackknife({name: without_images(own) for name, own in figures.items()}, ratio)
    found = compute_differences(drawn, [("twin", "row 0"), ("row 1", "row 0")])
    low, high = stats.ttest_rel(figures["twin"], figures["row 0"]).confidence_interval()
    assert (found["twin", "row 0"].low, found["twin", "row 0"].high) == pytest.approx((low, high), abs=1e-9)
    moderated, own = found["row 1", "row 0"], stats.ttest_rel(figures["row 1"], figures["row 0"]).confidence_interval()
    assert moderated.high != pytest.approx(own.high, abs=1e-6), "other pairs are moderated"
