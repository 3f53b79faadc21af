"""The threshold of a learned selector selects the annotated fraction of the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from benchkit.errors import BenchkitError
from benchkit.stages.threshold import matching_threshold


@pytest.mark.parametrize("prevalence", [0.01, 0.25, 0.9])
def test_the_selected_fraction_equals_the_prevalence(prevalence: float) -> None:
    scores = np.random.default_rng(0).random((4, 50, 50))
    selected = scores >= matching_threshold([scores], prevalence)
    assert selected.mean() == pytest.approx(prevalence, abs=1 / scores.size)


@pytest.mark.parametrize("prevalence", [0.0, 1.0, float("nan")])
def test_a_labelled_set_of_one_class_is_refused(prevalence: float) -> None:
    with pytest.raises(BenchkitError, match="a threshold cannot be matched"):
        matching_threshold([np.zeros(4)], prevalence)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("skew", [1, 20, 400])
def test_it_is_the_quantile_of_all_scores_to_the_last_bit(kind: type[np.floating], skew: int) -> None:
    rng = np.random.default_rng(skew)
    parts = [(rng.random((count, 9, 7)) ** skew).astype(kind) for count in (16, 16, 3)]
    parts[0][0, 0] = 0, 0, 0, 1, 1, 1, 0.5
    for prevalence in (1e-6, 0.004, 0.03, 0.5, 0.999, 1 - 1e-9):
        expected = float(np.quantile(np.concatenate(parts), 1 - prevalence))
        assert matching_threshold(parts, prevalence) == expected


def test_one_value_everywhere_is_its_own_quantile() -> None:
    assert matching_threshold([np.full((2, 3), 0.25, np.float32)], 0.1) == 0.25


def test_scores_that_are_undefined_have_no_threshold() -> None:
    assert np.isnan(matching_threshold([np.zeros((2, 2)), np.array([0.5, np.nan])], 0.1))
