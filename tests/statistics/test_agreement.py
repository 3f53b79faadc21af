"""Several settings together: the interquartile mean and its parts, Kendall's tau, and what is undefined."""

from __future__ import annotations

import sys
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy import stats

from benchkit.statistics.agreement import (
    Order,
    Setting,
    compare_orders,
    interquartile_mean,
    is_distance,
    share_methods,
)
from benchkit.statistics.intervals import compute_differences
from benchkit.statistics.jackknife import Jackknife, jackknife
from tests.helpers.benchmarks import load_benchmark

Floats = NDArray[np.float64]


def row(figures: list[float], images: int = 12, scale: float = 0.01, seed: int = 0, first: int = 0) -> Jackknife:
    """A row with these figures, whose images all have some influence."""
    influence = scale * np.random.default_rng(seed).normal(size=(images, len(figures)))
    return Jackknife(tuple(range(first, first + len(figures))), np.array(figures), influence - influence.mean(0))


def test_the_interquartile_mean_is_that_of_the_middle_half() -> None:
    # Eight values: two are cut from each end, and (3 + 4 + 5 + 6) / 4 is left.
    assert interquartile_mean(np.array([[9.0, 1, 4, 3], [2, 100, 5, 6]])) == 4.5
    assert interquartile_mean(np.array([1.0, 2, 6])) == 3, "of three values none is cut"


def test_a_share_by_hand() -> None:
    # Distances of 0.2 and 0.1: shares 0.5, 1, 0, 0.5 and 2, 4, 3, 3, whose middle four are 0.5, 1, 2, 3.
    a = Setting("t", row([0.1] * 4), row([0.3] * 4), {"m": row([0.2, 0.3, 0.1, 0.2])})
    b = Setting("t", row([0.5] * 4), row([0.6] * 4), {"m": row([0.7, 0.9, 0.8, 0.8])})
    share = share_methods([a, b])["m"]
    assert share.interval.estimate == pytest.approx(1.625)
    assert_allclose(share.means, [0.5, 3])
    assert (share.settings, share.seeds) == ((0, 1), (0, 1, 2, 3))
    assert share.interval.low < 1.625 < share.interval.high


def test_the_interval_of_one_setting_and_one_seed_is_the_delta_method_of_a_ratio() -> None:
    rng = np.random.default_rng(3)
    values = {name: level + 0.1 * rng.normal(size=200) for name, level in (("low", 0.2), ("up", 0.6), ("m", 0.3))}
    rows = jackknife(
        {n: np.stack([v, np.ones(200)], -1)[None] for n, v in values.items()}, lambda s: s[..., 0] / s[..., 1]
    )
    share = share_methods([Setting("t", rows["low"], rows["up"], {"m": rows["m"]})])["m"]
    distance = (values["up"] - values["low"]).mean()
    ratio = (values["m"] - values["low"]).mean() / distance
    rest = (values["m"] - values["low"] - ratio * (values["up"] - values["low"])) / distance
    assert share.interval.estimate == pytest.approx(ratio)
    assert share.interval.error == pytest.approx(rest.std(ddof=1) / np.sqrt(200))


def test_images_of_one_test_set_are_shared_and_those_of_two_are_not() -> None:
    def error(*test_sets: str) -> float:
        settings = []
        for test_set in test_sets:
            rows = [row([level], images=50, scale=scale, seed=1) for level, scale in ((0.1, 0), (0.3, 0), (0.2, 0.05))]
            settings.append(Setting(test_set, *rows[:2], {"m": rows[2]}))
        return share_methods(settings)["m"].interval.error

    assert error("a", "a") == pytest.approx(error("a"))
    assert error("a", "b") == pytest.approx(error("a") / np.sqrt(2))


def test_seeds_that_all_settings_move_together_are_counted_as_one() -> None:
    figures = [0.2, 0.24, 0.22, 0.18, 0.26, 0.2, 0.21, 0.19]
    setting = Setting("t", row([0.1] * 8, scale=0), row([0.3] * 8, scale=0), {"m": row(figures, scale=0)})
    one, two = (share_methods([setting] * number)["m"].interval for number in (1, 2))
    assert two.error == pytest.approx(one.error)
    assert one.error > 0


