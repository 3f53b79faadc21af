"""Predicting a figure and its place: the linear map, what leaving a method out means, intervals that cover."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from benchkit.errors import BenchkitError
from benchkit.statistics.rank_prediction import (
    apply_linear,
    fit_linear,
    least_methods,
    predict_left_out,
    predict_ranks,
    validate,
)


def rows(seed: int, methods: int = 8, noise: float = 0.02, depths: int = 2) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Rows of methods with two figures each; the target is a line of them plus noise."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(0, 0.1, (methods * depths, 2))
    targets = 0.2 + inputs @ [0.7, 0.3] + rng.normal(0, noise, methods * depths)
    return inputs, targets, [f"method {i // depths}" for i in range(methods * depths)]


def test_the_map_is_least_squares() -> None:
    inputs, targets, methods = rows(1)
    own, other = fit_linear(inputs, targets), LinearRegression().fit(inputs, targets)
    assert_allclose(own, [other.intercept_, *other.coef_])
    assert_allclose(apply_linear(own, inputs), other.predict(inputs))
    left_out = cross_val_predict(LinearRegression(), inputs, targets, groups=methods, cv=LeaveOneGroupOut())
    assert_allclose(predict_left_out(inputs, targets, methods), left_out)


def test_inputs_that_depend_on_each_other_are_no_fault() -> None:
    inputs, targets, methods = rows(2)
    twice = np.column_stack([inputs, inputs[:, 0]])
    assert_allclose(predict_left_out(twice, targets, methods), predict_left_out(inputs, targets, methods))


def test_leaving_out_a_method_leaves_out_all_its_rows() -> None:
    """Two depths of a method that is unlike the others do not vouch for each other."""
    inputs, targets, methods = rows(3, noise=0)
    targets = targets + np.array([1.0, 1.0, *[0.0] * 14])
    assert_allclose(predict_left_out(inputs, targets, methods)[:2], targets[:2] - 1)


def test_without_inputs_the_interval_is_that_of_the_mean() -> None:
    """In closed form: one row per method, and the error of the mean of the others is n / (n - 1) of the deviation."""
    targets = np.array([0.1, 0.25, 0.2, 0.4, 0.3, 0.15])
    inputs, methods = np.zeros((6, 0)), list("abcdef")
    (place,) = predict_ranks(inputs, targets, methods, np.zeros((1, 0)))
    deviations = 6 / 5 * (targets - targets.mean())
    half_width = stats.t.ppf(0.975, 5) * np.sqrt((deviations**2).mean())
    mean = targets.mean()
    assert_allclose((place.figure, place.low, place.high), (mean, mean - half_width, mean + half_width))
    assert (place.rank, place.rank_low, place.rank_high) == (4, 1, 7)


def test_an_exact_map_gives_exact_places() -> None:
    inputs, targets, methods = rows(4, noise=0)
    new = np.array([[0.5, 0.5], [-0.5, -0.5]])
    best, worst = predict_ranks(inputs, targets, methods, new)
    assert (best.rank, best.rank_low, best.rank_high, best.figure) == (1, 1, 1, pytest.approx(0.7))
    assert (worst.rank, worst.rank_low, worst.rank_high) == (17, 17, 17)
    found = validate(inputs, targets, methods)
    assert (found.rows, found.methods) == (16, 8)
    assert (found.spearman, found.kendall) == (pytest.approx(1), pytest.approx(1))
    assert_allclose(found.predicted, targets)


def test_a_validation_judges_each_method_by_the_others_alone() -> None:
    inputs, targets, methods = rows(5)
    found = validate(inputs, targets, methods)
    assert_allclose(found.predicted, predict_left_out(inputs, targets, methods))
    assert found.spearman == pytest.approx(stats.spearmanr(found.predicted, targets).statistic)
    assert found.kendall == pytest.approx(stats.kendalltau(found.predicted, targets).statistic)
    inside = []
    for i in range(0, 16, 2):
        rest = np.r_[0:i, i + 2 : 16]
        places = predict_ranks(inputs[rest], targets[rest], [methods[j] for j in rest], inputs[i : i + 2])
        true = 1 + (targets[rest][None] > targets[i : i + 2, None]).sum(1)
        inside += [p.rank_low <= t <= p.rank_high for p, t in zip(places, true, strict=True)]
    assert found.covered == np.mean(inside)


def test_noise_alone_is_not_predicted() -> None:
    rng = np.random.default_rng(6)
    names = [str(i // 2) for i in range(30)]
    found = [validate(rng.normal(size=(30, 2)), rng.normal(size=30), names).spearman for _ in range(20)]
    assert np.mean(found) < 0.1  # below zero: a row above the mean leaves a lower mean behind


def test_intervals_cover() -> None:
    """Of new methods' figures, 95 % lie in the interval; within four standard errors of 400 trials."""
    inside = []
    for seed in range(400):
        inputs, targets, methods = rows(seed, methods=11, depths=1)
        (place,) = predict_ranks(inputs[1:], targets[1:], methods[1:], inputs[:1])
        inside.append(place.low <= targets[0] <= place.high)
    assert 0.95 - 0.044 < np.mean(inside) <= 0.995


def test_equal_figures_have_no_rank_correlation() -> None:
    inputs, _, methods = rows(7)
    found = validate(inputs, np.full(16, 0.2), methods)
    assert np.isnan([found.spearman, found.kendall]).all()
    assert found.covered == 1


def test_too_few_methods_are_refused() -> None:
    inputs, targets, methods = rows(8, methods=least_methods(2))
    assert np.isfinite(astuple(predict_ranks(inputs, targets, methods, inputs[:1])[0])).all()
    assert np.isfinite(validate(inputs, targets, methods).covered)
    inputs, targets, methods = rows(8, methods=4)
    with pytest.raises(BenchkitError, match="at least 5 methods, not 4"):
        validate(inputs, targets, methods)
    with pytest.raises(BenchkitError, match="at least 4 methods, not 3"):
        predict_ranks(inputs[:6], targets[:6], methods[:6], inputs[:1])


def test_undefined_figures_are_refused() -> None:
    inputs, targets, methods = rows(9)
    targets[3] = np.nan
    with pytest.raises(BenchkitError, match="all defined"):
        validate(inputs, targets, methods)
