"""Metrics as functions of sums over images, with any leading dimensions, because intervals need many at once.

Counts are (..., 4) in the order tp, fp, fn, tn; histograms are (..., 2, BINS) with rows CLEAN and ARTIFACT. A
fraction of nothing is NaN, never 0. Curves are computed from bins: the pixels of a bin are either tied, or taken as
evenly mixed.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.metrics.bins import edge_index, is_spread

Sums: TypeAlias = NDArray[Any]
Values: TypeAlias = NDArray[np.float64]

#: The false-positive rate up to which AUPRO integrates (Bergmann et al., "The MVTec Anomaly Detection Dataset", 2021).
AUPRO_LIMIT = 0.3


def fraction(part: Sums, whole: Sums) -> Values:
    """Return part / whole, NaN where the whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    undefined = np.full(np.broadcast(part, whole).shape, np.nan)
    return np.asarray(np.divide(part, whole, out=undefined, where=whole != 0))


def mean_of(sums: Sums) -> Values:
    """Return the mean from (..., 2) sums of value and of number, see `mean_terms`; NaN where the number is 0."""
    return fraction(sums[..., 0], sums[..., 1])


def mean_terms(values: Sums) -> Values:
    """Return values (N,) as terms (N, 2) that add up to (sum, number); NaN adds nothing to either."""
    values = np.asarray(values, np.float64)
    undefined = np.isnan(values)
    return np.stack([np.where(undefined, 0.0, values), ~undefined], axis=-1)


def artifact_iou(counts: Sums) -> Values:
    """Return tp / (tp + fp + fn): NaN where nothing is annotated and nothing predicted."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return fraction(tp, tp + fp + fn)


def background_iou(counts: Sums) -> Values:
    """Return tn / (tn + fp + fn)."""
    _, fp, fn, tn = np.moveaxis(counts, -1, 0)
    return fraction(tn, tn + fp + fn)


def two_class_miou(counts: Sums) -> Values:
    """Return the mean of artifact and background IoU: NaN where either is undefined."""
    return (artifact_iou(counts) + background_iou(counts)) / 2


def precision(counts: Sums) -> Values:
    """Return tp / (tp + fp): NaN where nothing is predicted."""
    return fraction(counts[..., 0], counts[..., 0] + counts[..., 1])


def recall(counts: Sums) -> Values:
    """Return tp / (tp + fn): NaN where nothing is annotated."""
    return fraction(counts[..., 0], counts[..., 0] + counts[..., 2])


def f1(counts: Sums) -> Values:
    """Return 2 tp / (2 tp + fp + fn): 0, not NaN, for a detector that finds nothing of what is annotated."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return fraction(2 * tp, 2 * tp + fp + fn)


def counts_at(histograms: Sums, edges: Values, threshold: float) -> Sums:
    """Return the counts (..., 4) at a threshold, which must be one of the bins' edges; else BenchkitError."""
    return split_at(histograms[..., 0, :], histograms[..., 1, :], edges, threshold)


def split_at(clean: Sums, artifact: Sums, edges: Values, threshold: float) -> Sums:
    """Return `counts_at` of the histograms (..., BINS) of clean and of artifact pixels."""
    first = edge_index(threshold, edges)
    (fp, tn), (tp, fn) = ((own[..., first:].sum(-1), own[..., :first].sum(-1)) for own in (clean, artifact))
    return np.stack([tp, fp, fn, tn], axis=-1)


def _predicted(histograms: Sums) -> Sums:
    """Return how many pixels are predicted at every edge, from the highest down to 0: (..., BINS)."""
    return np.cumsum(histograms[..., ::-1], axis=-1)


def best_threshold(histograms: Sums, edges: Values) -> float:
    """Return the threshold of the best pooled F1 on validation images; never choose it on the test set.

    histograms: (N, 2, BINS), or their sum (2, BINS), in the bins of `edges`. If neighbouring edges are equally good,
    it is the middle between them, farthest from the scores on either side. The threshold is a float32 as scores are.
    Raises BenchkitError where the validation images contain no artifact pixel.
    """
    clean, artifact = histograms.reshape(-1, *histograms.shape[-2:]).sum(0)
    if artifact.sum() == 0:
        raise BenchkitError("no threshold can be chosen: the validation images contain no artifact pixel")
    fp, tp = _predicted(clean)[::-1], _predicted(artifact)[::-1]
    score = 2 * tp / (tp + fp + artifact.sum())
    first = last = int(np.argmax(score))
    while last + 1 < len(score) and np.isfinite(edges[last + 1]) and score[last + 1] == score[first]:
        last += 1
    middle = edges[first] + (edges[last] - edges[first]) / 2
    rounded = np.float32(middle)
    return float(rounded if rounded >= middle else np.nextafter(rounded, np.float32(np.inf)))


