"""The board's metrics by name: what each means, its unit, its direction, and how it comes from the stored record.

Every metric is `pooled(sum over images of additive(record))`. This form serves both the board's row (`summarise`) and
its intervals (`benchkit.statistics.jackknife`), which omit the terms of one image at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.metrics import pooled
from benchkit.metrics.bins import BINS, THRESHOLD, edge_index
from benchkit.metrics.counts import CLEAN, COUNTS, Measured

#: Declared before any result was seen: the figure that ranks, and the one shown beside it.
PRIMARY = "artifact_iou"
COMPANION = "average_precision"
_HEATMAP_COLUMNS = ("cc", "kld", "sim", "nss")


@dataclass(frozen=True)
class MetricInfo:
    """One metric: unit ("fraction" lies in [0, 1]), direction, description, and its computation.

    additive: the record of N images -> (N, ...) terms. pooled: their sum, (..., terms) -> (...) values.
    """

    unit: str
    higher_is_better: bool
    description: str
    additive: Callable[[Measured], NDArray[Any]] = field(repr=False)
    pooled: Callable[[NDArray[Any]], NDArray[Any]] = field(repr=False)

    def __call__(self, measured: Measured) -> float:
        """Return the metric's value on the measured images; NaN where it is undefined."""
        return float(self.pooled(self.additive(measured).sum(axis=0)))


def _counts(m: Measured) -> NDArray[Any]:
    return np.stack([m.columns[name] for name in COUNTS], axis=1).astype(np.int64, copy=False)


def _counts_at_validation_threshold(m: Measured) -> NDArray[Any]:
    if m.threshold is None:
        return np.zeros((len(m), len(COUNTS)), np.int64)
    return pooled.counts_at(m.histograms, m.edges, m.threshold)


def _iou_terms(m: Measured) -> NDArray[Any]:
    return pooled.mean_terms(pooled.artifact_iou(_counts(m)))


def _false_alarm_terms(m: Measured) -> NDArray[Any]:
    tp, fp, fn, tn = _counts(m).T
    return pooled.mean_terms(np.where(tp + fn == 0, pooled.fraction(fp, fp + tn), np.nan))


def _column_terms(m: Measured, column: str) -> NDArray[Any]:
    return pooled.mean_terms(m.columns[column] if column in m.columns else np.full(len(m), np.nan))


def _histograms(m: Measured) -> NDArray[Any]:
    return m.histograms


def _precision_terms(m: Measured) -> NDArray[Any]:
    return pooled.precision_terms(m.histograms, m.edges)


def _region_terms(m: Measured) -> NDArray[Any]:
    regions = np.zeros((len(m), BINS)) if m.regions is None else m.regions
    return np.stack([m.histograms[:, CLEAN], regions], axis=1)


def _kind_recall_terms(m: Measured, kind: str) -> NDArray[Any]:
    histogram = _kind(m, kind)
    return np.stack([histogram[:, edge_index(THRESHOLD, m.edges) :].sum(1), histogram.sum(1)], axis=1)


def _kind_counts(m: Measured, kind: str) -> NDArray[Any]:
    return pooled.split_at(m.histograms[:, CLEAN], _kind(m, kind), m.edges, THRESHOLD)


def _kind_counts_at_validation_threshold(m: Measured, kind: str) -> NDArray[Any]:
    if m.threshold is None:
        return np.zeros((len(m), len(COUNTS)), np.int64)
    return pooled.split_at(m.histograms[:, CLEAN], _kind(m, kind), m.edges, m.threshold)


def _kind_terms(m: Measured, kind: str) -> NDArray[Any]:
    return np.stack([m.histograms[:, CLEAN], _kind(m, kind)], axis=1)


def _kind_precision_terms(m: Measured, kind: str) -> NDArray[Any]:
    return pooled.precision_terms(_kind_terms(m, kind), m.edges)


def _kind(m: Measured, kind: str) -> NDArray[Any]:
    if kind not in m.kinds:
        raise UnknownNameError("artifact kind", kind, m.kinds)
    return m.kinds[kind]


def _mean_of_column(unit: str, higher_is_better: bool, description: str, column: str) -> MetricInfo:
    return MetricInfo(unit, higher_is_better, description, partial(_column_terms, column=column), pooled.mean_of)


