"""The threshold of a learned selector selects the annotated fraction of the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from benchkit.errors import BenchkitError
from benchkit.stages.threshold import matching_threshold


@pytest.mark.parametrize("prevalence", [0.01, 0.25, 0.9])
def test_the_selected_fraction_equals_the_prevalence(prevalence: float) -> None:
    scores = np.random.default_rng(0).random((4, 50, 50))
    selected = scores >= matching_threshold(scores, prevalence)
    assert selected.mean() == pytest.approx(prevalence, abs=1 / scores.size)


@pytest.mark.parametrize("prevalence", [0.0, 1.0, float("nan")])
def test_a_labelled_set_of_one_class_is_refused(prevalence: float) -> None:
    with pytest.raises(BenchkitError, match="a threshold cannot be matched"):
        matching_threshold(np.zeros(4), prevalence)
