"""Many methods: the same intervals and differences as one by one, and ranks that need no pairs."""

import sys
from itertools import combinations, pairwise

import numpy as np
import pytest

from benchkit.statistics.distributions import t_quantile
from benchkit.statistics.intervals import compute_differences, compute_intervals, get_slope, pool_methods, to_logit
from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.many_methods import (
    differences_of_many,
    intervals_of_many,
    joint_intervals,
    pool_many,
)
from benchkit.statistics.multiple_comparisons import adjust_holm, adjust_step_down
from benchkit.statistics.variance import split_variance
from tests.helpers.benchmarks import load_benchmark


def make_methods(number: int, seeds: tuple[int, ...] = (0, 1, 2), spread: float = 0.1, short: int = 0):
    """Return methods whose figures rise with their number; each `short`-th lacks the last seed."""
    rng = np.random.default_rng(3)
    common = rng.normal(0, 0.4, (40, 1))
    found = {}
    for i in range(number):
        own = seeds[:-1] if short and i % short == 1 else seeds
        influence = common + rng.normal(0, 0.1, (40, len(own)))
        figures = 0.3 + spread * i / number + rng.normal(0, 0.01, len(own))
        found[f"m{i}"] = Jackknife(own, figures, influence - influence.mean(axis=0))
    return found


def as_numbers(interval):
    parts = interval.components
    own = [interval.estimate, interval.low, interval.high, interval.error, interval.df, getattr(interval, "p", 0)]
    return [*own, parts.images, parts.seeds, parts.interaction, parts.number, parts.image_df, parts.seed_df]


@pytest.mark.parametrize(("seeds", "short"), [((0, 1, 2), 0), ((0, 1, 2), 5), ((4,), 0)])
def test_many_at_once_are_what_each_is_alone(seeds, short):
    methods = make_methods(30, seeds, short=short)
    pool, pairs = pool_methods(methods), list(combinations(methods, 2))
    for one, many in (
        (compute_intervals(methods), intervals_of_many(methods, pool)),
        (compute_differences(methods, pairs), differences_of_many(methods, pairs, pool)),
    ):
        assert list(one) == list(many)
        for name in one:
            np.testing.assert_allclose(as_numbers(many[name]), as_numbers(one[name]), rtol=1e-9, atol=1e-12)


def test_the_pool_of_many_is_that_of_all_pairs_where_all_have_the_same_seeds():
    methods = make_methods(30)
    one, many = pool_methods(methods), pool_many(methods)
    np.testing.assert_allclose(
        [one.mean, one.unshared, one.prior_df], [many.mean, many.unshared, many.prior_df], rtol=1e-9
    )
    assert one.unstable == many.unstable
    wild = methods | {"wild": Jackknife((0, 1, 2), np.array([0.05, 0.5, 0.9]), methods["m0"].influence)}
    assert pool_many(wild).unstable == pool_methods(wild).unstable == {"wild"}


def test_ranks_follow_from_disjoint_intervals():
    methods = make_methods(40, spread=0.5, short=7)
    joint = joint_intervals(methods, pool_many(methods))
    ranks, pairs = joint.rank({name: own.estimate for name, own in methods.items()})
    above = joint.low[:, None] > joint.high[None, :]
    assert pairs == above.sum() > 0
    for i, name in enumerate(methods):
        assert ranks[name].low == min(ranks[name].rank, 1 + above[:, i].sum())
        assert ranks[name].high == max(ranks[name].rank, 40 - above[i].sum())
    reverse, _ = joint.rank({n: own.estimate for n, own in methods.items()}, higher_is_better=False)
    assert reverse["m0"].rank == 1 and reverse["m0"].high < 40