def precision_terms(histograms: Sums, edges: Values) -> Sums:
    """Return what `average_precision` needs, (..., 3, BINS): clean pixels, tied artifact pixels, and all others."""
    terms = np.zeros((*histograms.shape[:-2], 3, histograms.shape[-1]), histograms.dtype)
    terms[..., 0, :] = histograms[..., 0, :]
    for place, bins in ((1, ~is_spread(edges)), (2, is_spread(edges))):
        np.copyto(terms[..., place, :], histograms[..., 1, :], where=bins)
    return terms


def average_precision(terms: Sums) -> Values:
    """Return AP, the sum of recall steps times precision, from `precision_terms`; NaN where no pixel is annotated.

    As in scikit-learn: a step's precision is that at its lower end. In a bin of one score all its artifact pixels are
    one step. In any other each is a step of its own, with the bin's clean pixels spread evenly among them.
    """
    clean, tied, spread = (terms[..., part, ::-1] for part in range(3))
    found = tied + spread
    tp = np.cumsum(found, axis=-1)
    predicted = tp + np.cumsum(clean, axis=-1)
    # Whole numbers add up faster, and exactly. From here on all are floats.
    clean, found, tp, predicted = (np.asarray(part, np.float64, order="C") for part in (clean, found, tp, predicted))
    # Of m artifact and n clean pixels after a true positives of b predicted ones, the j-th counts with the precision
    # (a + j) / (b + j + (j - 1/2) n / m) = (a + j) / (c (x + j)). The sum of 1 / (x + j) is a logarithm but for little.
    # A bin without artifact pixels adds 0. Intervals need very many of these sums, so they are computed in place.
    c = clean / np.where(found > 0, found, np.inf)
    c += 1
    x = predicted - found
    x -= clean
    x -= (c - 1) / 2
    x /= c
    np.maximum(x, 0, out=x)
    steps = tp - found
    steps -= x
    x += 0.5
    ratio = x + found
    ratio /= x
    steps *= np.log(ratio, out=ratio)
    steps += found
    steps /= c
    if tied.any():
        alone = found * (tp / np.where(predicted > 0, predicted, np.inf))
        steps = np.where(spread > 0, steps, alone)
    return fraction(steps.sum(-1), tp[..., -1])


def auroc(histograms: Sums) -> Values:
    """Return the area under the ROC curve from (..., 2, BINS): half credit for ties; NaN where a class is missing."""
    predicted = _predicted(histograms)
    fp, tp = predicted[..., 0, :], predicted[..., 1, :]
    below = np.concatenate([np.zeros_like(tp[..., :1]), tp[..., :-1]], axis=-1)
    area = (histograms[..., 0, ::-1] * (tp + below) / 2).sum(-1)
    return fraction(area, np.asarray(fp[..., -1], np.float64) * tp[..., -1])


def aupro(histograms: Sums, limit: float = AUPRO_LIMIT) -> Values:
    """Return the area under per-region overlap against false-positive rate up to `limit`, over `limit`; in [0, 1].

    histograms: (..., 2, BINS), the clean pixels' histogram and the regions' (`region_histograms`). Linear between
    edges and cut at the limit, so a constant score gets limit / 2. NaN where there is no region or no clean pixel.
    """
    predicted = _predicted(histograms)
    rate = fraction(predicted, predicted[..., -1:])
    rate = np.concatenate([np.zeros_like(rate[..., :1]), rate], axis=-1)
    x, y = rate[..., 0, :], rate[..., 1, :]
    x0, x1, y0, y1 = x[..., :-1], x[..., 1:], y[..., :-1], y[..., 1:]
    width = np.clip(limit - x0, 0, x1 - x0)
    cut = y0 + (y1 - y0) * np.nan_to_num(fraction(width, x1 - x0))
    area = (width * (y0 + cut) / 2).sum(-1)
    # Without clean pixels or regions the rates are NaN and so is the area; clip removes rounding above 1.
    return np.asarray(np.clip(area / limit, 0, 1))
