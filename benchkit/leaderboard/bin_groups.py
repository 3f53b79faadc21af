"""Score bins of a submission: what of their edges decides figures, and groups of bins that need less room.

The score with which a bin begins decides no figure. What counts is whether a bin holds one score or several, and which
bins begin at 0.5 and at the threshold of the validation images. A submission keeps only that, and `make_edges` makes
edges for which the same holds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.metrics import THRESHOLD

Ints = NDArray[np.int64]
#: Parts of the artifact and of the clean pixels at which groups begin. They also begin where the predicted clean pixels
#: have grown by a factor of the root of 2, so that precision is nearly constant in a group.
_PARTS = 16


def make_edges(
    spread: NDArray[np.bool_], above: int, chosen: int | None = None, threshold: float | None = None
) -> NDArray[np.float64]:
    """Return lower edges (B,) of score bins, rising from 0: each bin is as narrow as can be, or wider.

    spread: (B,) whether a bin holds several scores. above: the bin that begins at 0.5. chosen: the one that begins at
    `threshold`. Raises BenchkitError where there are no such edges.
    """
    anchors = {0: 0.0, above: THRESHOLD}
    if chosen is not None and threshold is not None:
        anchors[chosen] = threshold
    edges = np.empty(len(spread), np.int64)
    ends = [*sorted(anchors.items()), (len(spread), 2.0)]
    # The bits of floats that are not negative, read as integers, are in their order and without gaps.
    for (first, low), (last, high) in pairwise(ends):
        start, room = _bits(low), _bits(high) - _bits(low)
        width, several = np.ones(last - first, np.int64), np.flatnonzero(spread[first:last])
        if len(several):
            width[several] = (room - len(width) + len(several)) // len(several)
            width[several[-1]] += room - width.sum()
        if len(width) == 0 or width.sum() != room or (width[several] < 2).any():
            raise BenchkitError(f"score bins that do not rise from 0 through {THRESHOLD}")
        edges[first:last] = start + np.cumsum(width) - width
    return edges.view(np.float64)


def group_bins(
    edges: NDArray[np.float64], clean: Ints, artifact: Ints, threshold: float | None = None
) -> NDArray[np.int64]:
    """Return the first bin of every group, (G,): few pixels lie in a group, and 0.5 and the threshold begin one."""
    starts = _divide(clean) | _divide(artifact)
    predicted = np.maximum(np.cumsum(clean[::-1])[::-1], 1).astype(float)
    starts[1:] |= np.diff(np.frexp(predicted * predicted)[1]) != 0  # the square: two parts of every halving
    starts |= np.isin(edges, [0.0, THRESHOLD, *(() if threshold is None else (threshold,))])
    return np.flatnonzero(starts)


def sum_groups(values: NDArray[Any], groups: Ints) -> NDArray[Any]:
    """Return the sums of values (B,) over each group, (G,)."""
    return np.asarray(np.add.reduceat(values, groups))


def _divide(counts: Ints) -> NDArray[np.bool_]:
    """Return where groups begin that divide the pixels into about equal parts; a bin as large as one is alone."""
    total = max(1, int(counts.sum()))
    after = np.cumsum(counts)
    reached = after * _PARTS // total
    starts = np.diff(reached, prepend=0) > 0
    starts[1:] |= (counts * _PARTS >= total)[:-1]
    return starts


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))
