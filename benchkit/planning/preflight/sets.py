"""The sets of images of a grid, and every shortage in them at once."""

from __future__ import annotations

from dataclasses import replace

from benchkit.config.grid import Grid, SetSize
from benchkit.config.grid_parts import LEAST
from benchkit.errors import BenchkitError
from benchkit.planning.image_sets import POOL, Sets
from benchkit.planning.preflight.needs import Chosen
from benchkit.specs.faults import Collector, Fault, list_faults
from benchkit.specs.training_sets import ImageSet, Labelled


def choose_sets(plugins: Chosen, sets: Sets, faults: Collector, with_test: bool = True) -> Chosen:
    """Return the plugins of a grid with its sets; shortages are added to `faults`, and a short set has what exists."""
    grid, own = plugins.grid, Collector()
    with own.collecting():
        sets.splits(grid.dataset)
    chosen = plugins
    if not own.faults:  # otherwise the dataset cannot be opened
        drawn = _labelled(sets, own)
        beside = Labelled(drawn[0]) if drawn else None
        found = [(key, _available(sets, key, wanted, own, beside)) for key, wanted in sets.grid_sources]
        sources = tuple((key, images) for key, images in found if images is not None)
        test = _available(sets, "test", grid.test, own) if with_test else None
        validation = None if grid.validation is None else _available(sets, "validation", grid.validation, own)
        oracle = None
        if "oracle" in grid.baselines:
            size = len(sources[0][1].indices) if sources else grid.every_source[0].size
            oracle = _available(sets, "oracle", sets.oracle_size(size or LEAST), own)
        chosen = replace(
            plugins, test=test, validation=validation, oracle=oracle, sources=sources, labelled=tuple(drawn)
        )
    faults.add(*(_with_other_datasets(fault, grid) for fault in own.faults))
    return chosen


def _available(
    sets: Sets, key: str, wanted: SetSize, faults: Collector, beside: Labelled | None = None
) -> ImageSet | None:
    """Return the images of a set, fewer if there are fewer, None if there are none."""
    try:
        return sets.of(key, wanted, beside)
    except BenchkitError as error:
        found = list_faults(error)
    faults.add(*found)
    size = next((fault.settings[f"{key}.size"] for fault in found if f"{key}.size" in fault.settings), None)
    return None if size is None else sets.of(key, wanted.model_copy(update={"size": size}), beside)


def _labelled(sets: Sets, faults: Collector) -> list[ImageSet]:
    """Return the labelled set of each seed, smaller if too few images have a mask or a source needs the pool."""
    try:
        return [sets.labelled(seed).images for seed in _seeds(sets.grid)]
    except BenchkitError as error:
        found = list(list_faults(error))
    short = next((fault for fault in found if "labelled" in fault.settings), None)
    count = 0
    if short is not None:
        pool, count = sets.splits(sets.grid.dataset)[POOL], short.settings["labelled"]
        if any(source.rest for source in sets.grid.every_source):
            count = min(count, max(1, pool // 2))
        found[found.index(short)] = replace(short, settings={"labelled": count})
    faults.add(*found)
    drawn = []
    for seed in _seeds(sets.grid) if count else ():
        with Collector().collecting():  # what a dataset refuses once it may refuse again
            drawn.append(sets.labelled(seed, count).images)
    return drawn


def _seeds(grid: Grid) -> tuple[int, ...]:
    """Return the seeds that draw labelled images; first one of those whose images sources leave out."""
    shared = () if grid.selection_seed is None else (grid.selection_seed,)
    return tuple(dict.fromkeys((*shared, *grid.every_seed)))


def _with_other_datasets(fault: Fault, grid: Grid) -> Fault:
    """Return the fault with the datasets of `on_dataset`, on which the grid needs no such images."""
    others = [name for name in grid.on_dataset if name != grid.dataset.name]
    instead = "".join(f"; `dataset` {name} runs it on other images" for name in others)
    return replace(fault, message=f"{fault.message}{instead}")
