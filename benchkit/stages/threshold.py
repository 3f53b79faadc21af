"""Choose the threshold of a learned selector, the paper's tau."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from benchkit.errors import BenchkitError

#: Scores are counted in bins of equal width first, so that only those near the quantile must be sorted.
_BINS = 2**16


def matching_threshold(scores: Sequence[np.ndarray], prevalence: float) -> float:
    """Return the quantile of the scores whose selected fraction of all pixels is nearest to `prevalence`.

    scores: a detector's artifact probabilities of the images to select from, in [0, 1], in parts of any shape, which
    may be memory-mapped: no more than one part and the scores near the quantile are in memory. prevalence: the
    annotated fraction of the pixels of the labelled set. NaN if a score is. Raises BenchkitError unless prevalence lies
    between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise BenchkitError(f"the labelled set's prevalence is {prevalence:.4g}: a threshold cannot be matched to it")
    if any(np.isnan(part).any() for part in scores):
        return float("nan")
    counts = sum(map(partial(np.bincount, minlength=_BINS), map(_to_bins, scores)), np.zeros(_BINS, np.int64))
    ends = counts.cumsum()
    place = float((ends[-1] - 1) * (1 - prevalence))
    below = int(place)
    places = np.array([below, min(below + 1, int(ends[-1]) - 1)])
    first, last = np.searchsorted(ends, places, side="right")
    near = np.sort(np.concatenate([part[_lie_between(part, first, last)] for part in scores]))
    pair = near[places - (ends[first] - counts[first])]
    # The quantile of all scores, to the last bit: numpy interpolates between the same two values.
    return float(np.quantile(pair, place - below))


def _to_bins(part: np.ndarray) -> np.ndarray:
    """Return the number of each score's bin, which grows with the score: (scores,) integers."""
    return np.minimum(part.reshape(-1) * _BINS, _BINS - 1).astype(np.int64)


def _lie_between(part: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return which scores lie in the bins from `first` to `last`, in the shape of the part."""
    bins = _to_bins(part).reshape(part.shape)
    return np.asarray((bins >= first) & (bins <= last))
