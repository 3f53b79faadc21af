"""The fixed score bins that every pixel curve is stored in, and how scores fall into them.

A detector trained by cross-entropy on rare artifacts puts most pixels close to 0, where equal bins would tie them all.
So the bins narrow towards both ends like floating-point numbers do: 32 to every halving of the distance to the end,
from 1/128 wide in the middle to 2**-21 at the ends. Every edge is a multiple of 2**-21 and so exact in float32:
"score >= edge" and "bin >= the edge's bin" are the same statement, with no rounding between them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

#: A pixel is called an artifact where its score is at least this.
THRESHOLD = 0.5
#: Scores are first cut this finely; the bins are unions of such cells.
_CELLS = 2**21
_OCTAVES = 16
_PER_OCTAVE = 32


def _edges() -> NDArray[np.float64]:
    """The edges of the bins, strictly increasing from 0 to 1, symmetric about 1/2."""
    ends = [0.0, *(2.0**-k for k in range(_OCTAVES, 0, -1))]
    octaves = [np.linspace(a, b, _PER_OCTAVE, endpoint=False) for a, b in pairwise(ends)]
    lower = np.concatenate(octaves)
    return np.concatenate([lower, [0.5], 1 - lower[::-1]])


#: (BINS + 1,) edges; bin i holds EDGES[i] <= score < EDGES[i + 1], the last bin also the score 1.
EDGES = _edges()
BINS = len(EDGES) - 1
# The last cell is the score 1 alone, which belongs to the last bin.
_CELLS_IN_BIN = np.diff(EDGES * _CELLS).astype(np.int64) + (np.arange(BINS) == BINS - 1)
_BIN_OF_CELL = np.repeat(np.arange(BINS, dtype=np.int16), _CELLS_IN_BIN)


def bin_index(scores: FloatArray) -> NDArray[np.int64]:
    """The bin of every score: any shape of floats in [0, 1] -> the same shape of integers in [0, BINS)."""
    return _BIN_OF_CELL[(scores * _CELLS).astype(np.int64)].astype(np.int64)


def edge_index(threshold: float) -> int:
    """The first bin at or above a threshold, which must be an edge (below 1), for only edges are stored exactly."""
    nearest = int(np.argmin(np.abs(EDGES[:-1] - threshold)))
    if EDGES[nearest] != threshold:
        raise BenchkitError(
            f"threshold {threshold} is not an edge of the stored score bins; the nearest is {EDGES[nearest]}"
        )
    return nearest


def as_numpy(values: Any) -> NDArray[Any]:
    """An array, or a tensor of any device and precision, as a numpy array; torch itself is not imported."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
        return np.asarray(values.numpy())
    return np.asarray(values)


def as_scores(scores: Any) -> FloatArray:
    """Scores as (N, H, W) floats; raises BenchkitError for another shape, or values that are no score in [0, 1]."""
    array = as_numpy(scores)
    if array.ndim != 3:
        raise BenchkitError(f"scores must be (N, H, W), not {array.shape}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32)
    # Written so that NaN, which no comparison holds for, fails it too.
    if not np.all((array >= 0) & (array <= 1)):
        raise BenchkitError("scores must lie in [0, 1] and hold no NaN: give probabilities, not logits")
    return array


def as_labels(labels: Any, shape: tuple[int, ...], what: str = "labels") -> BoolArray:
    """Labels as (N, H, W) booleans of the scores' shape; raises BenchkitError for another shape or other values."""
    array = as_numpy(labels)
    if array.shape != shape:
        raise BenchkitError(f"{what} are {array.shape} but the scores are {shape}")
    if array.dtype != np.bool_:
        if not np.all((array == 0) | (array == 1)):
            raise BenchkitError(f"{what} must be booleans, or 0 and 1")
        array = array.astype(bool)
    return array
