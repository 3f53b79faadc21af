"""Grid -> the cells of a comparison in board order: which images, which rows, by what name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from benchkit.api import Dataset, RegionSelector
from benchkit.errors import BenchkitError
from benchkit.grid import Grid, SetSize, SourceSet
from benchkit.imagesets import image_set, labelled_of
from benchkit.registry import Registry
from benchkit.specs import Cell, Corrupted, ImageSet, Labelled, Mix, Pseudo, Spec, TrainingSet, Trivial


def cells_of(grid: Grid, registry: Registry) -> Iterator[Cell]:
    """The cells of a grid in board order, every Spec complete with its defaults."""
    sets = _Sets(grid, registry)
    test = sets.of("test", grid.test)
    detectors = [_complete(grid, registry, "detector", "detectors", text) for text in grid.detectors]
    for seed in grid.seeds:
        labelled = sets.labelled(seed)
        for rule in grid.trivial:
            yield Cell(rule, Trivial(rule), None, seed, test)
        sources = sets.sources(seed)
        for detector in detectors:
            for row, training in _rows(grid, registry, sets, sources, labelled, detector):
                yield Cell(row, training, detector, seed, test)


def check_images(grid: Grid, registry: Registry) -> None:
    """Raise BenchkitError where the images of a grid are not there, with the datasets on which it needs them not."""
    sets = _Sets(grid, registry)
    try:
        sets.of("test", grid.test)
        sets.sources(grid.seeds[0] if grid.seeds else 0)
    except BenchkitError as error:
        others = [name for name in grid.on_dataset if name != Spec.parse("dataset", grid.dataset).name]
        instead = "".join(f"; --dataset {name} runs it on other images" for name in others)
        raise BenchkitError(f"{error}{instead}") from None


class _Sets:
    """The images that a grid's sets name; each dataset is made once."""

    def __init__(self, grid: Grid, registry: Registry) -> None:
        self.grid, self.registry = grid, registry
        self.made: dict[str, tuple[Spec, Dataset]] = {}

    def dataset(self, text: str) -> tuple[Spec, Dataset]:
        if text not in self.made:
            with self.grid.origin.told("dataset", text):
                spec = self.registry.complete(Spec.parse("dataset", text))
                self.made[text] = spec, self.registry.make(spec, Dataset)  # type: ignore[type-abstract]
        return self.made[text]

    def of(self, key: str, wanted: SetSize, labelled: Labelled | None = None) -> ImageSet:
        """The images of a set; key: the grid's key that names it."""
        text = wanted.dataset if isinstance(wanted, SourceSet) and wanted.dataset else self.grid.dataset
        spec, dataset = self.dataset(text)
        with self.grid.origin.told(key, wanted.model_dump()):
            return image_set(spec, dataset, wanted, labelled.images.indices if labelled else ())

    def labelled(self, seed: int) -> Labelled:
        spec, dataset = self.dataset(self.grid.dataset)
        with self.grid.origin.told("labelled", self.grid.labelled):
            return Labelled(labelled_of(spec, dataset, self.grid.labelled, seed))

    def sources(self, seed: int) -> dict[str, ImageSet]:
        """What a row's name says of its source -> the images; nothing where there is but one."""
        found, labelled = self.grid.every_source, self.labelled(seed)
        key = "sources" if self.grid.sources else "source"
        said = [f" [{source.title}]" if len(found) > 1 else "" for source in found]
        return {name: self.of(key, source, labelled) for name, source in zip(said, found, strict=True)}


def _rows(
    grid: Grid, registry: Registry, sets: _Sets, sources: dict[str, ImageSet], labelled: Labelled, detector: Spec
) -> Iterator[tuple[str, TrainingSet]]:
    with grid.origin.told("inverter", grid.inverter):
        inverters = {f" via {spec}": registry.complete(spec) for spec in grid.inverters}
    if len(inverters) == 1:  # only where several are compared does a row's name say which
        inverters = {"": next(iter(inverters.values()))}
    if "human" in grid.baselines:
        yield "human", labelled
    if "oracle" in grid.baselines:
        size = len(next(iter(sources.values())).indices)
        yield "oracle", Labelled(sets.of("oracle", grid.oracle or SetSize(split="wild", size=size)))
    for text, (said, source) in product(grid.selectors, sources.items()):
        selector = own_detector(registry, _complete(grid, registry, "selector", "selectors", text), detector)
        if "pseudo" in grid.baselines:
            yield f"pseudo{said}", Pseudo(source, selector)
        for name, (via, inverter) in product((*grid.corruptors, *grid.with_human), inverters.items()):
            key = "corruptors" if name in grid.corruptors else "with_human"
            corruptor = _complete(grid, registry, "corruptor", key, name)
            corrupted = Corrupted(source, selector, corruptor, inverter, grid.label, grid.composite)
            if name in grid.corruptors:
                yield f"{name}{via}{said}", corrupted
            if name in grid.with_human:
                yield f"human+{name}{via}{said}", Mix((labelled, corrupted))


def _complete(grid: Grid, registry: Registry, kind: str, key: str, text: str) -> Spec:
    """The complete Spec that a text under one of the grid's keys means; a mistake is told with its line."""
    with grid.origin.told(key, text):
        return registry.complete(Spec.parse(kind, text))


def own_detector(registry: Registry, selector: Spec, detector: Spec) -> Spec:
    """The selector with `same` replaced by the row's own detector."""
    plugin = registry.make(selector, RegionSelector)  # type: ignore[type-abstract]
    if plugin.detector() != "same":
        return selector
    values = tuple((key, str(detector) if value == "same" else value) for key, value in selector.params)
    return replace(selector, params=values)
