"""From annotators' votes to a label: the one rule that every voted dataset uses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def majority(votes: NDArray[Any], annotators: int = 3, needed: int = 2) -> NDArray[np.bool_]:
    """Pixels that at least `needed` of `annotators` marked.

    votes: integers 0 .. annotators, any shape. Raises ValueError for other votes or an impossible `needed`.
    """
    if not 1 <= needed <= annotators:
        raise ValueError(f"needed must lie in 1 .. {annotators}, not {needed}")
    counts = np.asarray(votes)
    if not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(f"votes are counts, not {counts.dtype}")
    if counts.size and (int(counts.min()) < 0 or int(counts.max()) > annotators):
        raise ValueError(f"votes must lie in 0 .. {annotators}")
    return np.asarray(counts >= needed, np.bool_)
