"""The variance of a figure, split into images and seeds, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma

from benchkit.statistics.variance import (
    PRIOR_FREEDOM,
    Components,
    image_freedom,
    inverse_trigamma,
    moderate,
    split_variance,
)


def test_what_seeds_share_is_the_image_part() -> None:
    rng = np.random.default_rng(0)
    shared, own = rng.normal(0, 0.3, (40_000, 1)), rng.normal(0, 0.5, (40_000, 3))
    parts = split_variance(np.array([0.1, 0.2, 0.6]), shared + own, rng.normal(size=(10_000, 3)))
    assert parts.images == pytest.approx(0.09, rel=0.03)
    assert parts.seeds == pytest.approx(np.var([0.1, 0.2, 0.6], ddof=1))
    assert parts.total == pytest.approx(parts.images + parts.seeds / 3)


def test_one_seed_says_nothing_of_seeds() -> None:
    draws = np.random.default_rng(1).normal(0, 2.0, (50_000, 1))
    parts = split_variance(np.array([0.5]), draws, np.random.default_rng(2).normal(size=(500, 1)))
    assert np.isnan(parts.seeds)
    assert parts.total == pytest.approx(4.0, rel=0.03)


def test_satterthwaite_by_hand() -> None:
    # C = 2 with 50 degrees, V / S = 3 with 2: (2 + 3)^2 / (4 / 50 + 9 / 2) = 25 / 4.58.
    assert Components(2.0, 9.0, 3, (50.0, 2.0)).total_freedom == pytest.approx(25 / 4.58)
    assert Components(2.0, float("nan"), 1, (50.0, 0.0)).total_freedom == pytest.approx(50)
    assert Components(0.0, 9.0, 3, (50.0, 2.0)).total_freedom == pytest.approx(2)


def test_a_few_large_images_leave_few_degrees_of_freedom() -> None:
    rng = np.random.default_rng(3)
    assert image_freedom(rng.normal(size=5_000)) > 4_000
    heavy = rng.standard_t(5, size=5_000) * np.exp(rng.normal(size=5_000))
    assert image_freedom(heavy) < 500
    assert image_freedom(np.zeros(30)) == 29


@given(st.floats(1e-3, 1e3))
def test_inverse_trigamma_inverts(value: float) -> None:
    assert float(polygamma(1, inverse_trigamma(value))) == pytest.approx(value, rel=1e-5)


@given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=12), st.integers(1, 9))
def test_moderation_draws_every_variance_towards_the_mean(variances: list[float], freedom: int) -> None:
    own, degrees = np.array(variances), np.full(len(variances), float(freedom))
    found, more = moderate(own, degrees)
    mean = own.mean()
    assert (np.minimum(own, mean) <= found * (1 + 1e-9)).all() and (found <= np.maximum(own, mean) * (1 + 1e-9)).all()
    assert (more >= degrees).all() and (more <= freedom * len(variances) + 1e-9).all()
    assert (more <= freedom + PRIOR_FREEDOM[1] + 1e-9).all()


def test_an_unstable_method_is_drawn_less_where_variances_are_unequal() -> None:
    rng = np.random.default_rng(4)
    alike = rng.chisquare(4, 12) / 4
    apart = alike * np.exp(rng.normal(0, 3, 12))
    found_alike, freedom_alike = moderate(alike, np.full(12, 4.0))
    found_apart, freedom_apart = moderate(apart, np.full(12, 4.0))
    assert freedom_alike[0] > freedom_apart[0]
    assert found_alike.std() / alike.std() < found_apart.std() / apart.std()


def test_nothing_to_moderate_stays_as_it_is() -> None:
    for variances in (np.array([0.5]), np.array([0.5, np.nan])):
        found, freedom = moderate(variances, np.full(len(variances), 2.0))
        np.testing.assert_array_equal(found, variances)
        np.testing.assert_array_equal(freedom, 2.0)
