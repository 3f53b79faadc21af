"""Groups of score bins: edges that decide the same figures, and what AUPRO and the curve figures by kind lose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.errors import BenchkitError
from benchkit.leaderboard.bin_groups import group_bins, make_edges, sum_groups
from benchkit.leaderboard.submission import Submission
from benchkit.leaderboard.terms import FROM_GROUPS, GROUPS_MOVE, ScoredImages, Terms
from benchkit.leaderboard.terms_file import CURVES, GROUPS, terms_from_files, terms_to_files
from benchkit.metrics import by_kind, measure, summarise
from benchkit.metrics.bins import is_spread


@given(st.lists(st.booleans(), min_size=4, max_size=40), st.data())
@settings(max_examples=60, deadline=None)
def test_edges_hold_one_score_or_several_as_they_should(several: list[bool], data: st.DataObject) -> None:
    above, chosen = sorted(data.draw(st.lists(st.integers(1, len(several) - 1), min_size=2, max_size=2, unique=True)))
    for place in (0, above - 1, above, chosen - 1, chosen, len(several) - 1):
        several[place] = True  # so that edges exist
    edges = make_edges(np.array(several), above, chosen, 0.7)
    assert edges[0] == 0 and edges[above] == 0.5 and edges[chosen] == 0.7 and (np.diff(edges) > 0).all()
    assert is_spread(edges).tolist() == several


def test_bins_that_cannot_reach_the_threshold_are_refused() -> None:
    with pytest.raises(BenchkitError, match="do not rise"):
        make_edges(np.array([False, False, True]), 2)


@pytest.fixture(scope="module")
def scored() -> tuple[Terms, ScoredImages, dict[str, float]]:
    """A detector with many different scores, on images of 64 × 64 pixels with two kinds of artifacts."""
    rng = np.random.default_rng(0)
    labels = np.zeros((8, 64, 64), bool)
    labels[:, 10:30, 10:40] = True
    scores = np.clip(rng.normal(0.3 + 0.25 * labels, 0.2), 0, 1).astype(np.float32)
    left = np.arange(64)[None, :] < 20
    masks = [{"left": mark & left, "right": mark & ~left} for mark in labels]
    measured = measure(scores, labels, masks, threshold=0.4)
    terms = Terms.of(measured, 0.4)
    return terms, ScoredImages.of(measured, map(str, range(8))), {**summarise(measured), **by_kind(measured)}


def test_groups_are_few_and_figures_stay_close(scored: tuple[Terms, ScoredImages, dict[str, float]]) -> None:
    terms, images, wanted = scored
    assert len(terms.groups) < len(terms.edges) / 4
    found = terms.figures(images)
    for name, value in wanted.items():
        if name.partition(":")[0] in FROM_GROUPS:
            assert abs(found[name] - value) <= GROUPS_MOVE
        else:
            assert found[name] == value or np.isnan(value), name


def test_groups_come_back_from_the_files(scored: tuple[Terms, ScoredImages, dict[str, float]]) -> None:
    terms, images, _ = scored
    files = terms_to_files({"a": terms}, {"t": images})
    back = terms_from_files(files, "here", {"a": 0.4})[0]["a"]
    np.testing.assert_array_equal(back.groups, terms.groups)
    assert back.figures(images) == pytest.approx(terms.figures(images), nan_ok=True, abs=0)
    with pytest.raises(BenchkitError, match=r"here/curves\.parquet: the cell a has score bins that do not rise"):
        terms_from_files(files, "here")


def test_all_bins_are_kept_where_groups_are_too_coarse(scored: tuple[Terms, ScoredImages, dict[str, float]]) -> None:
    """A kind that lies in one bin alone, in the middle of a group."""
    terms, images, _ = scored
    odd = np.zeros(len(terms.edges), np.int64)
    starts = np.append(terms.groups, len(odd))
    widest = int(np.argmax(np.diff(starts)))
    odd[starts[widest]] = 50
    full = replace(terms, groups=np.arange(len(odd)), kinds={"odd": odd}, regions=None)
    kept = full._grouped()
    assert len(kept.groups) == len(odd)
    files = terms_to_files({"a": kept}, {"t": images})
    back = terms_from_files(files, "here", {"a": 0.4})[0]["a"]
    np.testing.assert_array_equal(back.kinds["odd"], odd)


def test_groups_begin_at_both_thresholds() -> None:
    edges = make_edges(np.ones(100, bool), 50, 70, 0.7)
    groups = group_bins(edges, np.ones(100, np.int64), np.ones(100, np.int64), 0.7)
    assert {0, 50, 70} <= set(groups.tolist())
    assert sum_groups(np.ones(100), groups).sum() == 100


def test_histograms_over_other_groups_are_refused(submission: Submission) -> None:
    cell = next(iter(submission.terms))
    terms = submission.terms[cell]
    shorter = replace(
        terms, groups=terms.groups[:-1], kinds={}, regions=None if terms.regions is None else terms.regions[:-1]
    )
    images = next(iter(submission.images.values()))
    files = terms_to_files({cell: shorter}, {"t": images})
    back = terms_from_files(files, "here")[0][cell]
    assert back.find_fault(images) is not None
    assert {CURVES, GROUPS} <= files.keys()
