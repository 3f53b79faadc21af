"""Changes of a paired difference between two test sets: seeds are paired, and intervals cover as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.multiple_comparisons import adjust_holm
from benchkit.statistics.test_set_changes import measure_change


def drawn(rng: np.random.Generator, images: int, seeds: np.ndarray, level: float, spread: float = 0.2) -> Jackknife:
    """A method whose figure is the mean over images: a level, an effect of each seed and one of each image."""
    values = (
        level + seeds[None, :] + spread * rng.normal(size=(images, 1)) + 0.05 * rng.normal(size=(images, len(seeds)))
    )
    parts = [Jackknife.of_seed(0, v.mean(), (v.sum() - v) / (images - 1)).influence[:, 0] for v in values.T]
    return Jackknife(tuple(range(len(seeds))), values.mean(axis=0), np.stack(parts, axis=1))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("seed_effect", [0.0, 0.3])
def test_intervals_cover_as_often_as_they_say(seeds: int, seed_effect: float) -> None:
    """The seeds' effects are far larger than those of the images, and the same on both sets: pairing cancels them."""
    rng = np.random.default_rng(seeds)
    covered, widths = [], []
    for _ in range(1500):
        effects = seed_effect * rng.normal(size=(2, seeds))
        public, fresh = (
            tuple(drawn(rng, n, own, level) for own, level in zip(effects, levels, strict=True))
            for n, levels in ((60, (0.6, 0.4)), (30, (0.5, 0.4)))
        )
        found = measure_change(public, fresh)
        covered.append(found.low <= -0.1 <= found.high)
        widths.append(found.high - found.low)
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.median(widths) < 0.3  # about 0.25; unpaired, seeds of 0.3 would make it 1.5 or more


def test_only_common_seeds_count_and_none_gives_nothing() -> None:
    rng = np.random.default_rng(0)
    a, b, c, d = (drawn(rng, 20, np.zeros(4), level) for level in (0.5, 0.4, 0.5, 0.4))
    fewer = measure_change((a, b), (c.of_seeds([0, 2]), d))
    assert fewer == measure_change((a.of_seeds([0, 2]), b.of_seeds([2, 0])), (c, d))
    other = Jackknife((7, 8, 9, 10), d.figures, d.influence)
    assert np.isnan(measure_change((a, b), (c, other)).estimate)


def test_p_values_and_intervals_agree() -> None:
    rng = np.random.default_rng(1)
    for level in (0.4, 0.48, 0.5):
        pairs = [tuple(drawn(rng, 40, np.zeros(5), x) for x in (y, 0.4)) for y in (0.5, level)]
        found = measure_change(*pairs)
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


def test_holm_corrects_for_all_that_are_known() -> None:
    assert adjust_holm([0.01, 0.04, 0.03, float("nan")])[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(adjust_holm([0.5, float("nan")])[1])
    assert adjust_holm([0.9, 0.8]) == [1.0, 1.0]
