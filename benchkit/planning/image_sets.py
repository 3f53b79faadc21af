"""The images of a grid's sets: the first of a split, a fraction of them, or the pool without the labelled ones."""

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


def choose_images(
    spec: Spec, dataset: Dataset, wanted: SetSize, labelled: Collection[int] = (), key: str = "test"
) -> ImageSet:
    """Return the images of a set of the grid.

    labelled: indices that the seed draws, which `rest` skips. key: the grid's key of the set, for messages. Raises
    FaultsError if the dataset has no such split, or too few images in it.
    """
    split, sizes = wanted.split, read_splits(spec, dataset)
    if split not in sizes:
        raise FaultsError([_missing_split(spec, dataset, split, key)])
    rest = isinstance(wanted, SourceSet) and wanted.rest
    indices: Sequence[int] = order_rest_of_pool(sizes[split], labelled) if rest else range(sizes[split])
    number = len(indices)
    size = wanted.size or min(number, max(LEAST, round(wanted.fraction * number)))
    if not size or size > number:
        beside = f" beside the {len(labelled)} labelled" if rest else ""
        images = f"{number} image{'s' * (number != 1)}"
        asked = f"has {images}{beside}, {wanted.size} were asked for" if wanted.size else "has no image"
        message = f"{key}: split '{split}' of dataset '{spec.short}' {asked}"
        given = {f"{key}.split": split} if key == "oracle" else {}  # a grid need not write `oracle`
        settings = {**given, f"{key}.size": number} if number else {}
        raise FaultsError([Fault(message, "" if number else "name a split that has some", settings)])
    return ImageSet(spec, split, tuple(indices[:size]))


def _missing_split(spec: Spec, dataset: Dataset, split: str, key: str) -> Fault:
    known = ", ".join(read_splits(spec, dataset)) or "none"
    remedy = dataset.remedy(split) or (f"name one of them by {key}.split" if key != "labelled" else "")
    message = f"{key}: dataset '{spec.short}' has no split '{split}': it has {known}"
    # A comparison works without validation images: they choose one threshold.
    return Fault(message, remedy, {"validation": None} if key == "validation" else {})


def read_splits(spec: Spec, dataset: Dataset) -> Mapping[str, int]:
    """Return a dataset's splits and their sizes; raises BenchkitError if the plugin returns anything else."""
    sizes: Any = dataset.splits()
    named = isinstance(sizes, Mapping) and all(isinstance(name, str) for name in sizes)
    if not named or not all(isinstance(size, int) and size >= 0 for size in sizes.values()):
        result = shortened(repr(sizes))
        raise BenchkitError(f"dataset '{spec.short}': splits() must return names and their whole numbers, not {result}")
    return cast("Mapping[str, int]", sizes)


def draw_labelled(spec: Spec, dataset: Dataset, count: int, seed: int) -> ImageSet:
    """Return the labelled set that a seed draws from the split `pool`.

    Raises FaultsError if there are too few images, BenchkitError if it is not `count` different images of the pool.
    """
    sizes = read_splits(spec, dataset)
    if POOL not in sizes:
        raise FaultsError([_missing_split(spec, dataset, POOL, "labelled")])
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
    """Return why a labelled set cannot be drawn; reason: the dataset's own, used if there are enough images."""
    # The images of the pool that have a mask, or may have one.
    size = read_splits(spec, dataset)[POOL]
    number = sum(facts.labelled is not False for facts in dataset.inspect(POOL, range(size)))
    if number >= count:
        return Fault(f"labelled: {reason}")
    message = f"labelled: {count} were asked for, split '{POOL}' of dataset '{spec.short}' has {number} with a mask"
    remedy = "" if number else "mark some, or name another split"
    return Fault(message, remedy, {"labelled": number} if number else {})


def order_rest_of_pool(size: int, labelled: Collection[int]) -> list[int]:
    """Return the indices below `size` that are not labelled, first those of whole chunks without a labelled image.

    Seeds label different images. In this order they share most chunks, and with them latents and trajectories.
    """
    skipped = set(labelled)
    chunks = [range(start, start + CHUNK) for start in range(0, size - CHUNK + 1, CHUNK)]
    intact = [index for chunk in chunks if skipped.isdisjoint(chunk) for index in chunk]
    skipped.update(intact)
    return [*intact, *(index for index in range(size) if index not in skipped)]


def read_remarks(grid: Grid, registry: Registry) -> list[str]:
    """Return the remarks of a grid's datasets on the splits that it reads together, a line each."""
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
    """The sets of images of a grid. BenchkitErrors about them begin with the file and line of the set's key."""

    def __init__(self, grid: Grid, registry: Registry) -> None:
        self.grid, self.registry = grid, registry

    def dataset(self, named: Spec) -> tuple[Spec, Dataset]:
        """Return a dataset's complete Spec, and the dataset itself."""
        with self.grid.origin.placing("dataset", named):
            spec = self.registry.complete(named)
            return spec, self.registry.dataset(spec)

    def splits(self, named: Spec) -> Mapping[str, int]:
        """Return the splits of a dataset and their sizes."""
        return read_splits(*self.dataset(named))

    def of(self, key: str, wanted: SetSize, labelled: Labelled | None = None) -> ImageSet:
        """Return the images of a set; key: the grid's key of the set, `sources.0` for the first of several sources."""
        other = wanted.dataset if isinstance(wanted, SourceSet) else None
        spec, dataset = self.dataset(other or self.grid.dataset)
        with self.grid.origin.placing(key.partition(".")[0], wanted.model_dump()):
            return choose_images(spec, dataset, wanted, labelled.images.indices if labelled else (), key)

    def labelled(self, seed: int, count: int | None = None) -> Labelled:
        """Return the labelled images of a seed; count: in place of the grid's number."""
        spec, dataset = self.dataset(self.grid.dataset)
        with self.grid.origin.placing("labelled", self.grid.labelled):
            return Labelled(draw_labelled(spec, dataset, count or self.grid.labelled, seed))

    def sources(self, seed: int) -> dict[str, ImageSet]:
        """Return the images of every source by its name."""
        labelled = self.labelled(seed)
        return {source.title: self.of(key, source, labelled) for key, source in self.grid_sources}

    @property
    def grid_sources(self) -> list[tuple[str, SourceSet]]:
        """The grid's key of each source, and the source."""
        many = bool(self.grid.sources)
        return [(f"sources.{i}" if many else "source", one) for i, one in enumerate(self.grid.every_source)]

    def oracle_size(self, size: int) -> SetSize:
        """Return the images of the row `oracle`; size: number of images of the source, which is its default."""
        return self.grid.oracle or SetSize(split="wild", size=size)
