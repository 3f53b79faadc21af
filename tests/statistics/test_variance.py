"""The variance of a figure, split into images, seeds and their interaction, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma

from benchkit.statistics.variance import (
    PRIOR_DF,
    Components,
    compute_image_df,
    find_unstable,
    inverse_trigamma,
    pool_seeds,
    split_variance,
)


def test_what_seeds_share_is_the_image_part() -> None:
    rng = np.random.default_rng(0)
    shared, own = rng.normal(0, 0.3, (40_000, 1)), rng.normal(0, 0.5, (40_000, 3))
    parts = split_variance(np.array([0.1, 0.2, 0.6]), shared + own)
    assert parts.images * 40_000 == pytest.approx(0.09, rel=0.05)
    assert parts.interaction * 40_000 == pytest.approx(0.25, rel=0.05)
    assert parts.seeds == pytest.approx(np.var([0.1, 0.2, 0.6], ddof=1))
    assert parts.total == pytest.approx(parts.images + parts.seeds / 3)


def test_one_seed_says_nothing_of_seeds_and_one_image_nothing_at_all() -> None:
    values = np.random.default_rng(1).normal(0, 2.0, (50_000, 1))
    parts = split_variance(np.array([0.5]), values)
    assert np.isnan(parts.seeds)
    assert parts.total * 50_000 == pytest.approx(4.0, rel=0.03)
    assert np.isnan(split_variance(np.array([0.5, 0.6]), np.zeros((1, 2))).total)


def test_satterthwaite_by_hand() -> None:
    # C = 2 with 50 degrees, V / S = 3 with 2: (2 + 3)^2 / (4 / 50 + 9 / 2) = 25 / 4.58.
    assert Components(2.0, 9.0, 0.0, 3, 50.0, 2.0).total_df == pytest.approx(25 / 4.58)
    assert Components(2.0, float("nan"), 0.0, 1, 50.0, 0.0).total_df == pytest.approx(50)
    assert Components(0.0, 9.0, 0.0, 3, 50.0, 2.0).total_df == pytest.approx(2)


def test_a_few_large_images_leave_few_degrees_of_freedom() -> None:
    rng = np.random.default_rng(3)
    assert compute_image_df(rng.normal(size=5_000)) > 4_000
    heavy = rng.standard_t(5, size=5_000) * np.exp(rng.normal(size=5_000))
    assert compute_image_df(heavy) < 500
    assert compute_image_df(np.zeros(30)) == 29


@given(st.floats(1e-3, 1e3))
def test_inverse_trigamma_inverts(value: float) -> None:
    assert float(polygamma(1, inverse_trigamma(value))) == pytest.approx(value, rel=1e-5)


def drawn(spreads: list[float], seeds: int, common: float = 0.0, seed: int = 0) -> dict[str, dict[int, float]]:
    """Figures of methods whose seeds have these standard deviations, and a part that all share."""
    rng = np.random.default_rng(seed)
    effects = np.array(spreads)[:, None] * rng.normal(size=(len(spreads), seeds)) + common * rng.normal(size=seeds)
    return {str(i): dict(enumerate(own.tolist())) for i, own in enumerate(effects)}


def test_what_methods_share_in_a_seed_is_told_from_what_they_have_alone() -> None:
    pool = pool_seeds(drawn([0.3] * 8, seeds=400, common=0.4))
    assert pool.mean == pytest.approx(0.25, rel=0.15)
    assert pool.shared == pytest.approx(0.16, rel=0.2)
    apart = pool_seeds(drawn([0.3] * 8, seeds=400))
    assert apart.shared < 0.01
    # A mean of eight variances that go together is hardly better known than one of them.
    assert apart.mean_df == pytest.approx(8 * 399, rel=0.02)
    assert pool.mean_df < 2000
    assert apart.unshared_df == 7 * 399


@given(st.lists(st.floats(1e-3, 30), min_size=2, max_size=12), st.integers(2, 9))
def test_moderation_draws_a_variance_towards_the_mean(spreads: list[float], seeds: int) -> None:
    pool = pool_seeds(drawn(spreads, seeds))
    for own in (0.01, 1.0, 100.0):
        parts = Components(1.0, own, 0.0, seeds, 50.0, seeds - 1.0)
        found = pool.moderate(parts, pool.mean, pool.mean_df)
        low, high = sorted((own, pool.mean)) if np.isfinite(pool.mean) else (own, own)
        assert low * (1 - 1e-9) <= found.seeds <= high * (1 + 1e-9)
        assert seeds - 1 <= found.seed_df <= seeds - 1 + PRIOR_DF[1]


def test_variances_are_drawn_less_where_they_are_unequal() -> None:
    alike, apart = (pool_seeds(drawn(spreads, 6, seed=4)) for spreads in ([1.0] * 12, [1.0, 0.1, 3.0, 0.3] * 3))
    assert alike.prior_df > apart.prior_df


def test_a_method_whose_seeds_vary_far_more_is_not_pooled() -> None:
    steady = drawn([0.1] * 8, seeds=4)
    pool = pool_seeds({**steady, "wild": dict(enumerate([0.0, 4.0, -3.0, 1.0]))})
    assert pool.unstable == {"wild"}
    assert pool.mean == pytest.approx(pool_seeds(steady).mean)
    assert not find_unstable({"a": 1.0, "b": 1e9}, {"a": 2.0, "b": 2.0}), "of two, which is the unusual one?"


def test_nothing_to_pool_leaves_a_variance_as_it_is() -> None:
    for methods in (drawn([0.5], 3), drawn([0.5, 0.5], 1), {"a": {0: 0.1, 1: float("nan")}, "b": {0: 0.1, 1: 0.3}}):
        pool = pool_seeds(methods)
        parts = Components(1.0, 0.5, 0.0, 3, 50.0, 2.0)
        assert pool.moderate(parts, pool.mean, pool.mean_df) == parts
