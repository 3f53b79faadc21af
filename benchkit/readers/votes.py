"""Turn annotators' votes into a mask by majority."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def compute_majority(votes: NDArray[Any], annotators: int = 3, needed: int = 2) -> NDArray[np.bool_]:
    """Return the pixels that at least `needed` of `annotators` marked: bool, the shape of `votes`.

    votes: integers 0 .. annotators, how many marked each pixel, any shape. Raises ValueError for other votes or an
    impossible `needed`.
    """
    if not 1 <= needed <= annotators:
        raise ValueError(f"needed must lie in 1 .. {annotators}, not {needed}")
    counts = np.asarray(votes)
    if not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(f"votes are counts, not {counts.dtype}")
    if counts.size and (int(counts.min()) < 0 or int(counts.max()) > annotators):
        raise ValueError(f"votes must lie in 0 .. {annotators}")
    return np.asarray(counts >= needed, np.bool_)