def test_a_method_of_some_settings_says_which_and_one_without_common_seeds_is_omitted() -> None:
    low, up = row([0.1, 0.1]), row([0.3, 0.3])
    found = share_methods(
        [
            Setting("t", low, up, {"both": row([0.2, 0.2]), "late": row([0.2], first=5)}),
            Setting("t", low, up, {"both": row([0.2, 0.2]), "second": row([0.25, 0.2], first=1)}),
        ]
    )
    assert set(found) == {"both", "second"}
    assert (found["second"].settings, found["second"].seeds) == ((1,), (1,))
    assert not found["second"].interval.seed_variance


@pytest.mark.parametrize(("upper", "clear"), [(0.5, True), (0.105, False), (0.05, False)])
def test_nothing_is_divided_by_a_distance_that_may_be_0_or_negative(upper: float, clear: bool) -> None:
    rows = {"low": row([0.1, 0.11, 0.09], seed=1), "up": row([upper, upper + 0.01, upper - 0.01], seed=2)}
    (found,) = compute_differences(rows, [("up", "low")]).values()
    assert is_distance(found) is clear


def orders(first: dict[str, float], second: dict[str, float], p: float = 1.0) -> tuple[Order, Order]:
    return tuple(Order(own, dict.fromkeys(combinations(own, 2), p)) for own in (first, second))  # type: ignore[return-value]


def test_tau_by_hand_and_by_scipy() -> None:
    # Of six pairs, (a, b) and (c, d) change places: (4 - 2) / 6.
    first, second = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}, {"b": 4.0, "a": 3.0, "d": 2.0, "c": 1.0}
    found = compare_orders(*orders(first, second))
    assert found.tau == pytest.approx(1 / 3)
    assert found.p == pytest.approx(stats.kendalltau([4, 3, 2, 1], [3, 4, 1, 2]).pvalue)
    assert (found.low, found.high, found.same, found.opposite) == (-1, 1, (), ())


def test_bounds_count_the_pairs_that_both_settings_resolve() -> None:
    first, second = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}, {"b": 4.0, "a": 3.0, "d": 2.0, "c": 1.0}
    sure = compare_orders(*orders(first, second, 0.01))
    assert [sure.low, sure.tau, sure.high] == pytest.approx([1 / 3] * 3)
    assert sure.opposite == (("a", "b"), ("c", "d")) and len(sure.same) == 4
    # Resolved at 5 % in each setting, but not at the 2.5 % that hold for both together.
    half = compare_orders(*orders(first, second, 0.04))
    assert len(half.opposite) == 2 and (half.low, half.high) == (-1, 1)
    one, other = orders(first, second, 0.01)
    only = compare_orders(one, Order(second, {("b", "a"): 0.01}))
    assert only.opposite == (("a", "b"),) and (only.low, only.high) == (-1, pytest.approx(2 / 3))
    assert other.direction("c", "d", 0.05) == -1 and other.direction("d", "c", 0.05) == 1


def test_only_methods_of_both_settings_count_and_one_alone_has_no_tau() -> None:
    found = compare_orders(*orders({"a": 1.0, "b": 2.0, "c": float("nan")}, {"b": 3.0, "a": 1.0, "c": 2.0, "z": 9.0}))
    assert (found.methods, found.tau) == (2, 1)
    alone = compare_orders(*orders({"a": 1.0, "b": 2.0}, {"b": 3.0, "z": 1.0}))
    assert alone.methods == 1 and np.isnan([alone.tau, alone.low, alone.high, alone.p]).all()


def test_shares_cover_in_a_small_simulation() -> None:
    """The whole table is `python benchmarks/coverage_across.py`; five standard errors, because the boards are few."""
    module = load_benchmark("coverage_across")
    world, rng = next(one for one in module.WORLDS if one.name == "both"), np.random.default_rng(1)
    boards = [module.cover_board(world, 5, i < 3, rng) for i in range(25)]
    shares = np.array([np.mean(covered) for covered, _, _ in boards if covered])
    error = shares.std(ddof=1) / np.sqrt(len(shares))
    assert abs(shares.mean() - 0.95) < 5 * error and error < 0.03
    assert np.mean([held for _, held, _ in boards[:3]]) >= 0.8


@pytest.mark.slow
def test_shares_and_bounds_cover_in_every_cell_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["coverage_across.py"])
    assert load_benchmark("coverage_across").main() == 0
