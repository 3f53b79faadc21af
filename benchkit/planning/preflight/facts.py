"""Facts about a dataset's images before any work: from the dataset, otherwise from its first image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchkit.api import BenchkitError, ImageFacts, Sample
from benchkit.plugin.registry import Registry
from benchkit.plugin.samples import read_samples
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet

#: Images are asked about in pieces of this many, so that progress can be shown.
PIECE = 500
#: Seconds that a search for an annotated pixel may take; after that, the run finds out.
SEARCH = 20.0


@dataclass
class Facts:
    """The facts of images, each read once. progress: called with a message while many are read."""

    registry: Registry
    progress: Callable[[str], None] = lambda _: None
    _known: dict[tuple[Spec, str], dict[int, ImageFacts]] = field(default_factory=dict)
    _samples: dict[tuple[Spec, str, int], Sample | ImageFacts] = field(default_factory=dict)

    def of(self, images: ImageSet) -> list[ImageFacts]:
        """Return the facts of each image; if the dataset knows none, the first image is read."""
        known = self._known.setdefault((images.dataset, images.split), {})
        new = [index for index in images.indices if index not in known]
        for start in range(0, len(new), PIECE):
            piece = new[start : start + PIECE]
            known.update(zip(piece, self._inspected(images, piece), strict=True))
            if len(new) > PIECE:
                done = f"{start + len(piece):,} of {len(new):,}"
                self.progress(f"checking images of split {images.split} of {images.dataset.name}: {done}")
        first = images.indices[0]
        if all(_says_nothing(known[index]) for index in images.indices):
            known[first] = self._looked_at(images)
        return [known[index] for index in images.indices]

    def first(self, images: ImageSet) -> Sample | None:
        """Return the set's first sample, or None if it cannot be read."""
        found = self._read_first(images)
        return found if isinstance(found, Sample) else None

    def has_positive(self, images: ImageSet) -> bool | None:
        """Whether some mask of the set marks a pixel; None where that takes too long to say.

        Masks are decoded until one does, and only where the dataset does not know it. Raises BenchkitError where
        reading does.
        """
        facts = self.of(images)
        if any(fact.positive for fact in facts):
            return True
        unknown = [i for i, fact in zip(images.indices, facts, strict=True) if fact.positive is None]
        began = time.monotonic()
        for piece in _growing(unknown):
            samples = self._read(images, piece)
            if any(sample.mask is not None and np.any(sample.mask) for sample in samples):
                return True
            seconds = time.monotonic() - began
            if seconds > SEARCH:
                return None
            if seconds > 1:
                self.progress(f"checking masks of split {images.split} of {images.dataset.name} for annotated pixels")
        return False

    def _read(self, images: ImageSet, indices: Sequence[int]) -> list[Sample]:
        name = f"dataset '{images.dataset.short}'"
        return read_samples(self.registry.dataset(images.dataset), images.split, indices, name=name)

    def _inspected(self, images: ImageSet, indices: Sequence[int]) -> Sequence[ImageFacts]:
        found = list(self.registry.dataset(images.dataset).inspect(images.split, indices))
        if len(found) != len(indices) or not all(isinstance(one, ImageFacts) for one in found):
            raise BenchkitError(
                f"dataset '{images.dataset.short}': inspect() must return one ImageFacts for each of {len(indices)} "
                f"images, not {len(found)} values"
            )
        return found

    def _looked_at(self, images: ImageSet) -> ImageFacts:
        found = self._read_first(images)
        if isinstance(found, ImageFacts):
            return found
        height, width = np.shape(found.image)[:2] or (0, 0)
        return ImageFacts(found.id, (int(height), int(width)), found.mask is not None, None, found.caption is not None)

    def _read_first(self, images: ImageSet) -> Sample | ImageFacts:
        """Return the first sample, or the reason why it cannot be read."""
        key = (images.dataset, images.split, images.indices[0])
        if key not in self._samples:
            try:
                self._samples[key] = self._read(images, images.indices[:1])[0]
            except BenchkitError as error:
                self._samples[key] = ImageFacts(fault=str(error))
            except Exception as error:  # a dataset plugin may raise anything
                self._samples[key] = ImageFacts(fault=f"read() raised {type(error).__name__}: {error}")
        return self._samples[key]


def _says_nothing(facts: ImageFacts) -> bool:
    return facts.size is None and facts.labelled is None and facts.fault is None


def _growing(indices: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield pieces of 1, 1, 2, 4, 8, 16, 16 … indices: the first few images usually suffice."""
    start, size = 0, 1
    while start < len(indices):
        yield indices[start : start + size]
        start, size = start + size, min(16, max(1, start + size))
