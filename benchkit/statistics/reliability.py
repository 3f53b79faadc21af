"""Whether a board would come out alike if it were run again: the split-half correlation of its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from benchkit.statistics.jackknife import Jackknife
from benchkit.statistics.ranks import spearman

#: With fewer rows or seeds, a correlation of two halves says nothing.
FEWEST_ROWS, FEWEST_SEEDS = 3, 4
#: Of so many splits at most the mean is taken; 10 seeds have 126, and of more seeds the first ones are taken.
MOST_SPLITS = 126


def split_halves(rows: Mapping[str, Jackknife]) -> float:
    """Return Spearman's rank correlation between the rows' order by half of the seeds and by the other half.

    The mean over the ways to split the seeds that all rows have into two halves; of an odd number of seeds, each half
    leaves one out in turn. Both halves are scored on the same test images. NaN for fewer than FEWEST_ROWS rows or
    FEWEST_SEEDS seeds, or where a half orders nothing.
    """
    shared = sorted(set.intersection(*({*row.seeds} for row in rows.values()))) if rows else []
    if len(rows) < FEWEST_ROWS or len(shared) < FEWEST_SEEDS:
        return float("nan")
    figures = np.array([row.of_seeds(shared).figures for row in rows.values()])
    half = len(shared) // 2
    found = []
    for chosen in combinations(range(len(shared)), half):
        rest = [seed for seed in range(len(shared)) if seed not in chosen]
        for others in combinations(rest, half):
            if chosen[0] < others[0]:  # each pair of halves once
                first, second = (figures[:, list(part)].mean(1) for part in (chosen, others))
                if np.ptp(first) > 0 and np.ptp(second) > 0:
                    found.append(spearman(first, second))
        if len(found) >= MOST_SPLITS:
            break
    return float(np.mean(found)) if found else float("nan")
