"""Families of comparisons, ranks and resolution, by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from benchkit.statistics.intervals import Difference, compute_differences
from benchkit.statistics.jackknife import Jackknife, jackknife
from benchkit.statistics.multiple_comparisons import (
    adjust_step_down,
    find_significant,
    judge,
    probability_of_improvement,
)
from benchkit.statistics.ranks import Rank, rank_methods
from benchkit.statistics.resolution import measure_resolution
from benchkit.statistics.variance import Components


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums[..., 0] / sums[..., 1]


def methods_of(figures: NDArray[np.float64]) -> dict[str, Jackknife]:
    """Methods (M, S) whose images do not vary."""
    terms = {str(i): np.stack([np.tile([f, 1.0], (20, 1)) for f in own]) for i, own in enumerate(figures)}
    return jackknife(terms, ratio)


def every_pair(names: list[str]) -> list[tuple[str, str]]:
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]


def test_the_largest_difference_has_tukeys_p_value() -> None:
    rng = np.random.default_rng(0)
    figures = 0.5 + 0.02 * rng.normal(size=(4, 60)) + np.array([[0.0], [0.004], [0.002], [0.01]])
    drawn = methods_of(figures)
    found = adjust_step_down(drawn, compute_differences(drawn, every_pair(list(drawn))))
    tukey = stats.tukey_hsd(*figures).pvalue
    assert min(found.values()) == pytest.approx(np.min(tukey), abs=0.02)


@settings(deadline=None)  # 20,000 draws for each board
@given(st.integers(0, 10_000))
def test_adjusted_p_values_lie_between_the_pairs_own_and_bonferronis(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = methods_of(0.5 + 0.05 * rng.normal(size=(4, 5)))
    pairs = compute_differences(drawn, every_pair(list(drawn)))
    found = adjust_step_down(drawn, pairs)
    for pair, p in found.items():
        assert pairs[pair].p - 1e-12 <= p <= min(1.0, len(pairs) * pairs[pair].p + 0.02)


def test_one_pair_needs_no_adjustment() -> None:
    drawn = methods_of(np.array([[0.3, 0.35, 0.31], [0.4, 0.41, 0.47]]))
    pairs = compute_differences(drawn, [("0", "1")])
    assert adjust_step_down(drawn, pairs)["0", "1"] == pytest.approx(pairs["0", "1"].p, abs=0.01)


def test_equal_methods_are_rarely_found_different() -> None:
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(120):
        drawn = methods_of(0.5 + 0.05 * rng.normal(size=(5, 6)))
        wrong += bool(find_significant(adjust_step_down(drawn, compute_differences(drawn, every_pair(list(drawn))))))
    assert wrong <= 13  # 6 are expected; 14 or more come with a probability of 0.003


def test_two_seeds_do_not_make_many_pairs_one() -> None:
    """The covariance of two seeds has rank one: taken as it is, every fourth of these boards was wrong."""
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(40):
        drawn = methods_of(0.5 + 0.03 * rng.normal(size=(7, 2)))
        wrong += bool(find_significant(adjust_step_down(drawn, compute_differences(drawn, every_pair(list(drawn))))))
    assert wrong <= 6  # 2 are expected at most; 7 or more come with a probability of 0.003


def test_ranks_by_hand() -> None:
    estimates = {"a": 0.9, "b": 0.7, "c": 0.7, "d": 0.1}
    found = rank_methods(estimates, [("a", "d"), ("b", "d"), ("c", "d")])
    assert found == {"a": Rank(1, 1, 3), "b": Rank(2, 1, 3), "c": Rank(2, 1, 3), "d": Rank(4, 4, 4)}
    assert rank_methods(estimates, [], higher_is_better=False)["d"].rank == 1
    assert rank_methods({"a": 0.5, "b": float("nan")}, [])["b"] == Rank(2, 1, 2)


def difference(estimate: float, error: float, seeds: int = 3) -> Difference:
    """Of its variance images have half and seeds the other half; of that a third is their interaction."""
    half_width = 1.96 * error
    between = error**2 / 2 * seeds if seeds > 1 else float("nan")
    parts = Components(error**2 / (2 if seeds > 1 else 1), between, error**2 / 6 * seeds, seeds, 1e9, 1e9)
    p = float(2 * stats.norm.sf(abs(estimate) / error))
    return Difference(estimate, estimate - half_width, estimate + half_width, error, 1e9, 0.95, parts, p)


def test_verdicts_within_a_margin() -> None:
    def verdict(estimate: float, error: float, **more: bool) -> str:
        found = difference(estimate, error)
        return judge(found, found.p, 1.0, **more)

    assert verdict(2.0, 0.5) == "better"
    assert verdict(-2.0, 0.5) == "worse"
    assert verdict(-2.0, 0.5, higher_is_better=False) == "better"
    assert verdict(0.1, 0.3) == "equivalent"  # 0.1 + 1.645 * 0.3 = 0.59
    assert verdict(0.6, 0.4) == "unresolved"  # 0.6 + 1.645 * 0.4 = 1.26
    assert judge(difference(2.0, 0.5), 0.2, 1.0) == "unresolved", "the adjusted p-value decides"


def test_probability_of_improvement() -> None:
    assert probability_of_improvement(difference(0.0, 0.3)) == pytest.approx(0.5)
    assert probability_of_improvement(difference(0.3, 0.3)) == pytest.approx(stats.norm.cdf(1))


def test_resolution_counts_pairs_and_says_how_wide_they_are() -> None:
    pairs = {("a", "b"): difference(1, 0.1), ("a", "c"): difference(1, 0.2), ("b", "c"): difference(0, 0.4)}
    found = measure_resolution(pairs, {("a", "b"), ("a", "c")}, 100)
    assert (found.resolved, found.pairs) == (2, 3)
    assert found.difference == pytest.approx(1.96 * 0.2)
    assert (found.images, found.seeds, found.interaction) == pytest.approx((1 / 2, 1 / 3, 1 / 6))
    # 5 seeds more than 3: the seeds' half falls to 3/8; 500 images more than 100: images and interaction to a sixth.
    assert found.more_seeds == (5, pytest.approx(1.96 * 0.2 * np.sqrt(1 / 2 + 1 / 2 * 3 / 8), abs=1e-3))
    assert found.more_images == (500, pytest.approx(1.96 * 0.2 * np.sqrt(1 / 12 + 1 / 3 + 1 / 36), abs=1e-3))


def test_one_seed_does_not_say_what_more_seeds_would_buy() -> None:
    found = measure_resolution({("a", "b"): difference(0, 1.0, seeds=1)}, set(), 100)
    assert (found.images, found.seeds, found.interaction) == (1, 0, 0)
    assert np.isnan(found.more_seeds[1])
    assert found.more_images[1] == pytest.approx(1.96 / np.sqrt(6), abs=1e-3)
    assert np.isnan(measure_resolution({}, set(), 100).difference)
