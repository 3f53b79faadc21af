"""The split-half correlation: closed forms, and a simulation with a known reliability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.reliability import split_halves


def rows(figures: np.ndarray, seeds: tuple[int, ...] | None = None) -> dict[str, Jackknife]:
    seeds = tuple(range(figures.shape[1])) if seeds is None else seeds
    return {f"r{i}": Jackknife(seeds, own, np.zeros((2, len(own)))) for i, own in enumerate(figures)}


def test_equal_seeds_agree_and_opposite_halves_disagree() -> None:
    column = np.array([[1.0], [2.0], [3.0]])
    assert split_halves(rows(np.tile(column, 4))) == pytest.approx(1)
    # Seeds 0 and 1 order the rows one way, 2 and 3 the other: halves {0,1} | {2,3} give -1, the two mixed splits tie.
    opposite = np.hstack([column, column, -column, -column])
    assert split_halves(rows(opposite)) == pytest.approx(-1)


def test_it_is_the_mean_over_all_splits() -> None:
    figures = np.random.default_rng(0).normal(size=(5, 4))
    pairs = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    expected = np.mean(
        [stats.spearmanr(figures[:, list(a)].mean(1), figures[:, list(b)].mean(1)).statistic for a, b in pairs]
    )
    assert split_halves(rows(figures)) == pytest.approx(expected)


def test_it_is_what_a_simulation_of_two_boards_gives() -> None:
    rng = np.random.default_rng(1)
    found, truth = [], []
    for _ in range(200):
        quality = rng.normal(size=12)[:, None]
        found.append(split_halves(rows(quality + rng.normal(size=(12, 6)))))
        twice = [(quality + rng.normal(size=(12, 3))).mean(1) for _ in range(2)]
        truth.append(stats.spearmanr(*twice).statistic)
    assert np.mean(found) == pytest.approx(np.mean(truth), abs=0.04)


@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (0, 4)])
def test_too_little_is_unknown(shape: tuple[int, int]) -> None:
    assert np.isnan(split_halves(rows(np.arange(np.prod(shape), dtype=float).reshape(shape))))


def test_only_seeds_that_all_rows_have_count() -> None:
    figures = np.random.default_rng(2).normal(size=(4, 4))
    more = rows(figures)
    more["r0"] = Jackknife((9, 0, 1, 2, 3), np.r_[100.0, figures[0]], np.zeros((2, 5)))
    assert split_halves(more) == pytest.approx(split_halves(rows(figures)))
