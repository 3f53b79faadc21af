"""Which images a grid means: the first ones of a split, a share of them, or the pool without the labelled ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from benchkit.api import Dataset
from benchkit.errors import BenchkitError
from benchkit.grid import SetSize, SourceSet
from benchkit.specs import CHUNK, ImageSet, Spec, shortened

#: A share of a split is never less: batch-normalised detectors train on two or more.
LEAST = 2


def image_set(spec: Spec, dataset: Dataset, wanted: SetSize, labelled: Collection[int] = ()) -> ImageSet:
    """The images that `wanted` names; labelled: what the seed draws, which `rest` leaves out.

    Raises BenchkitError where the dataset has no such split, or too few images in it.
    """
    sizes = splits_of(spec, dataset)
    if wanted.split not in sizes:
        raise BenchkitError(f"dataset '{spec.short}' has no split '{wanted.split}': it has {', '.join(sizes)}")
    rest = isinstance(wanted, SourceSet) and wanted.rest
    there: Sequence[int] = range(sizes[wanted.split])
    if rest:
        there = rest_of_pool(sizes[wanted.split], labelled)
    size = wanted.size or min(len(there), max(LEAST, round(wanted.share * len(there))))
    if not size or size > len(there):
        beside = f" beside the {len(labelled)} labelled" if rest else ""
        raise BenchkitError(
            f"split '{wanted.split}' of '{spec.short}' has {len(there)} images{beside}, {wanted.size or LEAST} "
            "were asked for"
        )
    return ImageSet(spec, wanted.split, tuple(there[:size]))


def splits_of(spec: Spec, dataset: Dataset) -> Mapping[str, int]:
    """A dataset's splits and their sizes; raises BenchkitError where they are none, for a dataset may be anybody's."""
    sizes: Any = dataset.splits()
    named = isinstance(sizes, Mapping) and all(isinstance(name, str) for name in sizes)
    if not named or not all(isinstance(size, int) and size >= 0 for size in sizes.values()):
        came = shortened(repr(sizes))
        raise BenchkitError(f"dataset '{spec.short}': splits() must return names and their whole numbers, not {came}")
    return cast("Mapping[str, int]", sizes)


def labelled_of(spec: Spec, dataset: Dataset, count: int, seed: int) -> ImageSet:
    """The labelled set that a seed draws; raises BenchkitError where it is not `count` different images of the pool."""
    indices: Any = list(dataset.labelled(count, seed))
    pool = range(splits_of(spec, dataset).get("pool", 0))
    numbers = all(isinstance(index, int) and index in pool for index in indices)
    if not numbers or len(set(indices)) != len(indices) or len(indices) != count:
        raise BenchkitError(
            f"dataset '{spec.short}': labelled({count}, {seed}) must return {count} different indices below "
            f"{len(pool)}, not {shortened(repr(indices))}"
        )
    return ImageSet(spec, "pool", tuple(indices))


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