def test_a_joint_interval_is_of_the_difference_of_logits_paired_by_image_and_seed():
    methods = make_methods(20)
    pool, joint = pool_many(methods), joint_intervals(methods, pool_many(methods))
    figures = np.mean([own.figures for own in methods.values()], axis=0)
    influence = np.mean([own.influence for own in methods.values()], axis=0) / get_slope(figures)
    for i, own in enumerate(methods.values()):
        d = to_logit(own.figures) - to_logit(figures)
        parts = split_variance(d, own.influence / get_slope(own.figures) - influence)
        parts = pool.moderate(parts, pool.unshared * (1 + 1 / 20), pool.unshared_df)
        half_width = t_quantile(1 - 0.025 / 20, parts.total_df) * np.sqrt(parts.total)
        middle = float(to_logit(own.figures.mean()) - to_logit(figures.mean()))
        assert (joint.low[i], joint.high[i]) == pytest.approx((middle - half_width, middle + half_width), rel=1e-9)


@pytest.mark.parametrize("short", [0, 5])
def test_influences_in_half_the_memory_move_intervals_by_less_than_a_millionth_of_their_width(short: int) -> None:
    methods = make_methods(30, short=short)
    compact = {name: own.compact() for name, own in methods.items()}
    assert all(2 * own.influence.nbytes == methods[name].influence.nbytes for name, own in compact.items())
    pool, pairs = pool_many(methods), list(combinations(methods, 2))
    assert pool_many(compact) == pool
    ends = []
    for given in (methods, compact):
        joint = joint_intervals(given, pool)
        found = [*intervals_of_many(given, pool).values(), *differences_of_many(given, pairs, pool).values()]
        ends.append(np.array([*zip(joint.low, joint.high, strict=True), *((one.low, one.high) for one in found)]))
    assert (np.abs(ends[1] - ends[0]).max(axis=1) < 1e-6 * (ends[0][:, 1] - ends[0][:, 0])).all()


@pytest.mark.parametrize(
    ("name", "seeds", "least"), [("both", 5, 25), ("seeds dominate, unequal", 2, 0), ("near 0", 10, 25)]
)
def test_joint_intervals_and_ranks_hold_together_in_a_small_simulation(name: str, seeds: int, least: float) -> None:
    """The whole table is `python benchmarks/coverage_many.py`. More than five of 30 boards miss once in 300."""
    module = load_benchmark("coverage_many")
    world, rng = next(one for one in module.WORLDS if one.name == name), np.random.default_rng(1)
    figures = module.mean_over_images(world)
    right, ranked, resolved = np.array([module.cover_board(world, figures, seeds, rng) for _ in range(30)], float).T
    assert right.sum() >= 25 and ranked.sum() >= 25 and resolved.mean() >= least


@pytest.mark.slow
def test_joint_intervals_and_ranks_hold_together_in_every_cell_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["coverage_many.py"])
    assert load_benchmark("coverage_many").main() == 0


def test_a_method_without_a_figure_has_no_interval_and_no_rank_of_its_own():
    methods = make_methods(20) | {"none": Jackknife((0, 1, 2), np.full(3, np.nan), np.full((40, 3), np.nan))}
    joint = joint_intervals(methods, pool_many(methods))
    assert np.isnan(joint.low[-1]) and np.isfinite(joint.low[:-1]).all()


def test_holm_is_more_cautious_than_draws():
    methods = make_methods(12, spread=0.3)
    found = compute_differences(methods, list(combinations(methods, 2)))
    holm = dict(zip(found, adjust_holm([one.p for one in found.values()]), strict=True))
    drawn = adjust_step_down(methods, found)
    assert sum(holm[pair] >= drawn[pair] - 0.002 for pair in found) == len(found)
    order = sorted(found, key=lambda pair: found[pair].p)
    assert holm[order[0]] == pytest.approx(min(1, found[order[0]].p * len(found)))
    assert all(holm[a] <= holm[b] for a, b in pairwise(order))


def test_draws_do_not_depend_on_how_many_pairs_are_drawn_at_once(monkeypatch):
    methods = make_methods(12, spread=0.3)
    found = compute_differences(methods, list(combinations(methods, 2)))
    before = adjust_step_down(methods, found)
    monkeypatch.setattr("benchkit.statistics.multiple_comparisons._PAIRS_AT_ONCE", 13)
    assert adjust_step_down(methods, found) == before
