"""What a submission keeps of every cell and test image, and every figure that follows from it.

A complete record (`benchkit.metrics.Measured`) has a histogram of 1024 bins per image, about half a kilobyte when
compressed. A board needs less. Kept per image: the counts at 0.5, also by kind of artifact, and the average precision
without this image, which its interval is made of. Kept per cell: the histograms summed over the images, from which
follow all curves, and the sums of the heat-map measures. Every figure and interval of the board follows from these, to
the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
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
from benchkit.report.uncertainty import without_key
from benchkit.specs.keys import digest
from benchkit.statistics.jackknife import leave_one_out

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Means over images that nothing else in the record gives: their sum and number are kept.
MEANS = ("cc", "kld", "sim", "nss")
#: Figures that need the counts of every image; all others follow from sums.
_PER_IMAGE = ("artifact_iou_per_image", "false_positive_area")
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
    without: (N,) the average precision without each image. edges: (B,) lower edges of the score bins. clean, artifact,
    regions: (B,) histograms summed over the images; regions is None in records without. kinds: kind -> (B,).
    sums: of MEANS -> sum over the images, and number of images, where it is defined.
    """

    tp: Ints
    fp: Ints
    hits: Mapping[str, Ints]
    without: Floats
    edges: Floats
    clean: Ints
    artifact: Ints
    regions: Floats | None
    kinds: Mapping[str, Ints]
    sums: Mapping[str, tuple[float, int]]

    @classmethod
    def of(cls, measured: Measured) -> Terms:
        """Return the terms of a complete record."""
        bins = int(np.isfinite(measured.edges).sum())
        above = int(np.searchsorted(measured.edges, THRESHOLD))
        summed = measured.histograms.sum(axis=0)[:, :bins]
        kinds, companion = dict(sorted(measured.kinds.items())), metric(COMPANION)
        sums = {}
        for name in MEANS:
            total, number = metric(name).additive(measured).sum(axis=0)
            sums[name] = float(total), int(number)
        return cls(
            tp=measured.table["tp"].to_numpy(np.int64),
            fp=measured.table["fp"].to_numpy(np.int64),
            hits={name: own[:, above:].sum(axis=1) for name, own in kinds.items()},
            without=leave_one_out(companion.additive(measured), companion.pooled)[1],
            edges=measured.edges[:bins],
            clean=summed[CLEAN],
            artifact=summed[ARTIFACT],
            regions=None if measured.regions is None else measured.regions.sum(axis=0)[:bins],
            kinds={name: own.sum(axis=0)[:bins] for name, own in kinds.items()},
            sums=sums,
        )

    def record(self, images: ScoredImages) -> dict[str, NDArray[Any]]:
        """Return the record from which a board is made: counts and two bins per image, and the figures without each."""
        without = np.append(self.without, metric(COMPANION)(self._summed(images)))
        return {**self._per_image(images).arrays(), without_key(COMPANION): without}

    def figures(self, images: ScoredImages, threshold: float | None) -> dict[str, float]:
        """Return every metric of the cell's row, by kind and not, and the numbers of images.

        threshold: that of the validation images, or None.
        """
        measured, summed = self._per_image(images), replace(self._summed(images), threshold=threshold)
        found = {name: metric(name)(measured if name in _PER_IMAGE else summed) for name in METRICS}
        for name, (total, number) in self.sums.items():
            found[name] = total / number if number else np.nan
        numbers = {f"{name}_images": number for name, (_, number) in self.sums.items()}
        return {**found, **by_kind(summed), **coverage(measured.table), **numbers}

    def find_fault(self, images: ScoredImages) -> str | None:
        """Return in what the terms contradict themselves or the test images, as text; None if in nothing."""
        parts = {"images": (self.tp, self.fp, self.without), "bins": (self.clean, self.artifact)}
        parts["images"] += tuple(self.hits.values())
        parts["bins"] += tuple(self.kinds.values()) + (() if self.regions is None else (self.regions,))
        wanted = {"images": len(images), "bins": len(self.edges)}
        if any(len(one) != wanted[what] for what, own in parts.items() for one in own):
            return "another number of images than the test set has"
        if self.hits.keys() != images.kinds.keys() or self.kinds.keys() != images.kinds.keys():
            return "other kinds of artifacts than the test images have"
        rising = len(self.edges) and self.edges[0] == 0 and bool((np.diff(self.edges) > 0).all())
        if not rising or THRESHOLD not in self.edges or len(self.edges) > BINS:
            return f"score bins that do not rise from 0 through {THRESHOLD}"
        above = self.edges >= THRESHOLD
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
            if histogram[above].sum() != predicted.sum():
                counted = f"{predicted.sum()} pixels, its score histogram {histogram[above].sum()}"
                return f"counts of the images that contradict its histogram: '{name}' at {THRESHOLD} is {counted}"
        if not ((np.isnan(self.without)) | ((self.without >= 0) & (self.without <= 1))).all():
            return f"'{without_key(COMPANION)}' outside of [0, 1]"
        return None

    def _per_image(self, images: ScoredImages) -> Measured:
        """Return the images with two score bins: below THRESHOLD, and above."""

        def split(above: Ints, pixels: Ints) -> Ints:
            return np.stack([pixels - above, above], axis=1)

        clean, artifact = split(self.fp, images.clean), split(self.tp, images.artifact)
        table = {"tp": self.tp, "fp": self.fp, "fn": images.artifact - self.tp, "tn": images.clean - self.fp}
        kinds = {name: split(own, images.kinds[name]) for name, own in self.hits.items()}
        return Measured(pd.DataFrame(table), _TWO_BINS, np.stack([clean, artifact], axis=1), kinds=kinds)

    def _summed(self, images: ScoredImages) -> Measured:
        """Return all images as one, with all bins; as many as a complete record has, so that sums round alike."""

        def padded(values: NDArray[Any], filler: float = 0) -> NDArray[Any]:
            return np.concatenate([values, np.full(BINS - len(values), filler, values.dtype)])

        counts = {"tp": self.tp, "fp": self.fp, "fn": images.artifact - self.tp, "tn": images.clean - self.fp}
        table = pd.DataFrame({name: [values.sum()] for name, values in counts.items()})
        histograms = np.stack([padded(self.clean), padded(self.artifact)])[None]
        regions = None if self.regions is None else padded(self.regions)[None]
        kinds = {name: padded(own)[None] for name, own in self.kinds.items()}
        return Measured(table, padded(self.edges, np.inf), histograms, regions, kinds)
