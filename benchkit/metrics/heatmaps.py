"""Heat-map measures of one image: CC, KLD, SIM, NSS (Bylinskii et al., "What do different evaluation metrics tell us
about saliency models?", TPAMI 2019).

The score map P stands for the saliency map; the annotated mask, or a graded map if the dataset has one, stands for
the density Q, and the mask for the fixations. None of the four depends on the scale of the scores. An undefined measure
is NaN: all four where nothing is annotated, CC and NSS where P is constant, KLD and SIM where P is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.metrics.bins import as_labels, as_numpy, as_scores

#: The regulariser of KLD in the MIT saliency benchmark's code: one float64 epsilon.
_EPSILON = float(np.finfo(np.float64).eps)

Flat = NDArray[np.float64]


def correlation(scores: Flat, density: Flat) -> Flat:
    """Return CC, Pearson's correlation of two maps: (N, pixels) twice -> (N,) in [-1, 1]."""
    centred = scores - scores.mean(1, keepdims=True)
    against = density - density.mean(1, keepdims=True)
    # A constant map's deviations are rounding noise, not structure; its correlation is undefined.
    exists = (np.ptp(scores, axis=1) > 0) & (np.ptp(density, axis=1) > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (centred * against).sum(1) / np.sqrt((centred**2).sum(1) * (against**2).sum(1))
    return np.where(exists, np.clip(value, -1, 1), np.nan)


def divergence(scores: Flat, density: Flat) -> Flat:
    """Return KLD, sum Q log(eps + Q / (eps + P)) of the maps as distributions: (N, pixels) twice -> (N,) nats."""
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = (m / m.sum(1, keepdims=True) for m in (scores, density))
        return np.asarray((q * np.log(_EPSILON + q / (_EPSILON + p))).sum(1))


def similarity(scores: Flat, density: Flat) -> Flat:
    """Return SIM, sum min(P, Q) of the maps as distributions: (N, pixels) twice -> (N,) in [0, 1]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = (m / m.sum(1, keepdims=True) for m in (scores, density))
        return np.asarray(np.minimum(p, q).sum(1))


def scanpath(scores: Flat, annotated: NDArray[np.bool_]) -> Flat:
    """Return NSS, the mean of the standardised map over annotated pixels: (N, pixels) twice -> (N,)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = (scores * annotated).sum(1) / annotated.sum(1)
        value = (inside - scores.mean(1)) / scores.std(1)
    return np.where(np.ptp(scores, axis=1) > 0, value, np.nan)


def heatmap_measures(scores: Any, labels: Any, density: Any = None, ignored: Any = None) -> pd.DataFrame:
    """Return CC, KLD, SIM, NSS of every image as columns cc, kld, sim, nss; NaN where a measure is undefined.

    scores: (N, H, W) in [0, 1]. labels: (N, H, W) bool. density: (N, H, W) >= 0, a graded annotation;
    by default the labels. ignored: (N, H, W) bool, pixels outside of both maps, or None. Raises
    BenchkitError for shapes that differ or a negative density.
    """
    p = as_scores(scores)
    annotated = as_labels(labels, p.shape).reshape(len(p), -1)
    q = annotated if density is None else as_numpy(density).reshape(len(p), -1)
    if q.shape != annotated.shape or not np.all(q >= 0):
        raise BenchkitError(f"a density must be of the scores' shape {p.shape} and hold no negative value or NaN")
    flat_p, flat_q = p.reshape(len(p), -1).astype(np.float64), q.astype(np.float64)
    table = _table(flat_p, flat_q, annotated)
    if ignored is None:
        return table
    counted = ~as_labels(ignored, p.shape, "the ignored pixels").reshape(len(p), -1)
    for i in np.flatnonzero(~counted.all(1)):
        kept = (slice(i, i + 1), counted[i])
        table.loc[i] = _table(flat_p[kept], flat_q[kept], annotated[kept]).loc[0] if counted[i].any() else np.nan
    return table


def _table(scores: Flat, density: Flat, annotated: NDArray[np.bool_]) -> pd.DataFrame:
    measures = {
        "cc": correlation(scores, density),
        "kld": divergence(scores, density),
        "sim": similarity(scores, density),
        "nss": scanpath(scores, annotated),
    }
    return pd.DataFrame(measures)
