"""What a submission keeps of every cell and test image, and every figure that follows from it.

A complete record (`benchkit.metrics.Measured`) has a histogram of 1024 bins per image, about half a kilobyte when
compressed. A board needs less. Kept per image: the counts at 0.5, also by kind of artifact, and the average precision
without this image, which its interval is made of. Kept per cell: the histograms summed over the images, and the sums of
the heat-map measures. Every figure and interval of a submission follows from these to the last digit.

The histograms of regions and of kinds are kept in groups of bins (`benchkit.leaderboard.bin_groups`), because in all
bins they are larger than everything else together. Therefore a submission states the figures FROM_GROUPS as its groups
give them. They differ from the run's own, of all bins, by GROUPS_MOVE at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.leaderboard.bin_groups import group_bins, make_edges, sum_groups
from benchkit.metrics import (
    ARTIFACT,
    BINS,
    CLEAN,
    COMPANION,
    METRICS,
    THRESHOLD,
    Measured,
    by_kind,
    coverage,
    metric,
)
from benchkit.metrics.bins import edge_index, is_spread
from benchkit.report.uncertainty import without_key
from benchkit.specs.keys import digest
from benchkit.statistics.jackknife import leave_one_out

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Means over images that nothing else in the record gives: their sum and number are kept.
MEANS = ("cc", "kld", "sim", "nss")
#: Figures that need the counts of every image; all others follow from sums.
_PER_IMAGE = ("artifact_iou_per_image", "false_positive_area")
#: Figures that follow from groups of bins, and how far they may be from those of all bins; a cell where one would be
#: farther keeps all bins. Measured on 104 cells of the official board: 0.0014 at most.
FROM_GROUPS = ("aupro", "kind_average_precision", "kind_auroc")
GROUPS_MOVE = 0.0025
#: The average precision without an image is rounded to a multiple of this.
_UNIT = 2.0**-32
_TWO_BINS = np.array([0.0, THRESHOLD])


@dataclass(frozen=True)
class ScoredImages:
    """The images of a test set as every row was scored on them: pixels by label, ignored ones in none.

    ids: N names. clean, artifact: (N,) pixels. kinds: kind of artifact -> (N,) pixels.
    """

    ids: tuple[str, ...]
    clean: Ints
    artifact: Ints
    kinds: Mapping[str, Ints] = field(default_factory=dict)

    @classmethod
    def of(cls, measured: Measured, ids: Iterable[str]) -> ScoredImages:
        """Return the images of a complete record."""
        clean, artifact = (measured.histograms[:, part].sum(axis=1) for part in (CLEAN, ARTIFACT))
        kinds = {name: own.sum(axis=1) for name, own in sorted(measured.kinds.items())}
        found = cls(tuple(ids), clean, artifact, kinds)
        if len(found.ids) != len(measured):
            raise BenchkitError(f"{len(found.ids)} names are given for {len(measured)} test images")
        return found

    def __len__(self) -> int:
        """The number of images."""
        return len(self.ids)

    @property
    def digest(self) -> str:
        """The sha256 of names, order and annotation: equal where rows can be paired image by image."""
        kinds = {name: own.tolist() for name, own in self.kinds.items()}
        return digest({"ids": self.ids, "clean": self.clean.tolist(), "artifact": self.artifact.tolist(), **kinds})


@dataclass(frozen=True)
class Terms:
    """The terms of one cell.

    tp, fp: (N,) pixels predicted at 0.5, among the artifact and the clean ones. hits: kind -> (N,), those of a kind.
    without: (N,) the average precision without each image. edges: (B,) lower edges of the score bins, see `make_edges`.
    clean, artifact: (B,) histograms summed over the images. groups: (G,) the first bin of every group. regions, kinds:
    (G,) histograms over the groups; regions is None in records without. sums: of MEANS -> sum over the images, and
    number of images, where it is defined. threshold: that of the validation images, an edge, or None.
    """

    tp: Ints
    fp: Ints
    hits: Mapping[str, Ints]
    without: Floats
    edges: Floats
    clean: Ints
    artifact: Ints
    groups: Ints
    regions: Floats | None
    kinds: Mapping[str, Ints]
    sums: Mapping[str, tuple[float, int]]
    threshold: float | None = None

    @classmethod
    def of(cls, measured: Measured, threshold: float | None = None) -> Terms:
        """Return the terms of a complete record; threshold: that of the validation images."""
        bins = int(np.isfinite(measured.edges).sum())
        above = int(np.searchsorted(measured.edges, THRESHOLD))
        clean, artifact = measured.histograms.sum(axis=0)[:, :bins]
        hits = {name: own[:, above:].sum(axis=1) for name, own in sorted(measured.kinds.items())}
        companion = metric(COMPANION)
        sums = {}
        for name in MEANS:
            total, number = metric(name).additive(measured).sum(axis=0)
            sums[name] = float(total), int(number)
        chosen = None if threshold is None else edge_index(threshold, measured.edges)
        without = leave_one_out(companion.additive(measured), companion.pooled)[1]
        found = cls(
            tp=measured.columns["tp"].astype(np.int64),
            fp=measured.columns["fp"].astype(np.int64),
            hits=hits,
            without=np.rint(without / _UNIT) * _UNIT,
            edges=make_edges(is_spread(measured.edges)[:bins], above, chosen, threshold),
            clean=clean,
            artifact=artifact,
            groups=np.arange(bins),
            regions=None if measured.regions is None else measured.regions.sum(axis=0)[:bins],
            kinds={name: own.sum(axis=0)[:bins] for name, own in sorted(measured.kinds.items())},
            sums=sums,
            threshold=threshold,
        )
        return found._grouped()

    def _grouped(self) -> Terms:
        """Return the terms with the groups of `group_bins`; with all bins where a figure would move too far."""
        groups = group_bins(self.edges, self.clean, self.artifact, self.threshold)
        if len(groups) == len(self.edges):
            return self
        regions = None if self.regions is None else sum_groups(self.regions, groups).astype(np.float32).astype(float)
        kinds = {name: sum_groups(own, groups) for name, own in self.kinds.items()}
        found = replace(self, groups=groups, regions=regions, kinds=kinds)
        exact, near = (one.figures_from_groups() for one in (self, found))
        return self if any(abs(exact[name] - near[name]) > GROUPS_MOVE for name in exact) else found

    def record(self, images: ScoredImages) -> dict[str, NDArray[Any]]:
        """Return the record from which a board is made: counts and two bins per image, and the figures without each."""
        without = np.append(self.without, metric(COMPANION)(self._summed(images)))
        return {**self._per_image(images).arrays(), without_key(COMPANION): without}

    def figures(self, images: ScoredImages) -> dict[str, float]:
        """Return every metric of the cell's row, by kind and not, and the numbers of images."""
        measured, summed = self._per_image(images), self._summed(images)
        found = self.figures_from_groups()
        found |= {name: total / number if number else np.nan for name, (total, number) in self.sums.items()}
        others = (name for name in METRICS if name not in found)
        found |= {name: metric(name)(measured if name in _PER_IMAGE else summed) for name in others}
        numbers = {f"{name}_images": number for name, (_, number) in self.sums.items()}
        return {**found, **coverage(measured), **numbers}

    def figures_from_groups(self) -> dict[str, float]:
        """Return AUPRO and the figures by kind; all of them are exact at 0.5 and at the threshold."""
        histograms = np.stack([sum_groups(own, self.groups) for own in (self.clean, self.artifact)])
        edges, regions = _padded(self.edges[self.groups], np.inf), None
        regions = None if self.regions is None else _padded(self.regions)[None]
        kinds = {name: _padded(own)[None] for name, own in self.kinds.items()}
        measured = Measured({}, edges, _padded(histograms)[None], regions, kinds, self.threshold)
        return {"aupro": metric("aupro")(measured), **by_kind(measured)}

    def find_fault(self, images: ScoredImages) -> str | None:
        """Return in what the terms contradict themselves or the test images, as text; None if in nothing."""
        parts = {"images": (self.tp, self.fp, self.without), "bins": (self.clean, self.artifact)}
        parts["images"] += tuple(self.hits.values())
        parts["groups"] = tuple(self.kinds.values()) + (() if self.regions is None else (self.regions,))
        wanted = {"images": len(images), "bins": len(self.edges), "groups": len(self.groups)}
        if any(len(one) != wanted[what] for what, own in parts.items() for one in own):
            return "another number of images than the test set has"
        if self.hits.keys() != images.kinds.keys() or self.kinds.keys() != images.kinds.keys():
            return "other kinds of artifacts than the test images have"
        rising = len(self.edges) and self.edges[0] == 0 and bool((np.diff(self.edges) > 0).all())
        if not rising or THRESHOLD not in self.edges or len(self.edges) > BINS:
            return f"score bins that do not rise from 0 through {THRESHOLD}"
        every = [("tp", self.tp, images.artifact, self.artifact), ("fp", self.fp, images.clean, self.clean)]
        every += [(f"kind:{name}", self.hits[name], images.kinds[name], self.kinds[name]) for name in images.kinds]
        for name, predicted, pixels, histogram in every:
            wrong = np.flatnonzero((predicted < 0) | (predicted > pixels))
            if len(wrong):
                place = int(wrong[0])
                return (
                    f"{predicted[place]} pixels in '{name}' of image '{images.ids[place]}', which has {pixels[place]}"
                )
            if (histogram < 0).any() or histogram.sum() != pixels.sum():
                return (
                    f"a score histogram of '{name}' of {histogram.sum()} pixels, where the images have {pixels.sum()}"
                )
            edges = self.edges if len(histogram) == len(self.edges) else self.edges[self.groups]
            if (above := histogram[edges >= THRESHOLD].sum()) != predicted.sum():
                counted = f"{predicted.sum()} pixels, its score histogram {above}"
                return f"counts of the images that contradict its histogram: '{name}' at {THRESHOLD} is {counted}"
        if not ((np.isnan(self.without)) | ((self.without >= 0) & (self.without <= 1))).all():
            return f"'{without_key(COMPANION)}' outside of [0, 1]"
        return None

    def _per_image(self, images: ScoredImages) -> Measured:
        """Return the images with two score bins: below THRESHOLD, and above."""

        def split(above: Ints, pixels: Ints) -> Ints:
            return np.stack([pixels - above, above], axis=1)

        clean, artifact = split(self.fp, images.clean), split(self.tp, images.artifact)
        kinds = {name: split(own, images.kinds[name]) for name, own in self.hits.items()}
        return Measured(self._counts(images), _TWO_BINS, np.stack([clean, artifact], axis=1), kinds=kinds)

    def _summed(self, images: ScoredImages) -> Measured:
        """Return all images as one, with all bins; as many as a complete record has, so that sums round alike."""
        counts = {name: values.sum(keepdims=True) for name, values in self._counts(images).items()}
        histograms = _padded(np.stack([self.clean, self.artifact]))[None]
        return Measured(counts, _padded(self.edges, np.inf), histograms, threshold=self.threshold)

    def _counts(self, images: ScoredImages) -> dict[str, Ints]:
        return {"tp": self.tp, "fp": self.fp, "fn": images.artifact - self.tp, "tn": images.clean - self.fp}


def _padded(values: NDArray[Any], filler: float = 0) -> NDArray[Any]:
    """Return values (..., bins) with as many bins as a complete record has."""
    filling = np.full((*values.shape[:-1], BINS - values.shape[-1]), filler, values.dtype)
    return np.concatenate([values, filling], axis=-1)
