"""What is stored of every test image, in fixed memory: counts at 0.5, score histograms, heat-map measures.

All of it adds up over images, so every figure of the board and every bootstrap of it comes from here, without a second
run of any detector. Images may come in batches of any size: `Measured.concat` of the batches is the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.metrics.bins import BINS, THRESHOLD, IntArray, as_labels, as_scores, bin_index
from benchkit.metrics.heatmaps import heatmap_measures

#: Rows of a histogram's second axis: the pixel's label.
CLEAN, ARTIFACT = 0, 1
COUNTS = ("tp", "fp", "fn", "tn")
_KIND_PREFIX = "kind:"
_COLUMN_PREFIX = "table:"


def count(scores: Any, labels: Any) -> pd.DataFrame:
    """The confusion of every image at the threshold 0.5: one row per image, columns tp, fp, fn, tn in pixels.

    scores: (N, H, W) in [0, 1], a pixel being called an artifact where its score is >= 0.5. labels: (N, H, W) bool.
    """
    # Here, for they load torch, which a report that only reads counts does without.
    import torch
    from torchmetrics.functional.classification import binary_confusion_matrix

    p = as_scores(scores)
    marked = torch.from_numpy(as_labels(labels, p.shape).astype(np.int64))
    # Called here and not by torchmetrics' threshold, which calls a score of exactly 0.5 clean.
    called = torch.from_numpy((p >= THRESHOLD).astype(np.int64))
    told = [
        binary_confusion_matrix(*pair, validate_args=False).flatten().tolist()
        for pair in zip(called, marked, strict=True)
    ]
    return pd.DataFrame(told, columns=["tn", "fp", "fn", "tp"], dtype=np.int64)[list(COUNTS)]


def score_histograms(scores: Any, labels: Any) -> IntArray:
    """The scores of clean and of artifact pixels, binned: int64 (N, 2, BINS), rows CLEAN and ARTIFACT.

    scores: (N, H, W) in [0, 1]. labels: (N, H, W) bool. The bins are those of `benchkit.metrics.bins.EDGES`.
    """
    p = as_scores(scores)
    marked = as_labels(labels, p.shape)
    rows = np.arange(len(p))[:, None, None] * 2 + marked
    return _binned(rows, bin_index(p), 2 * len(p)).reshape(len(p), 2, BINS)


def kind_histograms(scores: Any, labels: Any, kinds: Sequence[Mapping[str, Any]]) -> dict[str, IntArray]:
    """The scores of each artifact kind's pixels: kind -> int64 (N, BINS), zero where an image has none of that kind.

    kinds: for every image its masks, kind -> (H, W) bool, as `Sample.kinds` holds them. Only pixels that the label
    marks too are counted, so that a kind's pixels are never among the clean ones they are compared with.
    """
    p = as_scores(scores)
    marked = as_labels(labels, p.shape)
    if len(kinds) != len(p):
        raise BenchkitError(f"kinds are given for {len(kinds)} images but scores for {len(p)}")
    bins = bin_index(p)
    histograms = {name: np.zeros((len(p), BINS), np.int64) for masks in kinds for name in masks}
    for i, masks in enumerate(kinds):
        for name, mask in masks.items():
            inside = as_labels(mask, marked[i].shape, f"the masks of kind '{name}'") & marked[i]
            histograms[name][i] = np.bincount(bins[i][inside], minlength=BINS)
    return histograms


def region_histograms(scores: Any, labels: Any) -> NDArray[np.float64]:
    """The scores of marked regions, each region weighing 1 whatever its size: float64 (N, BINS).

    Sum over an image's regions (8-connected, as in MVTec AD's evaluation) of the region's histogram over its area, so
    that a row adds up to the image's number of regions. This is all that AUPRO needs of the artifact pixels.
    """
    from scipy import ndimage  # here, for it costs half a second that a run with nothing to do need not spend

    p = as_scores(scores)
    marked = as_labels(labels, p.shape)
    histograms = np.zeros((len(p), BINS))
    for histogram, bins, mask in zip(histograms, bin_index(p), marked, strict=True):
        regions, _ = ndimage.label(mask, structure=np.ones((3, 3)))
        area = np.bincount(regions[mask])
        if area.size:
            histogram += np.bincount(bins[mask], weights=1 / area[regions[mask]], minlength=BINS)
    return histograms


def _binned(rows: IntArray, bins: IntArray, count_of_rows: int) -> IntArray:
    flat = np.bincount((rows * BINS + bins).ravel(), minlength=count_of_rows * BINS)
    return flat.astype(np.int64).reshape(count_of_rows, BINS)


@dataclass(frozen=True)
class Measured:
    """The stored record of N test images.

    table: one row per image, tp, fp, fn, tn and cc, kld, sim, nss. histograms: int64 (N, 2, BINS), see
    `score_histograms`. regions: float64 (N, BINS), see `region_histograms`, or None. kinds: see `kind_histograms`.
    threshold: chosen on validation data (`best_threshold`), or None; a choice, not a measurement, so it is not stored.
    """

    table: pd.DataFrame
    histograms: IntArray
    regions: NDArray[np.float64] | None = None
    kinds: Mapping[str, IntArray] = field(default_factory=dict)
    threshold: float | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.table), len(self.histograms), *(len(h) for h in self.kinds.values())}
        lengths |= set() if self.regions is None else {len(self.regions)}
        if len(lengths) > 1:
            raise BenchkitError(f"the parts of a record speak of different numbers of images: {sorted(lengths)}")
        if self.histograms.shape[1:] != (2, BINS):
            raise BenchkitError(f"score histograms must be (N, 2, {BINS}), not {self.histograms.shape}")

    def __len__(self) -> int:
        """The number of images."""
        return len(self.table)

    @classmethod
    def concat(cls, parts: Sequence[Measured]) -> Measured:
        """The record of all the parts' images, in order; a kind that a part lacks is zero there."""
        if not parts:
            raise BenchkitError("nothing was measured: the test set is empty")
        regions = [part.regions for part in parts if part.regions is not None]
        names = list(dict.fromkeys(name for part in parts for name in part.kinds))
        return cls(
            table=pd.concat([part.table for part in parts], ignore_index=True),
            histograms=np.concatenate([part.histograms for part in parts]),
            regions=np.concatenate(regions) if len(regions) == len(parts) else None,
            kinds={name: np.concatenate([part._kind(name) for part in parts]) for name in names},
        )

    def _kind(self, name: str) -> IntArray:
        return self.kinds[name] if name in self.kinds else np.zeros((len(self), BINS), np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The record as plain arrays by name, for `np.savez_compressed`; `from_arrays` reads them back."""
        named = {_COLUMN_PREFIX + str(name): column.to_numpy() for name, column in self.table.items()}
        named |= {_KIND_PREFIX + name: histogram for name, histogram in self.kinds.items()}
        named |= {} if self.regions is None else {"regions": self.regions}
        return named | {"histograms": self.histograms}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Measured:
        """The record that `arrays` wrote, e.g. from `np.load(file)`; needs no pickle."""
        columns = {n.removeprefix(_COLUMN_PREFIX): arrays[n] for n in arrays if n.startswith(_COLUMN_PREFIX)}
        kinds = {n.removeprefix(_KIND_PREFIX): arrays[n] for n in arrays if n.startswith(_KIND_PREFIX)}
        regions = arrays.get("regions")
        return cls(pd.DataFrame(columns), arrays["histograms"], regions, kinds)


def measure(
    scores: Any, labels: Any, kinds: Sequence[Mapping[str, Any]] | None = None, density: Any = None
) -> Measured:
    """Measure a batch of images once and for all.

    scores: (N, H, W) artifact probability in [0, 1]. labels: (N, H, W) bool. kinds: per image, kind -> (H, W) bool.
    density: (N, H, W) graded map for the heat-map measures. Raises BenchkitError for what is none of these.
    """
    return Measured(
        table=pd.concat([count(scores, labels), heatmap_measures(scores, labels, density)], axis=1),
        histograms=score_histograms(scores, labels),
        regions=region_histograms(scores, labels),
        kinds={} if kinds is None else kind_histograms(scores, labels, kinds),
    )
