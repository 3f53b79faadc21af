"""Seeds that are added look by look: the sequence, who gets more, and how often equal methods are called different."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from benchkit.statistics.intervals import compute_differences
from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.look_rule import LookRule, look_level, plan_looks
from benchkit.statistics.looks import follow_looks, settle_pairs
from benchkit.statistics.multiple_comparisons import judge, simultaneous_half_widths
from tests.helpers.benchmarks import load_benchmark

IMAGES = 20


def methods_of(figures: dict[str, list[float]]) -> dict[str, Jackknife]:
    """Methods whose images do not vary: name -> the figure of each seed, 0, 1, …"""
    return {
        name: Jackknife(tuple(range(len(own))), np.array(own), np.zeros((IMAGES, len(own))))
        for name, own in figures.items()
    }


def noisy(level: float, spread: float, seeds: int, seed: int = 0) -> list[float]:
    values: NDArray[np.float64] = level + spread * np.random.default_rng([seed, int(1e4 * level)]).normal(size=seeds)
    return values.tolist()


def test_the_looks_grow_by_half_and_end_with_the_largest_number() -> None:
    assert plan_looks(3, 18) == (3, 5, 8, 12, 18)
    assert plan_looks(3, 10) == (3, 5, 8, 10)
    assert plan_looks(2, 3) == (2, 3)
    assert plan_looks(5, 5) == (5,)


@given(st.integers(2, 20), st.integers(0, 100))
def test_a_sequence_of_looks_ascends_and_no_step_is_more_than_half_and_one(start: int, more: int) -> None:
    numbers = plan_looks(start, start + more)
    assert (numbers[0], numbers[-1]) == (start, start + more)
    assert all(a < b <= 1.5 * a + 1 for a, b in pairwise(numbers))


def test_the_levels_of_all_looks_spend_five_per_cent() -> None:
    assert look_level(1) == pytest.approx(0.95)
    assert 4 * (1 - look_level(4)) == pytest.approx(0.05)


def test_added_seeds_are_the_smallest_that_the_grid_lacks() -> None:
    assert LookRule.make((7, 1), 5, 0.02).seeds == (7, 1, 0, 2, 3)


def test_one_pair_has_the_simultaneous_interval_of_the_t_test() -> None:
    figures = {"a": [0.3, 0.35, 0.31, 0.4], "b": [0.4, 0.41, 0.47, 0.39]}
    drawn = methods_of(figures)
    found = simultaneous_half_widths(drawn, compute_differences(drawn, [("a", "b")]))["a", "b"]
    interval = stats.ttest_rel(figures["a"], figures["b"]).confidence_interval()
    assert found == pytest.approx((interval.high - interval.low) / 2, rel=0.03)


def test_simultaneous_intervals_are_those_of_tukey() -> None:
    rng = np.random.default_rng(0)
    figures = 0.5 + 0.02 * rng.normal(size=(4, 60))
    drawn = methods_of({str(i): own.tolist() for i, own in enumerate(figures)})
    found = simultaneous_half_widths(
        drawn, compute_differences(drawn, [("0", "1"), ("0", "2"), ("0", "3"), ("1", "2")])
    )
    pairwise = {pair: own.high - own.estimate for pair, own in compute_differences(drawn, list(found)).items()}
    tukey = stats.studentized_range.ppf(0.95, 4, 236) / np.sqrt(2) / stats.t.ppf(0.975, 236)
    for pair, half_width in found.items():
        assert 1.15 < half_width / pairwise[pair] < 1.05 * tukey


def test_pairs_are_different_small_known_or_unresolved() -> None:
    steady, wild = 0.001, 0.05
    drawn = methods_of({"low": noisy(0.2, steady, 9), "high": noisy(0.4, steady, 9), "alike": noisy(0.4004, steady, 9)})
    assert settle_pairs(drawn, 0.02, 0.95) == {
        ("low", "high"): "different",
        ("low", "alike"): "different",
        ("high", "alike"): "small",
    }
    rough = methods_of({"one": noisy(0.4, wild, 4), "other": noisy(0.41, wild, 4)})
    assert settle_pairs(rough, 0.001, 0.95) == {("one", "other"): "unresolved"}
    assert settle_pairs(rough, 0.5, 0.95)["one", "other"] == "small"


def test_a_row_goes_on_while_one_of_its_pairs_is_unresolved() -> None:
    rule = LookRule.make((0, 1, 2), 8, 0.001)
    drawn = methods_of({"apart": noisy(0.1, 0.01, 3), "a": noisy(0.6, 0.01, 3), "b": noisy(0.6005, 0.01, 3)})
    (first,), numbers = follow_looks(drawn, rule, {})
    assert (first.stopped, first.more) == (("apart",), ("a", "b"))
    assert numbers == {"apart": 3, "a": 5, "b": 5}
    assert first.states["different"] == 2 and first.states["unresolved"] == 1


def test_rows_that_stay_unresolved_get_all_seeds_and_the_others_keep_theirs() -> None:
    rule = LookRule.make((0, 1, 2), 8, 0.0001)
    figures = {"apart": noisy(0.1, 0.01, 3), "a": noisy(0.6, 0.01, 8), "b": noisy(0.6005, 0.01, 8)}
    looks, numbers = follow_looks(methods_of(figures), rule, {})
    assert [look.seeds for look in looks] == [3, 5, 8]
    assert numbers == {"apart": 3, "a": 8, "b": 8}
    assert looks[-1].more == () and looks[-1].stopped == ("a", "b")


def test_a_look_waits_for_its_seeds_but_not_for_those_that_failed() -> None:
    rule = LookRule.make((0, 1, 2), 8, 0.0001)
    figures = {"a": noisy(0.6, 0.01, 3), "b": noisy(0.6005, 0.01, 3), "late": noisy(0.6, 0.01, 2)}
    assert follow_looks(methods_of(figures), rule, {})[0] == []
    (first,), numbers = follow_looks(methods_of(figures), rule, {"late": {2}, "gone": {0, 1, 2}})
    assert first.failed == ("gone", "late") and first.more == ("a", "b")
    assert numbers == {"a": 5, "b": 5, "late": 3, "gone": 3}


def wrong_boards(rng: np.random.Generator, boards: int, rule: LookRule, methods: int) -> int:
    wrong = 0
    for _ in range(boards):
        figures = 0.5 + 0.03 * rng.normal(size=(methods, len(rule.seeds)))
        looks, _ = follow_looks(methods_of({str(i): own.tolist() for i, own in enumerate(figures)}), rule, {})
        wrong += any(look.states["different"] for look in looks)
    return wrong


def test_equal_methods_are_rarely_called_different_at_any_look() -> None:
    """At 5 % three boards of 60 are expected, and eight or more come with a probability of 0.01."""
    rule = LookRule.make((0, 1, 2), 8, 0.02)
    assert wrong_boards(np.random.default_rng(5), 60, rule, 3) <= 7


@pytest.mark.slow
def test_looks_keep_the_error_rate_in_every_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["looks.py", "--boards", "150"])
    assert load_benchmark("looks").main() == 0


def test_rows_that_predict_nothing_are_unresolved_and_not_equal() -> None:
    """Figures that are all 0 do not show how far further seeds would move them."""
    drawn = methods_of({"a": [0.0, 0.0], "b": [0.0, 0.0], "c": [0.2, 0.3]})
    found = compute_differences(drawn, [("a", "b"), ("a", "c")])
    assert found["a", "b"].estimate == 0 and np.isnan([found["a", "b"].low, found["a", "b"].p]).all()
    assert np.isfinite([found["a", "c"].low, found["a", "c"].p]).all()
    assert settle_pairs(drawn, 0.5, 0.95)["a", "b"] == "unresolved"
    assert judge(found["a", "b"], float("nan"), 0.01) == "unresolved"
    ones = methods_of({"a": [1.0, 1.0], "b": [1.0, 1.0]})
    assert np.isnan(compute_differences(ones, [("a", "b")])["a", "b"].high)
