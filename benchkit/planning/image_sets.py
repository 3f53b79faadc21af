"""Which images a grid means: the first ones of a split, a fraction of them, or the pool without the labelled ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from benchkit.api import Dataset
from benchkit.config.grid import Grid, SetSize, SourceSet
from benchkit.config.grid_parts import LEAST
from benchkit.errors import BenchkitError, shortened
from benchkit.plugin.registry import Registry
from benchkit.specs.faults import Fault, FaultsError
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK, ImageSet, Labelled

#: The split from which labelled images are drawn.
POOL = "pool"


def image_set(
    spec: Spec, dataset: Dataset, wanted: SetSize, labelled: Collection[int] = (), key: str = "test"
) -> ImageSet:
    """The images that `wanted` names; labelled: what the seed draws, which `rest` leaves out; key: the grid's for it.

    Raises FaultsError where the dataset has no such split, or too few images in it.
    """
    split, sizes = wanted.split, splits_of(spec, dataset)
    if split not in sizes:
        raise FaultsError([_no_split(spec, dataset, split, key)])
    rest = isinstance(wanted, SourceSet) and wanted.rest
    there: Sequence[int] = rest_of_pool(sizes[split], labelled) if rest else range(sizes[split])
    size = wanted.size or min(len(there), max(LEAST, round(wanted.fraction * len(there))))
    if not size or size > len(there):
        beside = f" beside the {len(labelled)} labelled" if rest else ""
        images = f"{len(there)} image{'s' * (len(there) != 1)}"
        asked = f"has {images}{beside}, {wanted.size} were asked for" if wanted.size else "has no image"
        message = f"{key}: split '{split}' of dataset '{spec.short}' {asked}"
        given = {f"{key}.split": split} if key == "oracle" else {}  # the one set that a grid may leave out
        settings = {**given, f"{key}.size": len(there)} if there else {}
        raise FaultsError([Fault(message, "" if there else "name a split that has some", settings)])
    return ImageSet(spec, split, tuple(there[:size]))


def _no_split(spec: Spec, dataset: Dataset, split: str, key: str) -> Fault:
    there = ", ".join(splits_of(spec, dataset)) or "none"
    remedy = dataset.remedy(split) or (f"name one of them by {key}.split" if key != "labelled" else "")
    message = f"{key}: dataset '{spec.short}' has no split '{split}': it has {there}"
    # Validation images choose one threshold, and a comparison can do without it.
    return Fault(message, remedy, {"validation": None} if key == "validation" else {})


def splits_of(spec: Spec, dataset: Dataset) -> Mapping[str, int]:
    """A dataset's splits and their sizes; raises BenchkitError where they are none, for a dataset may be anybody's."""
    sizes: Any = dataset.splits()
    named = isinstance(sizes, Mapping) and all(isinstance(name, str) for name in sizes)
    if not named or not all(isinstance(size, int) and size >= 0 for size in sizes.values()):
        came = shortened(repr(sizes))
        raise BenchkitError(f"dataset '{spec.short}': splits() must return names and their whole numbers, not {came}")
    return cast("Mapping[str, int]", sizes)


def labelled_of(spec: Spec, dataset: Dataset, count: int, seed: int) -> ImageSet:
    """The labelled set that a seed draws from the split `pool`.

    Raises FaultsError where there are too few, BenchkitError where it is not `count` different images of the pool.
    """
    sizes = splits_of(spec, dataset)
    if POOL not in sizes:
        raise FaultsError([_no_split(spec, dataset, POOL, "labelled")])
    pool = range(sizes[POOL])
    if count > len(pool):
        raise FaultsError([_few_labelled(spec, dataset, count, "")])
    try:
        indices: Any = list(dataset.labelled(count, seed))
    except BenchkitError as error:
        raise FaultsError([_few_labelled(spec, dataset, count, str(error))]) from None
    numbers = all(isinstance(index, int) and index in pool for index in indices)
    if not numbers or len(set(indices)) != len(indices) or len(indices) != count:
        raise BenchkitError(
            f"dataset '{spec.short}': labelled({count}, {seed}) must return {count} different indices below "
            f"{len(pool)}, not {shortened(repr(indices))}"
        )
    return ImageSet(spec, POOL, tuple(indices))


def _few_labelled(spec: Spec, dataset: Dataset, count: int, reason: str) -> Fault:
    """What is wrong where a labelled set cannot be drawn; reason: what the dataset says of it."""
    there = _marked(spec, dataset)
    if there >= count:  # then it is not the number of images
        return Fault(f"labelled: {reason}")
    message = f"labelled: {count} were asked for, split '{POOL}' of dataset '{spec.short}' has {there} with a mask"
    return Fault(message, "" if there else "mark some, or name another split", {"labelled": there} if there else {})


def _marked(spec: Spec, dataset: Dataset) -> int:
    """The number of images of the pool that have a mask, or may have one."""
    size = splits_of(spec, dataset)[POOL]
    return sum(facts.labelled is not False for facts in dataset.inspect(POOL, range(size)))


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


def remarks_of(grid: Grid, registry: Registry) -> list[str]:
    """What the datasets of a grid say of the splits that it reads together, a line each."""
    sets = Sets(grid, registry)
    read = {grid.dataset: {POOL, grid.test.split}}
    if grid.validation is not None:
        read[grid.dataset].add(grid.validation.split)
    if "oracle" in grid.baselines:
        read[grid.dataset].add(sets.oracle_size(LEAST).split)
    for _, source in sets.grid_sources:
        read.setdefault(source.dataset or grid.dataset, set()).add(source.split)
    found = [(sets.dataset(named), splits) for named, splits in read.items()]
    return [f"dataset '{spec.short}': {line}" for (spec, dataset), splits in found for line in dataset.remarks(splits)]


class Sets:
    """The images that a grid's sets name."""

    def __init__(self, grid: Grid, registry: Registry) -> None:
        self.grid, self.registry = grid, registry

    def dataset(self, named: Spec) -> tuple[Spec, Dataset]:
        """Return a dataset's complete Spec, and the dataset itself."""
        with self.grid.origin.told("dataset", named):
            spec = self.registry.complete(named)
            return spec, self.registry.dataset(spec)

    def splits(self, named: Spec) -> Mapping[str, int]:
        """Return the splits of a dataset and their sizes."""
        return splits_of(*self.dataset(named))

    def of(self, key: str, wanted: SetSize, labelled: Labelled | None = None) -> ImageSet:
        """The images of a set; key: the grid's key that names it, `sources.0` for the first of several."""
        other = wanted.dataset if isinstance(wanted, SourceSet) else None
        spec, dataset = self.dataset(other or self.grid.dataset)
        with self.grid.origin.told(key.partition(".")[0], wanted.model_dump()):
            return image_set(spec, dataset, wanted, labelled.images.indices if labelled else (), key)

    def labelled(self, seed: int, count: int | None = None) -> Labelled:
        """What a seed draws as labelled; count: in the place of the grid's number."""
        spec, dataset = self.dataset(self.grid.dataset)
        with self.grid.origin.told("labelled", self.grid.labelled):
            return Labelled(labelled_of(spec, dataset, count or self.grid.labelled, seed))

    def sources(self, seed: int) -> dict[str, ImageSet]:
        """The sources' names -> their images."""
        labelled = self.labelled(seed)
        return {source.title: self.of(key, source, labelled) for key, source in self.grid_sources}

    @property
    def grid_sources(self) -> list[tuple[str, SourceSet]]:
        """The grid's key of each source, and what it asks for."""
        many = bool(self.grid.sources)
        return [(f"sources.{i}" if many else "source", one) for i, one in enumerate(self.grid.every_source)]

    def oracle_size(self, size: int) -> SetSize:
        """What the row `oracle` is trained on; size: of the source, as many as which it has by default."""
        return self.grid.oracle or SetSize(split="wild", size=size)
