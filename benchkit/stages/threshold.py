"""Choose the threshold of a learned selector, the paper's tau."""

from __future__ import annotations

import numpy as np

from benchkit.errors import BenchkitError


def matching_threshold(scores: np.ndarray, prevalence: float) -> float:
    """Return the quantile of the scores whose selected fraction of all pixels is nearest to `prevalence`.

    scores: a detector's artifact probabilities of the images to select from, any shape. prevalence: the annotated
    fraction of the pixels of the labelled set. Raises BenchkitError unless prevalence lies between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise BenchkitError(f"the labelled set's prevalence is {prevalence:.4g}: a threshold cannot be matched to it")
    return float(np.quantile(scores, 1 - prevalence))
