"""The score bins that a row's curves are stored in, and how scores fall into them.

No fixed bins suit every detector: a short training puts almost all scores into a few of them, and pixels of one bin are
tied. So each row has its own bins, fitted to its own scores: they cut the artifact pixels into small parts, smaller
where precision changes fast. A score that many artifact pixels share has a bin to itself, so that a tie differs from
many scores close together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

#: An artifact is predicted where the score is at least this.
THRESHOLD = 0.5
#: Of every record; the bins that a row does not need are empty.
BINS = 1024
#: Edges for each group of pixels; with 0, THRESHOLD and some more no more than BINS.
_ARTIFACT_EDGES, _REGION_EDGES, _KIND_EDGES, _CLEAN_EDGES = 800, 64, 64, 80
#: Equal parts of the artifact pixels that their edges are chosen from.
_FINE_PARTS = 2**13
#: Clean pixels of one batch that are sampled: their edges need not be exact.
_CLEAN_SAMPLE = 2**14


@dataclass(frozen=True)
class ScoreSample:
    """The scores of one batch of images to which bins are fitted.

    artifact: scores of the artifact pixels, and weights: one over the area of each pixel's region. clean: scores of
    some clean pixels, each standing for `step` of them. kinds: artifact kind -> scores of its pixels.
    """

    artifact: FloatArray
    weights: NDArray[np.float64]
    clean: FloatArray
    step: int = 1
    kinds: Mapping[str, FloatArray] = field(default_factory=dict)

    @classmethod
    def of(
        cls, artifact: FloatArray, weights: NDArray[np.float64], clean: FloatArray, kinds: Mapping[str, FloatArray]
    ) -> ScoreSample:
        """Return a batch's sample: all scores of artifact pixels, some thousand evenly spaced ones of clean pixels."""
        step = max(1, clean.size // _CLEAN_SAMPLE)
        return cls(artifact, weights, np.sort(clean)[step // 2 :: step], step, kinds)


def fit_edges(samples: Sequence[ScoreSample], thresholds: Iterable[float] = ()) -> NDArray[np.float64]:
    """Return the lower edges of the bins that fit the scores of all batches: (BINS,), ascending from 0.

    THRESHOLD and `thresholds` are among them, so that counts at those are exact. Unused edges at the end are infinite.
    """
    artifact = np.concatenate([sample.artifact for sample in samples])
    clean = np.concatenate([sample.clean for sample in samples])
    steps = np.repeat([sample.step for sample in samples], [sample.clean.size for sample in samples])
    names = sorted({name for sample in samples for name in sample.kinds})
    found = [
        np.array([0.0, THRESHOLD, *thresholds]),
        _artifact_cuts(artifact, clean, steps),
        _cuts(artifact, np.concatenate([sample.weights for sample in samples]), _REGION_EDGES),
        _cuts(clean, steps, _CLEAN_EDGES),
    ]
    for name in names[:_KIND_EDGES]:
        own = np.concatenate([sample.kinds[name] for sample in samples if name in sample.kinds])
        found.append(_cuts(own, None, max(1, _KIND_EDGES // len(names))))
    edges = np.unique(np.concatenate(found))
    assert len(edges) <= BINS
    return np.concatenate([edges, np.full(BINS - len(edges), np.inf)])


def _artifact_cuts(artifact: FloatArray, clean: FloatArray, steps: IntArray) -> NDArray[np.float64]:
    """Return edges among the scores of artifact pixels. A score that many pixels share has a bin to itself.

    Precision is assumed to change evenly within a bin. The possible error is the bin's recall times its change of
    precision. So half of the edges cut the recall into equal parts. The other half go where the root of that product
    is large.
    """
    scores, number = np.unique(artifact.astype(np.float64), return_counts=True)
    tied = scores if 2 * len(scores) <= _ARTIFACT_EDGES else scores[number * _ARTIFACT_EDGES >= 2 * artifact.size]
    ties = np.concatenate([tied, np.nextafter(tied, np.inf)])
    fine = _cuts(artifact, None, _FINE_PARTS, ties=False)
    if len(tied) == len(scores) or len(fine) < 2:
        return ties
    order = np.argsort(clean, kind="stable")
    fp, tp = _at_or_above(fine, clean[order], steps[order]), _at_or_above(fine, scores, number)
    recall, change = np.abs(np.diff(tp / artifact.size)), np.abs(np.diff(tp / np.maximum(tp + fp, 1)))
    error = np.sqrt(recall * change)
    weight = recall / recall.sum() + error / (error.sum() or 1)
    remaining = _ARTIFACT_EDGES - len(ties)
    chosen = _ends(weight, remaining)
    return np.concatenate([ties, fine[chosen if chosen.sum() <= remaining else _ends(weight, remaining // 2)]])


def _at_or_above(edges: NDArray[np.float64], scores: FloatArray, number: IntArray) -> IntArray:
    """Return how many scores, ascending and `number` times each, are at or above every edge."""
    below = np.concatenate([[0], np.cumsum(number)])
    return np.asarray(below[-1] - below[np.searchsorted(scores, edges)])


def _ends(weight: NDArray[np.float64], parts: int) -> BoolArray:
    """Return which ends of consecutive intervals (n,) to cut at, (n + 1,): the first of a part, both of a whole one."""
    part = weight.sum() / max(1, parts)
    first = np.diff(np.floor(np.cumsum(weight) / part), prepend=0) > 0
    return np.append(first, False) | np.append(False, weight >= part)


def _cuts(values: FloatArray, weights: NDArray[Any] | None, parts: int, ties: bool = True) -> NDArray[np.float64]:
    """Return edges that cut the weight of scores into about equal parts, midway between neighbouring scores.

    ties: where there are few scores, give each a bin to itself.
    """
    scores, place = np.unique(values.astype(np.float64), return_inverse=True)
    if not scores.size or (ties and 2 * len(scores) <= parts):
        return np.concatenate([scores, np.nextafter(scores, np.inf)])
    weight = np.bincount(place, weights)
    below = np.cumsum(weight) - weight
    whole = weight.sum()
    first = np.searchsorted(below, whole * np.arange(1, parts) / parts)
    first = np.unique(first[(first > 0) & (first < len(scores))])
    low, high = scores[first - 1], scores[first]
    middle = low + (high - low) / 2
    return np.where(middle > low, middle, high)


def bin_index(scores: FloatArray, edges: NDArray[np.float64]) -> IntArray:
    """Return the bin of every score: any shape of floats in [0, 1] -> the same shape of integers in [0, BINS)."""
    return np.searchsorted(edges, scores.astype(np.float64), side="right") - 1


def edge_index(threshold: float, edges: NDArray[np.float64]) -> int:
    """Return the first bin at or above a threshold, which must be an edge: only edges are stored exactly."""
    nearest = int(np.argmin(np.abs(edges - threshold)))
    if edges[nearest] != threshold:
        raise BenchkitError(
            f"threshold {threshold} is not an edge of the stored score bins; the nearest is {edges[nearest]}"
        )
    return nearest


def is_spread(edges: NDArray[np.float64]) -> BoolArray:
    """Return which bins hold more than one score, (BINS,) bool; in all others every pixel is tied."""
    return np.append(edges[1:], np.inf) > np.nextafter(edges, np.inf)


def edges_before_fitting() -> NDArray[np.float64]:
    """Return the edges of earlier records, which store none: all rows had the same.

    They narrow towards both ends: 32 bins to every halving of the distance to the end.
    """
    ends = [0.0, *(2.0**-k for k in range(16, 0, -1))]
    lower = np.concatenate([np.linspace(a, b, 32, endpoint=False) for a, b in pairwise(ends)])
    return np.concatenate([lower, [0.5], 1 - lower[:0:-1]])


def as_numpy(values: Any) -> NDArray[Any]:
    """Return an array, or a tensor of any device and precision, as a numpy array, without importing torch."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
        return np.asarray(values.numpy())
    return np.asarray(values)


def as_scores(scores: Any) -> FloatArray:
    """Return scores as (N, H, W) floats; raises BenchkitError for another shape, or values outside [0, 1]."""
    array = as_numpy(scores)
    if array.ndim != 3:
        raise BenchkitError(f"scores must be (N, H, W), not {array.shape}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32)
    # Every comparison with NaN is false, so NaN fails, too.
    if not np.all((array >= 0) & (array <= 1)):
        raise BenchkitError("scores must lie in [0, 1] without NaN: give probabilities, not logits")
    return array


def as_labels(labels: Any, shape: tuple[int, ...], what: str = "labels") -> BoolArray:
    """Return labels as (N, H, W) booleans of the scores' shape; raise BenchkitError for any other."""
    array = as_numpy(labels)
    if array.shape != shape:
        raise BenchkitError(f"{what} are {array.shape} but the scores are {shape}")
    if array.dtype != np.bool_:
        if not np.all((array == 0) | (array == 1)):
            raise BenchkitError(f"{what} must be booleans, or 0 and 1")
        array = array.astype(bool)
    return array
