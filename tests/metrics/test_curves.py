"""Learning curves: their figures against scikit-learn's, and the rule by which they still climb."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from benchkit.errors import BenchkitError
from benchkit.metrics.curves import CurvePoint, is_climbing

STEPS = list(range(100, 1100, 100))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(-12, 12), st.booleans())
def test_figures_are_those_of_scikit_learn(seed: int, shift: float, is_ignored: bool) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.random((4, 16, 16)) < 0.1
    labels[0, 0, 0] = True
    ignored = (rng.random(labels.shape) < 0.3) & ~labels if is_ignored else None
    scores = (1 / (1 + np.exp(-(rng.normal(size=labels.shape) + labels + shift)))).astype(np.float32)
    point = CurvePoint()
    for rows in (slice(0, 1), slice(1, 4)):
        point.add(scores[rows], labels[rows], None if ignored is None else ignored[rows])
    figures, counted = point.figures(), ... if ignored is None else ~ignored
    truth, shown = labels[counted].ravel(), scores[counted].ravel()
    assert figures["average_precision"] == pytest.approx(sk.average_precision_score(truth, shown), abs=2e-3)
    assert figures["artifact_iou"] == pytest.approx(sk.jaccard_score(truth, shown >= 0.5))


def test_extreme_scores_are_counted() -> None:
    point = CurvePoint()
    point.add(np.array([[[0.0, 1.0, 1.0, 0.5]]], np.float32), np.array([[[False, True, False, True]]]), None)
    assert point.figures() == {"average_precision": pytest.approx(0.5 * 0.5 + 0.5 * 2 / 3), "artifact_iou": 2 / 3}


def test_images_without_artifacts_have_a_figure() -> None:
    point = CurvePoint()
    point.add(np.full((1, 2, 2), 0.7, np.float32), np.zeros((1, 2, 2), bool), None)
    assert point.figures() == {"average_precision": 0.0, "artifact_iou": 0.0}


def test_a_rising_curve_climbs_and_a_flat_or_a_noisy_one_does_not() -> None:
    rising = [0.1 + 0.02 * i for i in range(10)]
    flat = [0.3] * 10
    saturating = [0.4 * (1 - np.exp(-i)) for i in range(10)]
    noisy = [*flat[:6], 0.28, 0.33, 0.27, 0.31]
    falling = rising[::-1]
    assert is_climbing(STEPS, rising) is True
    assert [is_climbing(STEPS, one) for one in (flat, saturating, noisy, falling)] == [False] * 4


def test_only_the_last_third_counts() -> None:
    assert is_climbing(STEPS, [0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4]) is False
    assert is_climbing(STEPS, [0.4, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.2, 0.3, 0.4]) is True


def test_the_rise_is_measured_against_half_a_point() -> None:
    def line(rise: float) -> list[float]:
        return [0.3] * 6 + [0.3 + rise * i / 3 for i in range(4)]

    assert is_climbing(STEPS, line(0.0051)) is True
    assert is_climbing(STEPS, line(0.0049)) is False


def test_two_points_say_nothing() -> None:
    assert is_climbing([1, 2], [0.1, 0.9]) is None
    assert is_climbing([], []) is None


def test_scores_that_are_not_finite_say_that_the_training_diverged() -> None:
    scores = np.array([[[0.5, np.nan]]], np.float32)
    with pytest.raises(BenchkitError, match="training diverged"):
        CurvePoint().add(scores, np.array([[[True, False]]]), None)
