"""What is stored of every test image, in fixed memory: counts at 0.5, score histograms, heat-map measures.

All of it adds up over images. So every figure of a board and its interval comes from here, and no detector runs twice.
Images may come in batches of any size: `Measured.concat` joins batches that have the same edges. Ignored pixels are in
no count, no histogram, no region and no map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.metrics.bins import (
    BINS,
    THRESHOLD,
    BoolArray,
    FloatArray,
    IntArray,
    ScoreSample,
    as_labels,
    as_scores,
    bin_index,
    edges_before_fitting,
    fit_edges,
)
from benchkit.metrics.heatmaps import heatmap_measures

#: Rows of a histogram's second axis: the pixel's label.
CLEAN, ARTIFACT = 0, 1
COUNTS = ("tp", "fp", "fn", "tn")
_KIND_PREFIX = "kind:"
_COLUMN_PREFIX = "table:"


@dataclass(frozen=True)
class Scored:
    """A batch of images with scores, checked; raises BenchkitError for what does not fit.

    scores: (N, H, W) artifact probability in [0, 1]. labels: (N, H, W) bool. kinds: for every image its masks, kind ->
    (H, W) bool, as `Sample.kinds` holds them. ignored: (N, H, W) bool, pixels that count nowhere, or None.
    """

    scores: FloatArray
    labels: BoolArray
    kinds: Sequence[Mapping[str, Any]] = ()
    ignored: BoolArray | None = None

    def __post_init__(self) -> None:
        scores = as_scores(self.scores)
        labels = as_labels(self.labels, scores.shape)
        if self.ignored is not None:
            ignored = as_labels(self.ignored, scores.shape, "the ignored pixels")
            labels = labels & ~ignored
            object.__setattr__(self, "ignored", ignored)
        if self.kinds and len(self.kinds) != len(scores):
            raise BenchkitError(f"kinds are given for {len(self.kinds)} images but scores for {len(scores)}")
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.scores)

    @property
    def clean(self) -> BoolArray:
        """Return (N, H, W) bool: pixels that are neither artifact nor ignored."""
        return ~self.labels if self.ignored is None else ~self.labels & ~self.ignored

    def of_kinds(self) -> dict[str, BoolArray]:
        """Return artifact kind -> (N, H, W) bool: annotated pixels only, so that none is clean or ignored."""
        found = {name: np.zeros(self.labels.shape, bool) for masks in self.kinds for name in masks}
        for i, masks in enumerate(self.kinds):
            for name, mask in masks.items():
                found[name][i] = as_labels(mask, self.labels[i].shape, f"the masks of kind '{name}'") & self.labels[i]
        return found

    def region_weights(self) -> NDArray[np.float64]:
        """Return (N, H, W): one over the area of an artifact pixel's region, 0 elsewhere.

        Regions are 8-connected, as in MVTec AD's evaluation.
        """
        from scipy import ndimage  # here, because importing it takes half a second

        weights = np.zeros(self.labels.shape)
        for weight, mask in zip(weights, self.labels, strict=True):
            regions, _ = ndimage.label(mask, structure=np.ones((3, 3)))
            weight[mask] = 1 / np.bincount(regions[mask])[regions[mask]] if mask.any() else 0
        return weights

    def sample(self) -> ScoreSample:
        """Return the scores to which bins are fitted, see `fit_edges`."""
        kinds = {name: self.scores[mask] for name, mask in self.of_kinds().items()}
        weights = self.region_weights()[self.labels]
        return ScoreSample.of(self.scores[self.labels], weights, self.scores[self.clean], kinds)


def count(scored: Scored) -> pd.DataFrame:
    """Return the confusion of every image: one row per image, columns tp, fp, fn, tn in pixels.

    An artifact is predicted where the score is at least 0.5.
    """
    # Here, because they load torch, which a report that only reads counts does not need.
    import torch
    from torchmetrics.functional.classification import binary_confusion_matrix

    labels = scored.labels.astype(np.int64)
    annotated = torch.from_numpy(labels if scored.ignored is None else np.where(scored.ignored, -1, labels))
    # Not by torchmetrics' threshold, which takes a score of exactly 0.5 as clean.
    predicted = torch.from_numpy((scored.scores >= THRESHOLD).astype(np.int64))
    ignore = None if scored.ignored is None else -1
    cells = [
        binary_confusion_matrix(*pair, ignore_index=ignore, validate_args=False).flatten().tolist()
        for pair in zip(predicted, annotated, strict=True)
    ]
    return pd.DataFrame(cells, columns=["tn", "fp", "fn", "tp"], dtype=np.int64)[list(COUNTS)]


def _per_image(bins: IntArray, chosen: BoolArray, weights: NDArray[np.float64] | None = None) -> NDArray[Any]:
    """Return the chosen pixels (N, H, W) per image and bin, counted or by the sum of their weights: (N, BINS)."""
    image = np.broadcast_to(np.arange(len(bins))[:, None, None], bins.shape)[chosen]
    weight = None if weights is None else weights[chosen]
    return np.bincount(image * BINS + bins[chosen], weight, minlength=len(bins) * BINS).reshape(len(bins), BINS)


@dataclass(frozen=True)
class Measured:
    """The stored record of N test images.

    columns: name -> (N,), tp, fp, fn, tn and cc, kld, sim, nss. edges: (BINS,) lower edges of the score bins, see
    `fit_edges`; a record of a submission has two bins, below and above THRESHOLD. histograms: int64 (N, 2, BINS), the
    scores of clean and of artifact pixels. regions: float64 (N, BINS), the scores of the artifact pixels, each region
    weighing 1 whatever its size, or None. kinds: kind -> int64 (N, BINS), the scores of the kind's pixels, zero where
    an image has none. threshold: chosen on validation data (`best_threshold`), or None; a choice, not a measurement,
    so it is not stored.
    """

    columns: Mapping[str, NDArray[Any]]
    edges: NDArray[np.float64]
    histograms: IntArray
    regions: NDArray[np.float64] | None = None
    kinds: Mapping[str, IntArray] = field(default_factory=dict)
    threshold: float | None = None

    def __post_init__(self) -> None:
        parts = [self.histograms, *self.columns.values(), *self.kinds.values()]
        lengths = {*map(len, parts if self.regions is None else [*parts, self.regions])}
        if len(lengths) > 1:
            raise BenchkitError(f"the parts of a record have different numbers of images: {sorted(lengths)}")
        if self.edges.ndim != 1 or self.histograms.shape[1:] != (2, len(self.edges)):
            found = f"{self.histograms.shape} with {self.edges.shape} edges"
            raise BenchkitError(f"score histograms must be (N, 2, bins) with as many edges, not {found}")

    def __len__(self) -> int:
        """The number of images."""
        return len(self.histograms)

    @property
    def table(self) -> pd.DataFrame:
        """The columns as a frame, a row per image."""
        return pd.DataFrame(dict(self.columns))

    @classmethod
    def concat(cls, parts: Sequence[Measured]) -> Measured:
        """Return the record of all the parts' images, in order; a kind that a part lacks is zero there."""
        if not parts:
            raise BenchkitError("nothing was measured: the test set is empty")
        if any(not np.array_equal(part.edges, parts[0].edges) for part in parts):
            raise BenchkitError("records with different score bins cannot be joined: measure all with the same edges")
        regions = [part.regions for part in parts if part.regions is not None]
        names = list(dict.fromkeys(name for part in parts for name in part.kinds))
        return cls(
            columns={name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
            edges=parts[0].edges,
            histograms=np.concatenate([part.histograms for part in parts]),
            regions=np.concatenate(regions) if len(regions) == len(parts) else None,
            kinds={name: np.concatenate([part._kind(name) for part in parts]) for name in names},
        )

    def _kind(self, name: str) -> IntArray:
        return self.kinds[name] if name in self.kinds else np.zeros((len(self), BINS), np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the record as plain arrays by name, for `np.savez_compressed`; `from_arrays` reads them back."""
        named = {_COLUMN_PREFIX + name: column for name, column in self.columns.items()}
        named |= {_KIND_PREFIX + name: histogram for name, histogram in self.kinds.items()}
        named |= {} if self.regions is None else {"regions": self.regions}
        return named | {"edges": self.edges, "histograms": self.histograms}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Measured:
        """Return the record that `arrays` wrote, e.g. from `np.load(file)`; needs no pickle."""
        columns = {n.removeprefix(_COLUMN_PREFIX): arrays[n] for n in arrays if n.startswith(_COLUMN_PREFIX)}
        kinds = {n.removeprefix(_KIND_PREFIX): arrays[n] for n in arrays if n.startswith(_KIND_PREFIX)}
        edges = arrays["edges"] if "edges" in arrays else edges_before_fitting()
        return cls(columns, edges, arrays["histograms"], arrays.get("regions"), kinds)


def measure(
    scores: Any,
    labels: Any,
    kinds: Sequence[Mapping[str, Any]] | None = None,
    density: Any = None,
    *,
    ignored: Any = None,
    threshold: float | None = None,
) -> Measured:
    """Measure a batch of images in score bins that fit it.

    scores: (N, H, W) artifact probability in [0, 1]. labels: (N, H, W) bool. kinds: per image, kind -> (H, W) bool.
    density: (N, H, W) graded map for the heat-map measures. ignored: (N, H, W) bool, pixels that count nowhere.
    threshold: of `best_threshold`, for the record. Raises BenchkitError for anything else. Batches that are to be
    joined need the same edges: fit them to the `Scored.sample` of all, and use `record`.
    """
    scored = Scored(scores, labels, kinds or (), ignored)
    if kinds is not None and len(kinds) != len(scored):
        raise BenchkitError(f"kinds are given for {len(kinds)} images but scores for {len(scored)}")
    edges = fit_edges([scored.sample()], () if threshold is None else (threshold,))
    return replace(record(scored, edges, density), threshold=threshold)


def measure_parts(parts: Sequence[Callable[[], tuple[Scored, Any]]], threshold: float | None = None) -> Measured:
    """Return the record of all images; the edges of its score bins fit all of them and include the threshold.

    parts: each returns a batch and its density, see `measure`. It is called twice, so that only one batch need be in
    memory.
    """
    samples = [part()[0].sample() for part in parts]
    edges = fit_edges(samples, () if threshold is None else (threshold,))
    batches = (part() for part in parts)
    return Measured.concat([record(scored, edges, density) for scored, density in batches])


def record(scored: Scored, edges: NDArray[np.float64], density: Any = None) -> Measured:
    """Return the record of a checked batch in the score bins of `edges`; density as in `measure`."""
    bins = bin_index(scored.scores, edges)
    clean, artifact = _per_image(bins, scored.clean), _per_image(bins, scored.labels)
    maps = heatmap_measures(scored.scores, scored.labels, density, scored.ignored)
    return Measured(
        columns={str(name): own.to_numpy() for table in (count(scored), maps) for name, own in table.items()},
        edges=edges,
        histograms=np.stack([clean, artifact], axis=1),
        regions=_per_image(bins, scored.labels, scored.region_weights()),
        kinds={name: _per_image(bins, mask) for name, mask in scored.of_kinds().items()},
    )
