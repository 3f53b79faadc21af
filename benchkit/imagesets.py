"""Which images a grid means: the first ones of a split, a share of them, or the pool without the labelled ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from benchkit.api import Dataset
from benchkit.errors import BenchkitError
from benchkit.grid import SetSize, SourceSet
from benchkit.specs import CHUNK, ImageSet, Spec

#: A share of a split is never less: batch-normalised detectors train on two or more.
LEAST = 2


def image_set(spec: Spec, dataset: Dataset, wanted: SetSize, labelled: Collection[int] = ()) -> ImageSet:
    """The images that `wanted` names; labelled: what the seed draws, which `rest` leaves out.

    Raises BenchkitError where the dataset has no such split, or too few images in it.
    """
    sizes = dataset.splits()
    if wanted.split not in sizes:
        raise BenchkitError(f"dataset '{spec}' has no split '{wanted.split}': it has {', '.join(sizes)}")
    rest = isinstance(wanted, SourceSet) and wanted.rest
    there: Sequence[int] = range(sizes[wanted.split])
    if rest:
        there = rest_of_pool(sizes[wanted.split], labelled)
    size = wanted.size or min(len(there), max(LEAST, round(wanted.share * len(there))))
    if not size or size > len(there):
        beside = f" beside the {len(labelled)} labelled" if rest else ""
        raise BenchkitError(
            f"split '{wanted.split}' of '{spec}' has {len(there)} images{beside}, {wanted.size or LEAST} were asked for"
        )
    return ImageSet(spec, wanted.split, tuple(there[:size]))


def rest_of_pool(size: int, labelled: Collection[int]) -> list[int]:
    """The indices below `size` that are not labelled, first those of whole chunks without a labelled image.

    So seeds, which label different images, share most chunks, and with them latents and trajectories.
    """
    taken = set(labelled)
    starts = range(0, size, CHUNK)
    whole = [start for start in starts if start + CHUNK <= size and taken.isdisjoint(range(start, start + CHUNK))]
    intact = [index for start in whole for index in range(start, start + CHUNK)]
    skipped = taken.union(intact)
    return [*intact, *(index for index in range(size) if index not in skipped)]