#: name -> what it is. Pooled: over all pixels of all images, so that a larger image weighs more.
METRICS: dict[str, MetricInfo] = {
    "artifact_iou": MetricInfo(
        "fraction", True, "artifact IoU, pooled over all test pixels, at 0.5", _counts, pooled.artifact_iou
    ),
    "artifact_iou_per_image": MetricInfo(
        "fraction",
        True,
        "artifact IoU at 0.5, mean over images; images without artifact in label and prediction are skipped",
        _iou_terms,
        pooled.mean_of,
    ),
    "background_iou": MetricInfo("fraction", True, "background IoU, pooled, at 0.5", _counts, pooled.background_iou),
    "two_class_miou": MetricInfo(
        "fraction", True, "mean of pooled artifact and background IoU, at 0.5", _counts, pooled.two_class_miou
    ),
    "precision": MetricInfo("fraction", True, "pixel precision, pooled, at 0.5", _counts, pooled.precision),
    "recall": MetricInfo("fraction", True, "pixel recall, pooled, at 0.5", _counts, pooled.recall),
    "f1": MetricInfo("fraction", True, "pixel F1, pooled, at 0.5", _counts, pooled.f1),
    "f1_validation_threshold": MetricInfo(
        "fraction",
        True,
        "pixel F1, pooled, at the threshold that was best on validation data",
        _counts_at_validation_threshold,
        pooled.f1,
    ),
    "artifact_iou_validation_threshold": MetricInfo(
        "fraction",
        True,
        "artifact IoU, pooled, at the threshold of the best F1 on validation images",
        _counts_at_validation_threshold,
        pooled.artifact_iou,
    ),
    "average_precision": MetricInfo(
        "fraction",
        True,
        "area under the pixel precision-recall curve, pooled",
        _precision_terms,
        pooled.average_precision,
    ),
    "auroc": MetricInfo("fraction", True, "area under the pixel ROC curve, pooled", _histograms, pooled.auroc),
    "aupro": MetricInfo(
        "fraction",
        True,
        "area under per-region overlap up to a false-positive rate of 0.3, normalised",
        _region_terms,
        pooled.aupro,
    ),
    "cc": _mean_of_column(
        "correlation", True, "correlation with the annotated map, mean over images where defined", "cc"
    ),
    "kld": _mean_of_column("nats", False, "divergence from the annotated map, mean over images where defined", "kld"),
    "sim": _mean_of_column("fraction", True, "overlap with the annotated map, mean over images where defined", "sim"),
    "nss": _mean_of_column(
        "standard deviations", True, "standardised score at annotated pixels, mean over images where defined", "nss"
    ),
    "false_positive_area": MetricInfo(
        "fraction",
        False,
        "fraction of pixels predicted at 0.5, mean over the images without artifact",
        _false_alarm_terms,
        pooled.mean_of,
    ),
}

_AGAINST_CLEAN = "of kind '{}' against clean pixels, pooled; the pixels of other kinds are excluded"
_RARITY = ". Depends on how common the kind is: compare methods, not kinds"
#: name -> description, terms, and what is made of their sum. A false positive is on clean pixels and has no kind: it
#: counts against every kind.
_BY_KIND: dict[str, tuple[str, Callable[..., NDArray[Any]], Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "kind_recall": ("fraction of the pixels of kind '{}' predicted at 0.5, pooled", _kind_recall_terms, pooled.mean_of),
    "kind_average_precision": (
        f"average precision {_AGAINST_CLEAN}{_RARITY}",
        _kind_precision_terms,
        pooled.average_precision,
    ),
    "kind_auroc": (f"area under the ROC curve {_AGAINST_CLEAN}", _kind_terms, pooled.auroc),
    "kind_iou": (f"artifact IoU at 0.5 {_AGAINST_CLEAN}{_RARITY}", _kind_counts, pooled.artifact_iou),
    "kind_precision": (f"pixel precision at 0.5 {_AGAINST_CLEAN}{_RARITY}", _kind_counts, pooled.precision),
    "kind_f1": (f"pixel F1 at 0.5 {_AGAINST_CLEAN}{_RARITY}", _kind_counts, pooled.f1),
    "kind_f1_validation_threshold": (
        f"pixel F1 at the threshold that was best on validation data, {_AGAINST_CLEAN}{_RARITY}",
        _kind_counts_at_validation_threshold,
        pooled.f1,
    ),
}
#: By-kind metrics of a stage's row; the others are computed from the same record when the row is stored.
_SUMMARISED = ("kind_recall", "kind_average_precision")


def metric(name: str) -> MetricInfo:
    """Return a metric by name, also by kind: "kind_recall:NAME", "kind_iou:NAME" ...; else UnknownNameError."""
    base, _, kind = name.partition(":")
    if base in _BY_KIND and kind:
        description, terms, of_sum = _BY_KIND[base]
        return MetricInfo("fraction", True, description.format(kind), partial(terms, kind=kind), of_sum)
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]


def summarise(measured: Measured) -> dict[str, float]:
    """Return one flat row of a board: every metric of METRICS, then two of every kind; undefined as NaN.

    Without a threshold the figures at the validation threshold are NaN. So is aupro without regions, and cc, kld, sim,
    nss without their columns.
    """
    if not len(measured):
        raise BenchkitError("nothing was measured: the test set is empty")
    names = [*METRICS, *(f"{base}:{kind}" for kind in measured.kinds for base in _SUMMARISED)]
    return {name: metric(name)(measured) for name in names}


def is_metric(name: str) -> bool:
    """Return whether a column of rows is one of these metrics (and not, say, a number of training images)."""
    base, colon, _ = name.partition(":")
    return name in METRICS or (bool(colon) and base in _BY_KIND)


def by_kind(measured: Measured) -> dict[str, float]:
    """Return every by-kind metric of every kind in the record, undefined as NaN.

    These have no figure by kind: background IoU and two-class mIoU (they include the background), false-positive area
    (of images without artifact), AUPRO, the heat-map measures and the per-image IoU (of a whole map or mask).
    """
    names = [f"{base}:{kind}" for kind in measured.kinds for base in _BY_KIND]
    return {name: metric(name)(measured) for name in names}


def coverage(measured: Measured) -> dict[str, int]:
    """Return how many images each mean over images is of: CC and NSS skip an image whose map is constant.

    images; artifact_images and clean_images by label; iou_images in the per-image IoU; one number per heat-map measure.
    """
    tp, fp, fn, tn = _counts(measured).T
    annotated = tp + fn > 0
    clean = ~annotated & (fp + tn > 0)  # neither is an image whose pixels are all ignored
    numbers = {"images": len(measured), "artifact_images": int(annotated.sum()), "clean_images": int(clean.sum())}
    numbers["iou_images"] = int((tp + fn + fp > 0).sum())
    maps = {name: measured.columns[name] for name in _HEATMAP_COLUMNS if name in measured.columns}
    return numbers | {f"{name}_images": int((~np.isnan(values)).sum()) for name, values in maps.items()}
