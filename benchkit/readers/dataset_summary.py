"""Summarise a dataset, split by split: images, masks, captions, sizes and faults (`benchkit data list`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchkit.api import Dataset, ImageFacts, Sample
from benchkit.errors import BenchkitError
from benchkit.plugin.samples import read_samples
from benchkit.readers.walk import get_suffix
from benchkit.specs.training_sets import CHUNK

#: How many images of a split are decoded by default.
LOOKED = 64
#: Images that are inspected at once.
_STEP = 256


@dataclass
class SplitSummary:
    """The summary of one split. None means unknown without decoding more images.

    annotated, unannotated: images with and without a mask. captioned: images with a caption. sizes: `WIDTHxHEIGHT` of
    the files (of the samples if the dataset does not say) -> images. faults: why images cannot be read, a line each. Of
    the `looked_at` images that were decoded, looked_annotated have a mask and looked_captioned a caption; no_artifact
    have an empty mask. area: mean annotated fraction of the pixels, of images with a mask, in [0, 1]. ignored: mean
    ignored fraction of the pixels, in [0, 1]. kinds: kind of artifact -> images.
    """

    images: int
    annotated: int | None = None
    unannotated: int | None = None
    captioned: int | None = None
    sizes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    looked_at: int = 0
    looked_annotated: int = 0
    looked_captioned: int = 0
    no_artifact: int = 0
    area: float | None = None
    ignored: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """Return plain data, with the names above."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}


def summarise(dataset: Dataset, split: str, *, pixels: bool, tick: Callable[[int], None]) -> SplitSummary:
    """Inspect every image of a split and decode the first LOOKED, or with `pixels` all.

    tick: called with the number of further images that were inspected, and again for those that were decoded (see
    `count_ticks`).
    """
    found = SplitSummary(dataset.splits()[split])
    facts: list[ImageFacts] = []
    for start in range(0, found.images, _STEP):
        indices = range(start, min(start + _STEP, found.images))
        facts += dataset.inspect(split, indices)
        tick(len(indices))
    found.faults = [fact.fault for fact in facts if fact.fault is not None]
    looked = _Looked(dataset, split, found)
    for start in range(0, _looked(found.images, pixels), CHUNK):
        indices = range(start, min(start + CHUNK, _looked(found.images, pixels)))
        looked.at([index for index in indices if facts[index].fault is None])
        tick(len(indices))
    looked.finish()
    _count(found, facts, looked.samples)
    for height, width in dataset.file_sizes(split):
        found.sizes[f"{width}x{height}"] += 1
    found.sizes = found.sizes or looked.sizes
    return found


def remark_on_masks(found: Mapping[str, SplitSummary]) -> list[str]:
    """Return a remark if masks cover more than half of the pixels on average: they may be inverted."""
    fractions = [f"{split} {one.area:.0%}" for split, one in found.items() if one.area is not None and one.area > 0.5]
    remark = "most pixels are annotated; if the masks are inverted, set background to the value around the artifacts"
    return [f"{', '.join(fractions)}: {remark}"] if fractions else []


@dataclass(frozen=True)
class SkippedFiles:
    """Skipped files of one suffix (lower case, with its dot; empty for folders and hidden files)."""

    suffix: str
    why: str
    count: int
    example: str

    def __str__(self) -> str:
        kind = f"{self.suffix} " * bool(self.suffix) + ("file" if self.count == 1 else "files")
        return f"skipped: {self.count:,} {kind}, such as '{self.example}': {self.why}"


def count_skipped_files(skipped: Mapping[str, str]) -> list[SkippedFiles]:
    """Group the skipped files of a dataset by suffix and reason, the most frequent first; skipped: path -> reason."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for path, why in skipped.items():
        hidden = path.rpartition("/")[2].startswith(".")
        kinds.setdefault(("" if hidden else get_suffix(path), why), []).append(path)
    found = [SkippedFiles(suffix, why, len(paths), min(paths)) for (suffix, why), paths in kinds.items()]
    return sorted(found, key=lambda one: (-one.count, one.suffix, one.why))


def count_ticks(images: int, pixels: bool) -> int:
    """Return the sum of the numbers that `summarise` passes to `tick` for a split."""
    return images + _looked(images, pixels)


def _looked(images: int, pixels: bool) -> int:
    return images if pixels else min(images, LOOKED)


def _count(found: SplitSummary, facts: Sequence[ImageFacts], looked: Sequence[tuple[bool, bool]]) -> None:
    """Count masks and captions from the inspection, or from the decoded images if they are all."""
    labelled: list[bool | None] = [fact.labelled for fact in facts]
    captioned: list[bool | None] = [fact.captioned for fact in facts]
    if len(looked) == found.images:
        labelled, captioned = [one for one, _ in looked], [one for _, one in looked]
    if None not in labelled:
        found.annotated = labelled.count(True)
        found.unannotated = labelled.count(False)
    if None not in captioned:
        found.captioned = captioned.count(True)


@dataclass
class _Looked:
    """Collects decoded images for a summary. samples: whether each has a mask, and a caption."""

    dataset: Dataset
    split: str
    found: SplitSummary
    samples: list[tuple[bool, bool]] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    _areas: list[float] = field(default_factory=list)
    _ignored: list[float] = field(default_factory=list)

    def at(self, indices: Sequence[int]) -> None:
        """Decode images together, or one by one if that fails."""
        try:
            samples = read_samples(self.dataset, self.split, indices)
        except BenchkitError as error:
            if len(indices) == 1:
                self.found.faults.append(str(error))
            else:
                for index in indices:
                    self.at([index])
            return
        for sample in samples:
            self._add(sample)

    def _add(self, sample: Sample) -> None:
        self.samples.append((sample.mask is not None, bool(sample.caption)))
        self.sizes[f"{sample.image.shape[1]}x{sample.image.shape[0]}"] += 1
        self.found.kinds.update(kind for kind, mask in sample.kinds.items() if np.any(mask))
        self._ignored.append(0.0 if sample.ignored is None else float(np.mean(sample.ignored)))
        if sample.mask is not None:
            self._areas.append(float(np.mean(sample.mask)))

    def finish(self) -> None:
        """Write counts and means to the summary."""
        self.found.looked_at = len(self.samples)
        self.found.looked_annotated = sum(annotated for annotated, _ in self.samples)
        self.found.looked_captioned = sum(captioned for _, captioned in self.samples)
        self.found.no_artifact = self._areas.count(0.0)
        self.found.area = float(np.mean(self._areas)) if self._areas else None
        self.found.ignored = float(np.mean(self._ignored)) if self._ignored else 0.0
