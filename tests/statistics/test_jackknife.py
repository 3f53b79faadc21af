"""The jackknife over images: the board's figures, textbook standard errors, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from benchkit import metrics as bm
from benchkit.errors import BenchkitError
from benchkit.statistics.jackknife import jackknife


def means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Terms (S, N, 2) of the mean over the images of values (S, N)."""
    return np.stack([bm.mean_terms(v) for v in np.atleast_2d(values)])


def counts(seed: int, seeds: int = 1, images: int = 60) -> NDArray[np.int64]:
    """Counts (S, N, 4) of a detector that finds half of the annotated pixels."""
    rng = np.random.default_rng(seed)
    annotated = rng.integers(0, 200, images)
    tp, fp = rng.binomial(annotated, 0.5, (seeds, images)), rng.poisson(30, (seeds, images))
    return np.stack([tp, fp, annotated - tp, 1000 - annotated - fp], axis=-1)


def test_figures_are_the_boards_and_influences_those_of_omitted_images() -> None:
    terms = counts(1, seeds=3, images=7)
    found = jackknife({"a": terms}, bm.artifact_iou)["a"]
    assert_allclose(found.figures, [float(bm.artifact_iou(own.sum(0))) for own in terms])
    assert found.estimate == pytest.approx(found.figures.mean())
    without = np.array([[float(bm.artifact_iou(np.delete(own, i, 0).sum(0))) for own in terms] for i in range(7)])
    assert_allclose(found.influence, 6 * (without.mean(0) - without))


def test_the_variance_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(4).normal(size=50)
    found = jackknife({"a": means(values)}, bm.mean_of)["a"]
    assert_allclose(found.influence[:, 0], values - values.mean())
    assert (found.influence**2).sum() / (50 * 49) == pytest.approx(values.var(ddof=1) / 50)


def test_histograms_serve_as_well_as_counts() -> None:
    rng = np.random.default_rng(6)
    labels = rng.random((6, 8, 8)) < 0.3
    measured = bm.measure(np.clip(0.3 * labels + 0.7 * rng.random(labels.shape), 0, 1), labels)
    for name in bm.METRICS:
        info = bm.metric(name)
        found = jackknife({"a": [info.additive(measured)] * 2}, info.pooled)["a"]
        assert_allclose(found.figures, [info(measured)] * 2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), images=st.integers(2, 6), ties=st.booleans(), sparse=st.booleans())
def test_curves_equal_those_of_each_image_omitted(seed: int, images: int, ties: bool, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.random((images, 6, 6)) < (0.05 if sparse else 0.4)
    scores = np.clip(0.4 * labels + 0.6 * rng.random(labels.shape), 0, 1)
    measured = bm.measure(np.round(scores, 1) if ties else scores, labels, [{"melt": own} for own in labels])
    for name in ("artifact_iou", "average_precision", "kind_iou:melt", "kind_average_precision:melt"):
        info = bm.metric(name)
        terms = info.additive(measured)
        without = np.array([info.pooled(np.delete(terms, i, 0).sum(0)) for i in range(images)], np.float64)
        found = jackknife({"a": [terms]}, info.pooled)["a"]
        assert_allclose(found.figures, [info(measured)], rtol=0, atol=1e-12)
        assert_allclose(found.influence[:, 0], (images - 1) * (without.mean() - without), rtol=0, atol=1e-12)


def test_blocks_of_images_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = counts(7, seeds=2)
    whole = jackknife({"a": terms}, bm.artifact_iou)["a"].influence
    monkeypatch.setattr("benchkit.statistics.jackknife._NUMBERS_AT_ONCE", 80)
    assert_array_equal(jackknife({"a": terms}, bm.artifact_iou)["a"].influence, whole)


def test_seeds_may_come_as_array_list_or_by_name() -> None:
    terms = counts(10, seeds=3)
    forms: list[Any] = [terms, list(terms), {2: terms[2], 0: terms[0], 1: terms[1]}]
    first, *others = (jackknife({"a": form}, bm.artifact_iou)["a"] for form in forms)
    for other in others:
        assert other.seeds == first.seeds == (0, 1, 2)
        assert_array_equal(other.influence, first.influence)
    assert_array_equal(first.of_seeds([2, 0]).figures, first.figures[[2, 0]])


def test_a_figure_that_one_image_decides_is_undefined_without_it() -> None:
    values = np.full(8, np.nan)
    values[0] = 0.25
    found = jackknife({"a": means(values)}, bm.mean_of)["a"]
    assert found.estimate == 0.25
    assert np.isnan(found.influence).all()


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({}, "no method given"),
        ({"a": np.ones((1, 3, 4)), "b": np.ones((1, 2, 4))}, "same images"),
        ({"a": np.ones((1, 0, 4))}, "no images"),
        ({"a": []}, "no seeds"),
        ({"a": [np.ones((3, 4)), np.ones((2, 4))]}, "every seed must be scored on the same images"),
        ({"a": np.ones((3, 4))}, "images, terms"),
        ({"a": np.full((1, 3, 4), np.nan)}, "mean_terms"),
    ],
)
def test_terms_that_do_not_fit_are_refused(methods: Any, message: str) -> None:
    with pytest.raises(BenchkitError, match=message):
        jackknife(methods, bm.artifact_iou)


def test_reports_need_no_torch() -> None:
    code = "import benchkit.metrics.confinement, benchkit.statistics.ranks, benchkit.statistics.resolution, sys"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
